#include "tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static bool is_device(const void *entry, const void *key)
{
    return memcmp(((const struct tally_device *)entry)->id, key, TALLY_ID_LEN) == 0;
}

/* NULL: there are too many. */
static struct tally_device *device_of(struct tally_devices *devices, const char *id)
{
    uint32_t hash = table_hash(id, TALLY_ID_LEN);
    struct tally_device *device = table_find(&devices->by_id, hash, is_device, id);

    if (device != NULL || devices->count == TALLY_DEVICES_MAX)
        return device;
    device = mem_alloc(sizeof(*device));
    memcpy(device->id, id, TALLY_ID_LEN);
    device->place = devices->count;
    devices->all = mem_grow(devices->all, devices->count + 1, sizeof(*devices->all));
    devices->all[devices->count++] = device;
    table_add(&devices->by_id, hash, device);
    return device;
}

static struct tally_range *range_of(struct tally *t, uint32_t place)
{
    if (place >= t->range_count) {
        uint32_t count = place + 64;
        t->ranges = mem_grow(t->ranges, count, sizeof(*t->ranges));
        memset(t->ranges + t->range_count, 0, (count - t->range_count) * sizeof(*t->ranges));
        t->range_count = count;
    }
    return &t->ranges[place];
}

/* 0: it is none. */
static uint64_t number_of(const char *digits, size_t len)
{
    uint64_t number = 0;

    if (len == 0 || len > 19)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return 0;
        number = 10 * number + (uint64_t)(digits[i] - '0');
    }
    return number;
}

static void note_in_range(struct tally *t, struct tally_range *range, uint64_t number)
{
    uint64_t above = number - range->last, below = range->last - number;

    if (range->first == 0) {
        *range = (struct tally_range){.first = number, .last = number, .seen = 1};
    } else if (number > range->last) {
        t->missing += above - 1;
        range->seen = above < 64 ? range->seen << above | 1 : 1;
        range->last = number;
    } else if (below < 64 && number >= range->first && !(range->seen >> below & 1)) {
        range->seen |= (uint64_t)1 << below;
        t->missing--;
        t->late++;
    } else if (number < range->first) {
        t->late++;
        range->first = number;
    } else {
        t->repeated++;
    }
}

void tally_note(struct tally *t, struct tally_devices *devices, const char *data, size_t data_len)
{
    struct tally_device *device = NULL;
    uint64_t number = 0;

    if (data_len > TALLY_ID_LEN + 1 && data[TALLY_ID_LEN] == ':') {
        number = number_of(data + TALLY_ID_LEN + 1, data_len - TALLY_ID_LEN - 1);
        device = device_of(devices, data);
    }
    if (number == 0 || device == NULL) {
        t->malformed++;
        return;
    }
    t->events++;
    note_in_range(t, range_of(t, device->place), number);
    if (device->first == 0 || number < device->first)
        device->first = number;
    if (number > device->last)
        device->last = number;
}

bool tally_is_whole(const struct tally *t, const struct tally_devices *devices)
{
    if (t->missing > 0 || t->repeated > 0 || t->malformed > 0)
        return false;
    for (uint32_t i = 0; i < devices->count; i++) {
        const struct tally_device *device = devices->all[i];
        if (i >= t->range_count || t->ranges[i].first != device->first || t->ranges[i].last != device->last)
            return false;
    }
    return true;
}

uint64_t tally_published(const struct tally_devices *devices)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < devices->count; i++)
        sum += devices->all[i]->last - devices->all[i]->first + 1;
    return sum;
}

void tally_deinit(struct tally *t)
{
    free(t->ranges);
}

void tally_devices_deinit(struct tally_devices *devices)
{
    for (uint32_t i = 0; i < devices->count; i++)
        free(devices->all[i]);
    free(devices->all);
    table_deinit(&devices->by_id);
}
