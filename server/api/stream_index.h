/* stream_index.h: which feeds an event belongs to. A feed is what readers share who asked for the same: of
 * whom, and with which beginning of the name.
 *
 * An event is looked up by what is known of it, at most six times, and in each of these once for every length
 * of prefix that somebody asked for there: how many feeds or readers there are does not matter. Feeds of the
 * public stream have one entry for what is public and one for what is their person's own, of which an event
 * meets one. Ownership: the index borrows feeds from add to remove. Loop thread only. */
#ifndef CYAN_API_STREAM_INDEX_H
#define CYAN_API_STREAM_INDEX_H

#include "api/stream_log.h"
#include "base/table.h"
#include "fleet/event_tail.h"

#define STREAM_PREFIX_MAX DEVICE_EVENT_NAME_MAX /* no name begins with more */

enum stream_scope {
    STREAM_MINE,           /* of: the person; its devices and what it publishes itself */
    STREAM_PUBLIC,         /* of: the person; what is public, and what is its own */
    STREAM_DEVICE,         /* device, while it is owned by the person `of` */
    STREAM_ANY_DEVICE,     /* device, whoever owns it */
    STREAM_PRODUCT,        /* of: the product */
    STREAM_PRODUCT_DEVICE, /* device, while it is in the product `of` */
};
/* Fill a zeroed one: it is hashed and compared as bytes. */
struct stream_key {
    uint32_t scope; /* enum stream_scope */
    struct device_id device;
    int64_t of;
    uint8_t prefix_len;
    char prefix[STREAM_PREFIX_MAX];
};
bool stream_key_is_product(const struct stream_key *key);

struct stream;
struct stream_feed {
    struct stream_key key;
    struct stream_log log;
    struct stream *resting, *flowing; /* the readers: who have all, and who are being written to */
    size_t reader_count;
    struct stream_feed *prev, *next;             /* of all, for the owner */
    struct stream_feed *prev_fresh, *next_fresh; /* of those with something new */
    bool is_fresh;
    struct stream_feed *next_public; /* private: of the same public entry */
};

struct stream_index {
    struct table groups, entries; /* private */
};
void stream_index_deinit(struct stream_index *index); /* every feed was removed; a zeroed one is empty */
struct stream_feed *stream_index_find(const struct stream_index *index, const struct stream_key *key);
void stream_index_add(struct stream_index *index, struct stream_feed *feed);
void stream_index_remove(struct stream_index *index, struct stream_feed *feed);
typedef void stream_match_fn(void *ctx, struct stream_feed *feed);
/* Each feed at most once. */
void stream_index_match(const struct stream_index *index, const struct told_event *event, stream_match_fn *fn,
                        void *ctx);

#endif
