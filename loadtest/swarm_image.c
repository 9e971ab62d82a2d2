#include "swarm_image.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

static struct swarm_image *image_new(struct swarm_images *all, const struct swarm_image_key *key)
{
    struct swarm_image *image = mem_alloc(sizeof(*image));

    image->all = all;
    image->key = *key;
    image->refs = 1;
    image->data = mem_alloc(key->file_bytes);
    image->known = mem_alloc(key->file_bytes);
    return image;
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the hash macros */
struct swarm_image *swarm_image_get(struct swarm_images *all, const struct swarm_image_key *key)
{
    struct swarm_image *image;

    HASH_FIND(hh, all->by_key, key, sizeof(*key), image);
    if (image) {
        image->refs++;
        return image;
    }
    image = image_new(all, key);
    image->is_shared = true;
    HASH_ADD(hh, all->by_key, key, sizeof(image->key), image);
    return image;
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the hash macros */
void swarm_image_release(struct swarm_image *image)
{
    if (!image || --image->refs > 0)
        return;
    if (image->is_shared)
        HASH_DELETE(hh, image->all->by_key, image);
    free(image->data);
    free(image->known);
    free(image);
}

static bool differs(const struct swarm_image *image, size_t at, const uint8_t *data, size_t len)
{
    if (memcmp(image->data + at, data, len) == 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (image->data[at + i] != data[i] && image->known[at + i])
            return true;
    return false;
}

static struct swarm_image *part_from(struct swarm_image *image)
{
    struct swarm_image *copy = image_new(image->all, &image->key);

    memcpy(copy->data, image->data, image->key.file_bytes);
    swarm_image_release(image);
    return copy;
}

bool swarm_image_write(struct swarm_image **image, size_t at, const uint8_t *data, size_t len)
{
    bool same;

    must(at + len <= (*image)->key.file_bytes);
    same = !(*image)->is_shared || !differs(*image, at, data, len);
    if (!same)
        *image = part_from(*image);
    memcpy((*image)->data + at, data, len);
    memset((*image)->known + at, 1, len);
    (*image)->is_checked = (*image)->is_checked && (*image)->is_shared;
    return same;
}

enum swarm_code swarm_image_check(struct swarm_image *image)
{
    static const uint8_t none[SWARM_HASH_BYTES];
    uint8_t hash[SWARM_HASH_BYTES];

    if (image->is_checked)
        return image->code;
    image->is_checked = true;
    swarm_sha256(hash, image->data, image->key.file_bytes);
    if (memcmp(image->key.sha256, none, sizeof(none)) != 0 &&
        memcmp(hash, image->key.sha256, sizeof(hash)) != 0)
        image->code = SWARM_CODE_INTEGRITY;
    else
        image->code = swarm_binary_parse(&image->binary, image->data, image->key.file_bytes);
    return image->code;
}
