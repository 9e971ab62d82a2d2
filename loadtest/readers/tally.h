/* tally.h: what one reader has got of what simulated devices publish (`swarm/tick`, data `ID:COUNTER`): each
 * number of a device once and in order, and how far.
 *
 * Ownership: devices are shared by all readers; a tally grows with them. */
#ifndef CYAN_READERS_TALLY_H
#define CYAN_READERS_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/table.h"

#define TALLY_ID_LEN 24
#define TALLY_DEVICES_MAX 100000

struct tally_device { /* what all readers together know of it */
    char id[TALLY_ID_LEN];
    uint32_t place;
    uint64_t first, last; /* the lowest and the highest number that any reader got */
};
struct tally_devices {
    struct table by_id;
    struct tally_device **all; /* ours, by place */
    uint32_t count;
};
struct tally_range {
    uint64_t first, last; /* first 0: nothing yet */
    uint64_t seen;        /* bit n: last - n came */
};
struct tally {
    struct tally_range *ranges; /* ours, by place */
    uint32_t range_count;
    uint64_t events, malformed;
    uint64_t missing;  /* numbers left out, for good so far */
    uint64_t late;     /* came after a higher one: overtaken on its way to the server, or disordered by it */
    uint64_t repeated; /* came before */
};

/* One event's data, `ID:COUNTER`. */
void tally_note(struct tally *t, struct tally_devices *devices, const char *data, size_t data_len);
/* Nothing is missing between the first and the last number that anybody got of each device, and nothing came
 * twice. */
bool tally_is_whole(const struct tally *t, const struct tally_devices *devices);
uint64_t tally_published(const struct tally_devices *devices); /* as far as anybody knows */
void tally_deinit(struct tally *t);
void tally_devices_deinit(struct tally_devices *devices);

#endif
