/* swarm_update_private.h: what the protocols of an update share. Not for others. */
#ifndef CYAN_LOADTEST_SWARM_UPDATE_PRIVATE_H
#define CYAN_LOADTEST_SWARM_UPDATE_PRIVATE_H

#include "swarm_boot.h"
#include "swarm_update.h"

#define SWARM_CHUNK_MAX_BYTES 1136
#define SWARM_CHUNK_DEFAULT_BYTES 512

enum swarm_update_state {
    SWARM_UPDATE_NONE,
    SWARM_UPDATE_ERASING,
    SWARM_UPDATE_RECEIVING,
    SWARM_UPDATE_VALIDATING,
    SWARM_UPDATE_ANSWERED,
    SWARM_UPDATE_APPLYING
};
enum swarm_update_protocol { SWARM_UPDATE_CONFIRMED = 1, SWARM_UPDATE_FAST = 2, SWARM_UPDATE_V3 = 3 };

/* A chunk, perhaps one that waits for a slow device. */
struct swarm_chunk {
    struct swarm_chunk *next;
    struct swarm_coap_token token;
    uint32_t index;
    const uint8_t *data; /* borrowed from the message, or bytes */
    size_t len;
    uint8_t bytes[]; /* only while it waits */
};
struct swarm_update;
typedef void swarm_chunk_fn(struct swarm_update *u, const struct swarm_chunk *chunk);

struct swarm_update {
    struct swarm_device *device; /* borrowed: it owns this */
    struct deadline step;        /* end of ERASING, VALIDATING; start of APPLYING */
    struct deadline idle;        /* no chunk for so long */
    struct deadline ack;         /* version 3 */
    struct deadline drain;       /* next of the waiting chunks */
    struct swarm_chunk *waiting; /* ours, oldest first; only of a slow device */
    swarm_chunk_fn *take;        /* takes those */
    struct swarm_image *image;   /* ours, NULL when nothing is kept */
    struct swarm_image_key key;
    uint8_t *got; /* ours: a bit for each chunk of this transfer */
    struct swarm_boots boots;
    struct swarm_told told;
    uint64_t started_ms, flushed_ms;
    uint32_t kept_bytes;    /* without a gap, from the beginning */
    uint32_t flushed_bytes; /* of these, what survives a loss of power */
    uint32_t noticed_bytes;
    uint32_t start_bytes, chunk_bytes, chunk_count, window;
    uint32_t cumulative, highest, got_count; /* chunks, the first is 1 */
    uint32_t got_bytes;
    uint32_t recv_chunks, dup_chunks, ooo_chunks, sent_acks;
    uint32_t unacked; /* version 3: chunks since the last ack */
    uint32_t flight;  /* old protocols: chunks since the last list of missing ones */
    int refused_code; /* ANSWERED */
    uint32_t waiting_count;
    struct swarm_coap_token token; /* of the request that waits for its response */
    enum swarm_update_state state;
    enum swarm_update_protocol protocol;
};

/* What became of a chunk. GONE: the device has lost its power over it, touch nothing. */
enum swarm_stored { SWARM_STORED, SWARM_STORED_AGAIN, SWARM_STORED_GONE };

struct swarm_update *swarm_update_of(struct swarm_device *d); /* makes it */
uint64_t swarm_update_scaled(const struct swarm_update *u, uint64_t ms);
/* Why no update can start now, or OK. */
enum swarm_code swarm_update_refusal(const struct swarm_update *u, uint32_t file_bytes);
/* ERASING; on_ready comes when that is done. Goes on with what is kept of the same file, unless it is of a
 * protocol or a start that cannot. */
void swarm_update_begin(struct swarm_update *u, const struct swarm_image_key *key, uint32_t chunk_bytes,
                        deadline_fn *on_ready, deadline_fn *on_idle);
void swarm_update_heard(struct swarm_update *u); /* a chunk came: it is not idle */
bool swarm_update_has(const struct swarm_update *u, uint32_t index);
size_t swarm_update_chunk_len(const struct swarm_update *u, uint32_t index);
enum swarm_stored swarm_update_store(struct swarm_update *u, const struct swarm_chunk *chunk);
/* Takes it at once, or when a slow device has worked off those before. */
void swarm_update_pass(struct swarm_update *u, const struct swarm_chunk *chunk, swarm_chunk_fn *take);
/* Of a complete file. */
enum swarm_code swarm_update_judge(struct swarm_update *u);
void swarm_update_validated(struct swarm_update *u); /* the server is told that it is good */
/* NONE; what is kept stays. */
void swarm_update_fail(struct swarm_update *u, const char *reason, int code);
void swarm_update_discard(struct swarm_update *u);
/* By itself, and not because the server said so: it is no second time when that comes again. */
void swarm_update_throw_away(struct swarm_update *u, uint32_t but_bytes);
/* Not idle, not waiting for anything: over, one way or the other. */
void swarm_update_quiet(struct swarm_update *u);

bool swarm_update_v3_take(struct swarm_device *d, const struct swarm_coap_in *in, uint8_t letter) must_check;
void swarm_update_v3_acknowledged(struct swarm_update *u, unsigned int kind);
bool swarm_update_legacy_take(struct swarm_device *d, const struct swarm_coap_in *in,
                              uint8_t letter) must_check;

#define SWARM_UPDATE_OF(deadline, member)                                                                    \
    ((struct swarm_update *)(void *)((char *)(deadline)-offsetof(struct swarm_update, member)))

#endif
