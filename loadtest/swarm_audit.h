/* swarm_audit.h: proof that the server never used a sequence number twice under one key.
 *
 * Every record that opens is noted, also those that the replay window turns away. The numbers seen are kept
 * as runs without a gap, for the whole life of the keys, so that none is forgotten; of the last few thousand
 * also what they looked like, since a network may deliver one record twice. The same number with other bytes
 * is reuse; so is a number so old that its bytes are forgotten, which no network keeps that long.
 *
 * Ownership: embedded in the session, goes with its keys; swarm_audit_clear frees. A zeroed one is empty. */
#ifndef CYAN_LOADTEST_SWARM_AUDIT_H
#define CYAN_LOADTEST_SWARM_AUDIT_H

#include "base/bytes.h"
#include "base/must.h"

#define SWARM_AUDIT_FACES_MAX 4096

struct swarm_audit_run {
    uint64_t first, last;
};
struct swarm_audit {
    struct swarm_audit_run newest; /* when any */
    struct audit_past *past;       /* ours: older runs, what records looked like; NULL = none */
    bool any;
};
enum swarm_audit_verdict { SWARM_AUDIT_NEW, SWARM_AUDIT_SAME, SWARM_AUDIT_REUSED };

enum swarm_audit_verdict swarm_audit_note(struct swarm_audit *a, uint64_t seq, const uint8_t *record,
                                          size_t record_len);
/* Nothing is under way to the device any more: forgets what records looked like, and no number. */
void swarm_audit_rest(struct swarm_audit *a);
void swarm_audit_clear(struct swarm_audit *a);
/* The runs as bytes, oldest first. */
void swarm_audit_put(const struct swarm_audit *a, struct bytes_writer *w);
size_t swarm_audit_put_bytes(const struct swarm_audit *a); /* how many swarm_audit_put writes */
bool swarm_audit_get(struct swarm_audit *a, struct bytes_reader *r) must_check; /* into an empty one */

#endif
