/* firmware_cache.h: the bytes of module binaries, read from Postgres once and shared by all who send them.
 *
 *   wanted --cached--> ready --next turn--> done
 *      \--LOADING slice by slice, one load however many want it--> done
 *
 * What was read is checked against its SHA-256 before anybody gets it. Bounded: what nobody holds leaves, the
 * longest unused first, when there is more than FIRMWARE_CACHE_MAX_BYTES; when what is held fills it alone,
 * new loads wait for room until FIRMWARE_CACHE_WAIT_MS and end as FLEET_AWAY. Whether a binary is withdrawn
 * is not asked here: who sends it asks, in the statement that moves its step. Ownership: a part of struct
 * fleet (fleet_firmware_cache). Loop thread only. */
#ifndef CYAN_FLEET_FIRMWARE_CACHE_H
#define CYAN_FLEET_FIRMWARE_CACHE_H

#include "fleet/fleet.h"

#define FIRMWARE_CACHE_MAX_BYTES (64u << 20)
#define FIRMWARE_CACHE_WAIT_MS 30000

/* Never changes while it is held. */
struct firmware_blob {
    int64_t module_id; /* module_binary.id */
    const uint8_t *data;
    size_t data_len;
    uint8_t sha256[32]; /* of data */
    uint16_t platform_id, version;
    uint8_t function, index, mcu; /* enum module_function */
};
void firmware_hold(const struct firmware_blob *blob);
/* blob may be gone on return. */
void firmware_release(const struct firmware_blob *blob);

struct firmware_cache;
struct firmware_cache *firmware_cache_new(struct fleet *f, struct metrics *metrics);
/* Ends every wait as FLEET_AWAY; nothing is loaded any more. */
void firmware_cache_stop(struct firmware_cache *c);
/* What is held still lives until it is released. */
void firmware_cache_free(struct firmware_cache *c);

/* FLEET_OK: blob, borrowed during the call: firmware_hold keeps it. FLEET_NOT_FOUND: no such binary.
 * FLEET_AWAY: Postgres or room is wanting, try again. FLEET_FAULT: what is stored is damaged; logged. */
typedef void firmware_done_fn(void *arg, enum fleet_err err, const struct firmware_blob *blob);
struct firmware_wait;
/* Answers exactly once, from the loop, never from inside. The handle is valid until then. */
struct firmware_wait *firmware_get(struct firmware_cache *c, int64_t module_id, firmware_done_fn *done,
                                   void *arg);
/* No callback after this; *wait becomes NULL; NULL is fine. */
void firmware_cancel(struct firmware_wait **wait);

#endif
