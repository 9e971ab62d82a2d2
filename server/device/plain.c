#include "device/plain.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* By ID or by key; the first byte says which. */
struct plain_key {
    uint8_t bytes[1 + 32];
};

struct plain_group {
    UT_hash_handle by_key;
    struct device *sessions[PLAIN_SESSIONS_MAX]; /* borrowed, oldest first */
    uint8_t count;
    struct plain_key key;
};

_Static_assert(sizeof(((struct device *)NULL)->key_sha256) == 32 && DEVICE_ID_BYTES <= 32, "plain_key");

static struct plain_key key_of(const struct device *device)
{
    struct plain_key key = {0};

    key.bytes[0] = device->has_id;
    if (device->has_id)
        memcpy(key.bytes + 1, device->id.bytes, DEVICE_ID_BYTES);
    else
        memcpy(key.bytes + 1, device->key_sha256, sizeof(device->key_sha256));
    return key;
}

static struct plain_group *find_or_add(struct devices *all, const struct plain_key *key)
{
    struct plain_group *group;

    HASH_FIND(by_key, all->plain, key, sizeof(*key), group);
    if (group != NULL)
        return group;
    group = mem_alloc(sizeof(*group));
    group->key = *key;
    HASH_ADD(by_key, all->plain, key, sizeof(group->key), group);
    return group;
}

void plain_join(struct device *device)
{
    if (device->peer.dialect == COAP_DEVICE_OS)
        return;
    struct plain_key key = key_of(device);
    struct plain_group *group = find_or_add(device->all, &key);
    if (group->count == PLAIN_SESSIONS_MAX)
        link_end(group->sessions[0], SESSION_END_REPLACED, false); /* which makes it leave */
    must(group->count < PLAIN_SESSIONS_MAX);
    group->sessions[group->count++] = device;
    device->plain = group;
}

void plain_leave(struct device *device)
{
    struct plain_group *group = device->plain;
    uint8_t i = 0;

    if (group == NULL)
        return;
    device->plain = NULL;
    while (group->sessions[i] != device)
        i++;
    group->count--;
    memmove(&group->sessions[i], &group->sessions[i + 1],
            (size_t)(group->count - i) * sizeof(group->sessions[0]));
    if (group->count > 0)
        return;
    HASH_DELETE(by_key, device->all->plain, group);
    free(group);
}

bool plain_revoke(struct devices *all, const struct device_id *id,
                  bool (*end)(struct device *device, const struct device_id *id))
{
    struct plain_key key = {.bytes = {1}};
    struct device *sessions[PLAIN_SESSIONS_MAX];
    struct plain_group *group;
    bool found = false;

    memcpy(key.bytes + 1, id->bytes, DEVICE_ID_BYTES);
    HASH_FIND(by_key, all->plain, &key, sizeof(key), group);
    if (group == NULL)
        return false;
    uint8_t count = group->count; /* each that ends leaves the group */
    memcpy(sessions, group->sessions, sizeof(sessions));
    for (uint8_t i = 0; i < count; i++)
        found = end(sessions[i], id) || found;
    return found;
}
