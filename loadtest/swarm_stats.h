/* swarm_stats.h: what a run counts, and its report.
 *
 * Ownership: embedded in the run; swarm_stats_deinit frees. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_STATS_H
#define CYAN_LOADTEST_SWARM_STATS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define SWARM_REASONS_MAX 64
#define SWARM_REASON_SIZE 40
#define SWARM_SAMPLES_MAX 1048576

/* Counts by reason; the set is bounded by the code's own words. */
struct swarm_reasons {
    struct {
        char name[SWARM_REASON_SIZE];
        uint64_t count;
    } items[SWARM_REASONS_MAX];
    size_t count;
};
void swarm_reasons_add(struct swarm_reasons *r, const char *name);

struct swarm_samples {
    uint32_t *values; /* ours */
    size_t count, size;
};
void swarm_samples_add(struct swarm_samples *s, uint64_t value); /* kept up to SWARM_SAMPLES_MAX */

/* updates_applied: modules; update_bytes: of chunks that were new; goodput: bytes a second of each transfer.
 * server_pings: answered, in whatever state; challenges: of these before the session was settled. */
#define SWARM_COUNT_MAP(XX)                                                                                  \
    XX(handshakes_ok)                                                                                        \
    XX(rebinds)                                                                                              \
    XX(resumes)                                                                                              \
    XX(reboots)                                                                                              \
    XX(cold_boots)                                                                                           \
    XX(goodbyes)                                                                                             \
    XX(hellos)                                                                                               \
    XX(describes)                                                                                            \
    XX(events_sent)                                                                                          \
    XX(events_acked)                                                                                         \
    XX(events_rejected)                                                                                      \
    XX(events_received)                                                                                      \
    XX(pings)                                                                                                \
    XX(pongs)                                                                                                \
    XX(con_timeouts)                                                                                         \
    XX(server_requests)                                                                                      \
    XX(function_calls)                                                                                       \
    XX(variable_reads)                                                                                       \
    XX(server_pings)                                                                                         \
    XX(challenges)                                                                                           \
    XX(updates_started)                                                                                      \
    XX(updates_validated)                                                                                    \
    XX(updates_applied)                                                                                      \
    XX(updates_failed)                                                                                       \
    XX(chunks)                                                                                               \
    XX(dup_chunks)                                                                                           \
    XX(stray_chunks)                                                                                         \
    XX(overrun_chunks)                                                                                       \
    XX(update_bytes)

struct swarm_stats {
#define XX(name) uint64_t name;
    SWARM_COUNT_MAP(XX)
#undef XX
    uint64_t first_pong_ms; /* when; 0 = none yet */
    struct swarm_reasons handshakes_failed, sessions_lost, refusals, protocol_errors;
    struct swarm_samples ping_rtt_ms, event_rtt_ms, online_ms, transfer_ms, goodput;
};
json_t *swarm_samples_json(const struct swarm_samples *s); /* percentiles; sorts them */
json_t *swarm_reasons_json(const struct swarm_reasons *r);
void swarm_stats_clear(struct swarm_stats *s); /* all zero again */
void swarm_stats_add(struct swarm_stats *total, const struct swarm_stats *s);
void swarm_stats_deinit(struct swarm_stats *s);
/* The report without what only the run knows; a new reference. */
json_t *swarm_stats_json(const struct swarm_stats *s);

#endif
