/* metrics.h: the process's counters and gauges, printed for Prometheus (text format 0.0.4).
 *
 * A metric is registered once, at start, by the object that counts; it keeps the returned pointer and adds to
 * `value` directly. Label values are fixed in the code, never taken from a peer, so the set is bounded.
 * Ownership: metrics live until metrics_free. Loop thread only. */
#ifndef CYAN_BASE_METRICS_H
#define CYAN_BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
    uint64_t value;
};
struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);
/* name like `cyan_handshakes_total`; label NULL, or a list like `outcome="ok"` without braces. Asking again
 * with the same name and label returns the same metric. name, help and label are copied. */
struct metric *metrics_add(struct metrics *m, enum metric_kind kind, const char *name, const char *label,
                           const char *help);
/* Text for /metrics; NUL-terminated, the caller frees; *text_len without the NUL. */
char *metrics_print(const struct metrics *m, size_t *text_len);

#endif
