#include "device/presence.h"

#include <inttypes.h>
#include <stdlib.h>

#include <utlist.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define HEARD_EVERY_MS                                                                                       \
    1000 /* a device, and in a large fleet so much less often that the registry gets no more than */
#define HEARD_PER_S 2000
/* A message of ours is given up after 60 s and more (device-protocol 3.6). Whoever was heard this recently is
 * there. */
#define THERE_MS 30000

#define LOOKS_PER_TURN 1000 /* so that a fleet that fell silent at once does not stop the loop */

struct presence_wheel {
    struct devices *all;  /* borrowed: owner of this */
    struct deadline turn; /* of the next slot that is due, while anybody is online */
    uint64_t tick;        /* all slots up to this one have been looked at */
    struct device *slots[PRESENCE_SLOTS];
};

static void on_turn(struct deadline *turn, uint64_t now_ms);

struct presence_wheel *presence_wheel_new(struct devices *all)
{
    struct presence_wheel *wheel = mem_alloc(sizeof(*wheel));

    wheel->all = all;
    return wheel;
}

void presence_wheel_free(struct presence_wheel *wheel)
{
    deadline_cancel(wheel->all->deadlines, &wheel->turn);
    free(wheel);
}

static struct device **list_of(struct devices *all, uint16_t place)
{
    if (place == PRESENCE_FRESH)
        return &all->fresh;
    if (place == PRESENCE_IDLE)
        return &all->idle;
    must(place >= PRESENCE_WHEEL && place < PRESENCE_WHEEL + PRESENCE_SLOTS);
    return &all->wheel->slots[place - PRESENCE_WHEEL];
}

void presence_place(struct device *device, uint16_t place)
{
    if (device->place != PRESENCE_NOWHERE)
        DL_DELETE(*list_of(device->all, device->place), device);
    device->place = place;
    if (place != PRESENCE_NOWHERE)
        DL_APPEND(*list_of(device->all, place), device);
}

static uint64_t silent_ms(const struct device *device)
{
    return device->session->heard_ms + device->all->settings.offline_after_ms;
}

/* Hangs it where its silence would end, or as far ahead as the wheel goes. */
static void watch(struct device *device)
{
    struct presence_wheel *wheel = device->all->wheel;
    uint64_t tick = silent_ms(device) / PRESENCE_TICK_MS + 1;

    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    if (tick >= wheel->tick + PRESENCE_SLOTS)
        tick = wheel->tick + PRESENCE_SLOTS - 1;
    presence_place(device, (uint16_t)(PRESENCE_WHEEL + tick % PRESENCE_SLOTS));
}

static void start_wheel(struct presence_wheel *wheel, uint64_t now_ms)
{
    if (deadline_is_set(&wheel->turn))
        return;
    wheel->tick = now_ms / PRESENCE_TICK_MS;
    deadline_set(wheel->all->deadlines, &wheel->turn, (wheel->tick + 1) * PRESENCE_TICK_MS, on_turn);
}

/* False: enough for this turn of the loop. */
static bool look_at_slot(struct presence_wheel *wheel, struct device **slot, uint64_t now_ms, unsigned *looks)
{
    while (*slot != NULL) {
        if ((*looks)++ == LOOKS_PER_TURN)
            return false;
        if (silent_ms(*slot) > now_ms || (*slot)->update != NULL) /* the update looks after it */
            watch(*slot);
        else
            presence_end(*slot, DEVICE_OFFLINE_SILENT, NULL);
    }
    (void)wheel;
    return true;
}

static void on_turn(struct deadline *turn, uint64_t now_ms)
{
    struct presence_wheel *wheel =
        (struct presence_wheel *)((char *)turn - offsetof(struct presence_wheel, turn));
    uint64_t due_tick = now_ms / PRESENCE_TICK_MS;
    unsigned looks = 0;

    while (wheel->tick < due_tick) {
        struct device **slot = &wheel->slots[(wheel->tick + 1) % PRESENCE_SLOTS];
        wheel->tick++; /* before: what is hung again goes after it */
        if (!look_at_slot(wheel, slot, now_ms, &looks)) {
            wheel->tick--;
            deadline_set(wheel->all->deadlines, turn, now_ms, on_turn);
            return;
        }
    }
    if (wheel->all->online->value > 0)
        deadline_set(wheel->all->deadlines, turn, (wheel->tick + 1) * PRESENCE_TICK_MS, on_turn);
}

void presence_watch_anew(struct devices *all, uint64_t now_ms)
{
    (void)now_ms;
    for (size_t i = 0; i < PRESENCE_SLOTS; i++) {
        struct device *device, *next, *list = all->wheel->slots[i];
        DL_FOREACH_SAFE (list, device, next) {
            watch(device);
        }
    }
}

void presence_begin(struct device *device, bool resumed, uint64_t now_ms)
{
    struct device_facts facts;
    char name[DEVICE_ID_TEXT_SIZE], release[16], address[NET_ADDRESS_TEXT_SIZE];

    if (device->online)
        return;
    device->online = true;
    device->said_goodbye = false;
    device->heard_told_ms = now_ms;
    device->all->online->value++;
    start_wheel(device->all->wheel, now_ms);
    watch(device);
    link_fill_facts(device, &facts);
    log_info("device.online session=%016" PRIx64 " device=%s address=%s system=%s resumed=%d quarantined=%d",
             facts.session_id, link_name(device, name), net_path_format(address, &facts.path),
             hello_system_release(device->system_version, release), resumed, facts.quarantined);
    device->all->ops.online(device->all->ops.ctx, &facts, resumed);
}

void presence_tell_again(struct devices *all)
{
    struct device_facts facts;
    struct device *device;

    for (size_t i = 0; i < PRESENCE_SLOTS; i++) {
        DL_FOREACH (all->wheel->slots[i], device) {
            link_fill_facts(device, &facts);
            all->ops.online(all->ops.ctx, &facts, true);
        }
    }
}

void presence_forget(struct device *device)
{
    if (!device->online)
        return;
    device->online = false;
    device->all->online->value--;
    presence_place(device, PRESENCE_IDLE);
}

/* Of being heard the registry is told now and then only; of the last time it is told at the end. */
static void tell_last_heard(const struct device *device, const struct device_facts *facts)
{
    uint64_t now_ms = clock_ms(), heard_ms = device->session->heard_ms;

    if (heard_ms > device->heard_told_ms)
        device->all->ops.heard(device->all->ops.ctx, facts,
                               clock_wall_ms() - (now_ms > heard_ms ? now_ms - heard_ms : 0));
}

void presence_end(struct device *device, enum device_offline_reason reason,
                  const struct device_goodbye *goodbye)
{
    struct device_facts facts;
    char name[DEVICE_ID_TEXT_SIZE];

    if (!device->online)
        return;
    presence_forget(device);
    link_fill_facts(device, &facts);
    tell_last_heard(device, &facts);
    log_info("device.offline session=%016" PRIx64 " device=%s reason=%s", facts.session_id,
             link_name(device, name), device_offline_reason_name(reason));
    device->all->ops.offline(device->all->ops.ctx, &facts, reason, goodbye);
}

/* The goodbye sent again, because our acknowledgement was lost, or an acknowledgement on the way out: no new
 * word. */
static bool is_afterword(const struct device *device, const uint8_t *data, size_t data_len)
{
    if (!device->said_goodbye || data_len < 4)
        return false;
    unsigned type = data[0] >> 4 & 3;
    if (type == COAP_ACK || type == COAP_RST)
        return true;
    return data[1] == COAP_POST && be16_load(data + 2) == device->goodbye_mid;
}

static uint64_t heard_every_ms(const struct devices *all)
{
    return HEARD_EVERY_MS * (1 + (uint64_t)all->count / HEARD_PER_S);
}

void presence_heard(struct device *device, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    struct device_facts facts;

    if (device->state == LINK_NAMED && !device->online && !is_afterword(device, data, data_len)) {
        presence_begin(device, true, now_ms);
        return;
    }
    if (!device->online && !link_is_plain_client(device))
        return;
    if (!device->has_id || now_ms < device->heard_told_ms + heard_every_ms(device->all))
        return;
    device->heard_told_ms = now_ms;
    link_fill_facts(device, &facts);
    device->all->ops.heard(device->all->ops.ctx, &facts, clock_wall_ms());
}

void presence_unreachable(struct device *device, uint64_t now_ms)
{
    if (device->update == NULL && device->session->heard_ms + THERE_MS <= now_ms)
        presence_end(device, DEVICE_OFFLINE_UNREACHABLE, NULL);
}
