#include "device/event.h"

#include <string.h>

#include "device/text.h"

#define CLAIM_CODE_MAX 64 /* bytes; devices send 63 */
#define SHORT_TEXT_MAX 64 /* bytes: reset reasons, identities */
#define VERSION_TEXT_MAX 31

typedef bool data_check_fn(const uint8_t *data, size_t data_len);

static bool is_anything(const uint8_t *data, size_t data_len)
{
    (void)data;
    (void)data_len;
    return true;
}

static bool is_claim_code(const uint8_t *data, size_t data_len)
{
    return text_is_printable(data, data_len, CLAIM_CODE_MAX);
}

static bool is_short_text(const uint8_t *data, size_t data_len)
{
    return text_is_printable(data, data_len, SHORT_TEXT_MAX);
}

static bool is_flag(const uint8_t *data, size_t data_len)
{
    return (data_len == 4 && memcmp(data, "true", 4) == 0) ||
           (data_len == 5 && memcmp(data, "false", 5) == 0);
}

static bool is_byte_count(const uint8_t *data, size_t data_len)
{
    return data_len <= 10 && text_is_decimal(data, data_len, UINT32_MAX);
}

/* Numbers with dots between them. */
static bool is_version(const uint8_t *data, size_t data_len)
{
    bool after_digit = false;

    if (data_len > VERSION_TEXT_MAX)
        return false;
    for (size_t i = 0; i < data_len; i++) {
        bool digit = data[i] >= '0' && data[i] <= '9';
        if (!digit && (data[i] != '.' || !after_digit))
            return false;
        after_digit = digit;
    }
    return after_digit;
}

static const struct {
    const char *name;
    enum device_event_kind kind;
    data_check_fn *is_good;
} system_events[] = {
    {"spark/device/claim/code", DEVICE_EVENT_CLAIM_CODE, is_claim_code},
    {"spark/device/safemode", DEVICE_EVENT_SAFE_MODE, is_anything},
    {"spark/device/last_reset", DEVICE_EVENT_LAST_RESET, is_short_text},
    {"particle/device/updates/enabled", DEVICE_EVENT_UPDATES_ENABLED, is_flag},
    {"particle/device/updates/forced", DEVICE_EVENT_UPDATES_FORCED, is_flag},
    {"spark/hardware/max_binary", DEVICE_EVENT_MAX_BINARY, is_byte_count},
    {"spark/hardware/ota_chunk_size", DEVICE_EVENT_CHUNK_BYTES, is_byte_count},
    {"spark/cc3000-patch-version", DEVICE_EVENT_CC3000_PATCH, is_version},
    {"spark/device/ident/0", DEVICE_EVENT_IDENTITY, is_short_text},
    {"spark/device/key/error", DEVICE_EVENT_KEY_ERROR, is_byte_count},
};

enum device_event_kind event_kind(const char *name, const uint8_t *data, size_t data_len)
{
    if (strncmp(name, "spark", 5) != 0 && strncmp(name, "particle", 8) != 0)
        return DEVICE_EVENT_USER;
    for (size_t i = 0; i < sizeof(system_events) / sizeof(system_events[0]); i++) {
        if (strcmp(name, system_events[i].name) == 0)
            return system_events[i].is_good(data, data_len) ? system_events[i].kind
                                                            : DEVICE_EVENT_SYSTEM_OTHER;
    }
    return DEVICE_EVENT_SYSTEM_OTHER;
}

static bool read_options(struct device_event *event, const struct coap_message *m)
{
    struct coap_option option;
    uint32_t value;

    event->content_format = 0;
    event->ttl_s = EVENT_TTL_DEFAULT_S;
    if (coap_option_find(m, COAP_OPT_CONTENT_FORMAT, &option)) {
        if (!coap_option_uint(&option, &value) || value > UINT16_MAX)
            return false;
        event->content_format = (uint16_t)value;
    }
    if (coap_option_find(m, COAP_OPT_MAX_AGE, &option)) {
        if (!coap_option_uint(&option, &value))
            return false;
        event->ttl_s = value > EVENT_TTL_MAX_S ? EVENT_TTL_MAX_S : value;
    }
    return true;
}

enum refusal event_parse(struct device_event *event, const struct coap_message *m, const char *path,
                         const uint8_t *body, size_t body_len)
{
    *event = (struct device_event){.is_public = path[0] == 'e', .data = body, .data_len = body_len};
    if (path[0] == '\0' || path[1] != '/')
        return REFUSED_EVENT_NAME;
    event->name = path + 2;
    size_t name_len = strlen(event->name);
    if (name_len == 0 || name_len > DEVICE_EVENT_NAME_MAX || !text_is_clean(event->name, name_len))
        return REFUSED_EVENT_NAME;
    if (body_len > DEVICE_EVENT_DATA_MAX)
        return REFUSED_EVENT_TOO_LARGE;
    if (!read_options(event, m))
        return REFUSED_EVENT_OPTIONS;
    event->kind = event_kind(event->name, body, body_len);
    return REFUSED_NOT;
}
