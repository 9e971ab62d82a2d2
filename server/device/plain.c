#include "device/plain.h"

#include <string.h>

/* By ID or by key; the first byte says which. */
struct plain_key {
    uint8_t bytes[1 + 32];
};

_Static_assert(sizeof(((struct device *)NULL)->key_sha256) == 32 && DEVICE_ID_BYTES <= 32, "plain_key");

static struct plain_key key_of_id(const struct device_id *id)
{
    struct plain_key key = {.bytes = {1}};

    memcpy(key.bytes + 1, id->bytes, DEVICE_ID_BYTES);
    return key;
}

static struct plain_key key_of(const struct device *device)
{
    struct plain_key key = {0};

    if (device->has_id)
        return key_of_id(&device->id);
    memcpy(key.bytes + 1, device->key_sha256, sizeof(device->key_sha256));
    return key;
}

static uint32_t hash_of(const struct plain_key *key)
{
    return table_hash(key->bytes, sizeof(key->bytes));
}

static bool has_key(const void *entry, const void *key)
{
    struct plain_key own = key_of(entry);

    return memcmp(&own, key, sizeof(own)) == 0;
}

static struct device *newest_of(const struct devices *all, const struct plain_key *key)
{
    return table_find(&all->plain, hash_of(key), has_key, key);
}

static void put_first(struct devices *all, const struct plain_key *key, struct device *was, struct device *is)
{
    if (was != NULL)
        table_remove(&all->plain, hash_of(key), was);
    if (is != NULL)
        table_add(&all->plain, hash_of(key), is);
}

void plain_join(struct device *device)
{
    if (device->peer.dialect == COAP_DEVICE_OS)
        return;
    struct plain_key key = key_of(device);
    struct device *newest = newest_of(device->all, &key), *oldest = newest;
    unsigned count = newest != NULL;
    for (; oldest != NULL && oldest->older_plain != NULL; oldest = oldest->older_plain)
        count++;
    if (count == PLAIN_SESSIONS_MAX)
        link_end(oldest, SESSION_END_REPLACED, false); /* which makes it leave */
    device->older_plain = newest;
    device->is_plain = true;
    put_first(device->all, &key, newest, device);
}

void plain_leave(struct device *device)
{
    if (!device->is_plain)
        return;
    device->is_plain = false;
    struct plain_key key = key_of(device);
    struct device *newest = newest_of(device->all, &key);
    if (newest == device) {
        put_first(device->all, &key, device, device->older_plain);
    } else {
        while (newest->older_plain != device)
            newest = newest->older_plain;
        newest->older_plain = device->older_plain;
    }
    device->older_plain = NULL;
}

bool plain_revoke(struct devices *all, const struct device_id *id,
                  bool (*end)(struct device *device, const struct device_id *id))
{
    struct plain_key key = key_of_id(id);
    struct device *device = newest_of(all, &key), *older;
    bool found = false;

    for (; device != NULL; device = older) {
        older = device->older_plain; /* the one that ends leaves the group */
        found = end(device, id) || found;
    }
    return found;
}
