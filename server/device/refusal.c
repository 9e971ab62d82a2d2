#include "device/refusal.h"

#include <stdio.h>

_Static_assert(REFUSAL_COUNT <= 32, "one bit each in struct device");

static const struct {
    const char *name;
    uint8_t code;
} refusals[REFUSAL_COUNT] = {[REFUSED_NOT] = {"", COAP_EMPTY},
#define X(id, name, code) [REFUSED_##id] = {name, code},
                             REFUSAL_MAP(X)
#undef X
};

const char *refusal_name(enum refusal refusal)
{
    return refusals[refusal].name;
}

uint8_t refusal_code(enum refusal refusal)
{
    return refusals[refusal].code;
}

void refusal_register(struct metric *counters[REFUSAL_COUNT], struct metrics *metrics)
{
    char label[64];

    for (int i = REFUSED_NOT + 1; i < REFUSAL_COUNT; i++) {
        (void)snprintf(label, sizeof(label), "reason=\"%s\"", refusals[i].name);
        counters[i] = metrics_add(metrics, METRIC_COUNTER, "cyan_device_refused_total", label,
                                  "Messages and sessions of devices that were refused");
    }
}
