#include "device/subscription.h"

#include <string.h>

#include "device/text.h"

#define SYSTEM_VERSION_6_2                                                                                   \
    6200 /* from here on the query is a format and the scope is the owner's devices                          \
          */

/* The letter of the query, 0 without one, 0xff when it is none. */
static uint8_t query_letter(const struct coap_message *m)
{
    struct coap_option query;

    if (!coap_option_find(m, COAP_OPT_URI_QUERY, &query) || query.value_len == 0)
        return 0;
    return query.value_len == 1 && strchr("ucb", query.value[0]) != NULL && query.value[0] != 0
               ? query.value[0]
               : 0xff;
}

static bool read_scope(struct device_subscription *s, uint8_t letter)
{
    s->scope = 'o';
    s->format = letter == 'c' || letter == 'b' ? letter : 't';
    return letter != 0xff;
}

/* Up to 6.1: `u` = own devices, a device ID as payload = that one, neither = everybody's. */
static bool read_scope_before_6_2(struct device_subscription *s, uint8_t letter, const uint8_t *body,
                                  size_t body_len)
{
    s->format = 't';
    if (letter == 'u') {
        s->scope = 'o';
        return true;
    }
    if (letter != 0)
        return false;
    if (body_len > 0) {
        s->scope = 'd';
        return device_id_parse(&s->from, (const char *)body, body_len);
    }
    s->scope = 'p';
    return s->prefix[0] != '\0';
}

bool subscription_parse(struct device_subscription *subscription, const struct coap_message *m,
                        const char *path, const uint8_t *body, size_t body_len, uint16_t system_version)
{
    *subscription = (struct device_subscription){0};
    if (path[0] != 'e' || (path[1] != '\0' && path[1] != '/'))
        return false;
    const char *prefix = path[1] == '/' ? path + 2 : "";
    size_t prefix_len = strlen(prefix);
    if (prefix_len > DEVICE_EVENT_NAME_MAX || !text_is_clean(prefix, prefix_len))
        return false;
    memcpy(subscription->prefix, prefix, prefix_len);
    if (system_version >= SYSTEM_VERSION_6_2)
        return read_scope(subscription, query_letter(m));
    return read_scope_before_6_2(subscription, query_letter(m), body, body_len);
}
