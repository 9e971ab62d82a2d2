/* device_places.h: where the pages of lists begin, remembered, so that a page deep in a list costs what the
 * first one costs.
 *
 * Two memories, both bounded, of which the longest unused goes first:
 * - a *walk* is somebody reading a list page by page: behind page n he goes on where page n ended;
 * - a *measured* list has the key of every so many-th of its devices, and how many they are, as they were at
 * one moment: for pages that are jumped to, and for totals. Both only say where to begin reading: what is
 * found there is read anew each time.
 *
 * Ownership: keys and places are copied. Loop thread only. */
#ifndef CYAN_FLEET_DEVICE_PLACES_H
#define CYAN_FLEET_DEVICE_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/device_id.h"

#define PLACES_WALKS_MAX 1000
#define PLACES_WALK_PAGES 16 /* beginnings of pages that a walk remembers */
#define PLACES_LISTS_MAX 32  /* measured ones */
#define PLACES_STRIDE 200    /* devices between two places of a measured list */
#define PLACES_PER_LIST 8000 /* of longer lists each second place is left out, and so on */
#define PLACES_KEY_SIZE 72   /* of a sort key as text: a name of 64 bytes, or a time */
#define PLACES_FRESH_MIN_MS 2000
#define PLACES_FRESH_MAX_MS 60000
#define PLACES_OLD_MS 120000  /* nobody is answered from what is older */
#define PLACES_FRESH_TIMES 20 /* measuring takes a twentieth of the time at most */

struct place { /* a device of a list: what follows it begins behind */
    struct device_id id;
    char key[PLACES_KEY_SIZE];
};
struct measured {
    uint64_t total, at_wall_ms;
    bool is_fresh;   /* else it should be measured again */
    bool is_too_old; /* for an answer */
};

struct device_places;
struct device_places *device_places_new(void);
void device_places_free(struct device_places *p);

/* walk: who reads which list, in pages of which size. page: the one that begins behind the place. */
void device_places_note(struct device_places *p, const char *walk, uint32_t page, const struct place *place,
                        uint64_t now_ms);
/* NULL: this walk did not come by here within the last max_age_ms. Valid until the next call of this file. */
const struct place *device_places_walked(struct device_places *p, const char *walk, uint32_t page,
                                         uint64_t max_age_ms, uint64_t now_ms);

/* places: devices number stride, 2 * stride, ... of the list. took_ms: the measuring. */
void device_places_measured(struct device_places *p, const char *list, uint64_t total,
                            const struct place *places, size_t place_count, uint32_t stride, uint64_t took_ms,
                            uint64_t now_ms, uint64_t now_wall_ms);
/* False: it was not measured. */
bool device_places_look(struct device_places *p, const char *list, struct measured *measured,
                        uint64_t now_ms);
/* The last place that is no more than `first` devices from the beginning; *left: how many more are to be
 * passed over. NULL: the beginning itself. */
const struct place *device_places_jump(struct device_places *p, const char *list, uint64_t first,
                                       uint64_t *left);

#endif
