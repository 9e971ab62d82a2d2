#include "fleet/hook_event.h"

#include <string.h>

#include "base/clock.h"
#include "fleet/event_queue.h"
#include "fleet/person_event.h"
#include "fleet/room.h"

#define TTL_S 60

static void on_stored(void *arg, enum device_verdict verdict)
{
    (void)arg;
    (void)verdict;
}

static void on_published(void *arg, enum fleet_err err, const char *why)
{
    (void)arg;
    (void)err;
    (void)why;
}

static bool is_name(const char *name)
{
    size_t name_len = strlen(name);
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return name_len >= 1 && name_len <= DEVICE_EVENT_NAME_MAX && strncmp(name, "spark", 5) != 0 &&
           strncmp(name, "particle", 8) != 0;
}

/* NOLINTNEXTLINE(readability-function-size): all that an event is */
bool fleet_publish_hook_event(struct fleet *f, const struct device_id *device, int64_t user_id,
                              const uint8_t hash[HOOK_EVENT_HASH_BYTES], const char *name, const char *data)
{
    uint8_t key[16];
    if (!is_name(name))
        return false;
    memcpy(key, HOOK_EVENT_MARK, sizeof key - HOOK_EVENT_HASH_BYTES);
    memcpy(key + sizeof key - HOOK_EVENT_HASH_BYTES, hash, HOOK_EVENT_HASH_BYTES);
    if (!device) {
        const struct fleet_actor actor = {.user_id = user_id, .role = FLEET_OWNER};
        const struct person_event event = {.name = name, .data = data, .ttl_s = TTL_S, .key = key};
        fleet_publish(f, &actor, &event, on_published, NULL);
        return true;
    }
    const struct device_facts facts = {.id = *device};
    struct device_event event = {.kind = DEVICE_EVENT_USER,
                                 .name = name,
                                 .data = (const uint8_t *)data,
                                 .data_len = strlen(data),
                                 .ttl_s = TTL_S,
                                 .received_wall_ms = clock_wall_ms()};
    memcpy(event.key, key, sizeof event.key);
    event_queue_push(f, &facts, &event, on_stored, NULL);
    return true;
}
