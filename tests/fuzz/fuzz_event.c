/* fuzz_event.c: a CoAP message read as an event and as a subscription. */
#include <string.h>

#include "base/must.h"
#include "device/event.h"
#include "device/subscription.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    struct coap_message m;
    struct device_event event;
    struct device_subscription subscription;
    char path[512];

    if (coap_message_decode(&m, data, data_len) != COAP_DECODED ||
        !coap_options_join(&m, COAP_OPT_URI_PATH, '/', path, sizeof(path)))
        return 0;
    if (event_parse(&event, &m, path, m.payload, m.payload_len) == REFUSED_NOT) {
        must(strlen(event.name) > 0 && strlen(event.name) <= DEVICE_EVENT_NAME_MAX);
        must(event.data_len <= DEVICE_EVENT_DATA_MAX && event.ttl_s <= EVENT_TTL_MAX_S);
    }
    for (uint16_t version = 6101; version <= 6200; version = (uint16_t)(version + 99)) {
        if (subscription_parse(&subscription, &m, path, m.payload, m.payload_len, version)) {
            must(strchr("opd", subscription.scope) != NULL && strchr("tcb", subscription.format) != NULL);
        }
    }
    return 0;
}
