/* refusal.h: the reasons for which this room refuses what a peer says, the code each is answered with, and
 * their counting.
 *
 * Each reason is a counter (cyan_device_refused_total) and at most one log line in a session. Private to
 * device/. */
#ifndef CYAN_DEVICE_REFUSAL_H
#define CYAN_DEVICE_REFUSAL_H

#include "base/metrics.h"
#include "coap/message.h"

#define REFUSAL_MAP(X)                                                                                       \
    X(UNKNOWN_KEY, "unknown_key", COAP_EMPTY)                                                                \
    X(DENIED, "denied", COAP_EMPTY)                                                                          \
    X(REGISTRY_AWAY, "registry_away", COAP_EMPTY)                                                            \
    X(NO_HELLO, "no_hello", COAP_EMPTY)                                                                      \
    X(HELD_TOO_MANY, "held_too_many", COAP_EMPTY)                                                            \
    X(HELLO_MALFORMED, "hello_malformed", COAP_400_BAD_REQUEST)                                              \
    X(HELLO_WITHOUT_ID, "hello_without_id", COAP_400_BAD_REQUEST)                                            \
    X(KEY_ID_MISMATCH, "key_id_mismatch", COAP_403_FORBIDDEN)                                                \
    X(HELLO_REJECTED, "hello_rejected", COAP_400_BAD_REQUEST)                                                \
    X(BEFORE_HELLO, "before_hello", COAP_403_FORBIDDEN)                                                      \
    X(QUARANTINED, "quarantined", COAP_403_FORBIDDEN)                                                        \
    X(DESCRIBE_FLAGS, "describe_flags", COAP_400_BAD_REQUEST)                                                \
    X(DESCRIBE_MALFORMED, "describe_malformed", COAP_400_BAD_REQUEST)                                        \
    X(DESCRIBE_REJECTED, "describe_rejected", COAP_400_BAD_REQUEST)                                          \
    X(EVENT_NAME, "event_name", COAP_400_BAD_REQUEST)                                                        \
    X(EVENT_OPTIONS, "event_options", COAP_400_BAD_REQUEST)                                                  \
    X(EVENT_TOO_LARGE, "event_too_large", COAP_413_TOO_LARGE)                                                \
    X(EVENT_REJECTED, "event_rejected", COAP_400_BAD_REQUEST)                                                \
    X(SUBSCRIPTION_MALFORMED, "subscription_malformed", COAP_400_BAD_REQUEST)                                \
    X(SUBSCRIPTIONS_TOO_MANY, "subscriptions_too_many", COAP_400_BAD_REQUEST)                                \
    X(SUBSCRIPTION_REJECTED, "subscription_rejected", COAP_400_BAD_REQUEST)                                  \
    X(GOODBYE_MALFORMED, "goodbye_malformed", COAP_400_BAD_REQUEST)                                          \
    X(TIME_TOKEN, "time_token", COAP_400_BAD_REQUEST)                                                        \
    X(UPDATE_MALFORMED, "update_malformed", COAP_400_BAD_REQUEST)                                            \
    X(NOT_ACCEPTABLE, "not_acceptable", COAP_CODE(4, 6))                                                     \
    X(UNKNOWN_PATH, "unknown_path", COAP_404_NOT_FOUND)                                                      \
    X(WRONG_METHOD, "wrong_method", COAP_405_NOT_ALLOWED)                                                    \
    X(NOT_IMPLEMENTED, "not_implemented", COAP_501_NOT_IMPLEMENTED)                                          \
    X(STORE_BUSY, "store_busy", COAP_503_UNAVAILABLE)

#define X(id, name, code) REFUSED_##id,
enum refusal { REFUSED_NOT, REFUSAL_MAP(X) REFUSAL_COUNT };
#undef X

const char *refusal_name(enum refusal refusal);
uint8_t refusal_code(enum refusal refusal); /* COAP_EMPTY: nothing is answered */
void refusal_register(struct metric *counters[REFUSAL_COUNT], struct metrics *metrics);

#endif
