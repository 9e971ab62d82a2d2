#include "base/bytes.h"
#include "base/mem.h"
#include "device/describe_read.h"

#define ID_BYTES 2
#define VALUE_BYTES 4
#define ERROR_BIT 0x8000u
#define ID_BITS 0x7fffu
#define KNOWN_ID_MAX 60

/* Diagnostic IDs that systems define (device-protocol Appendix B). */
static bool is_known_id(uint16_t id)
{
    static const struct {
        uint8_t first, last;
    } known[] = {{1, 10}, {12, 31}, {33, 37}, {40, 49}, {60, KNOWN_ID_MAX}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (id >= known[i].first && id <= known[i].last)
            return true;
    }
    return false;
}

/* device-protocol 4.4.5; all little-endian. */
bool describe_read_metrics(struct describe *d, const uint8_t *body, size_t body_len, const char **why)
{
    struct bytes_reader r;

    *why = "the head of the metrics is not as it should be";
    bytes_reader_init(&r, body, body_len);
    if (bytes_get_u8(&r) != 0 || bytes_get_le16(&r) != DESCRIBE_METRICS || bytes_get_le16(&r) != ID_BYTES ||
        bytes_get_le16(&r) != VALUE_BYTES || r.bad)
        return false;
    size_t count = bytes_left(&r) / (ID_BYTES + VALUE_BYTES);
    if (bytes_left(&r) % (ID_BYTES + VALUE_BYTES) != 0) {
        *why = "the last metric is cut off";
        return false;
    }
    if (count > DESCRIBE_METRICS_MAX) {
        *why = "too many metrics";
        return false;
    }
    d->metrics = mem_array(count, sizeof(*d->metrics));
    for (; d->metric_count < count; d->metric_count++) {
        struct metric_value *metric = &d->metrics[d->metric_count];
        metric->id = bytes_get_le16(&r);
        metric->value = (int32_t)bytes_get_le32(&r);
        /* From 32768 on IDs are applications' own too: an error only when the ID below it is a system's. */
        metric->is_error = (metric->id & ERROR_BIT) != 0 && is_known_id(metric->id & ID_BITS);
        if (metric->is_error)
            metric->id = (uint16_t)(metric->id & ID_BITS);
    }
    d->parts = DESCRIBE_METRICS;
    return true;
}
