/* test_event.c: events and subscriptions as devices send them (device-protocol 4.7, 4.8, 4.11; device-trace
 * 3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "device/event.h"
#include "device/subscription.h"

/* A message out of hex, on the heap so that the sanitizer sees a byte too many. */
struct decoded {
    uint8_t *data;
    struct coap_message m;
    char path[512];
};

static void decode(struct decoded *d, const char *hex)
{
    size_t len = strlen(hex) / 2;

    d->data = mem_alloc(len);
    assert_true(hex_decode(d->data, len, hex, strlen(hex)));
    assert_int_equal(coap_message_decode(&d->m, d->data, len), COAP_DECODED);
    assert_true(coap_options_join(&d->m, COAP_OPT_URI_PATH, '/', d->path, sizeof(d->path)));
}

static enum refusal read_event(struct decoded *d, struct device_event *event, const char *hex)
{
    decode(d, hex);
    return event_parse(event, &d->m, d->path, d->m.payload, d->m.payload_len);
}

static void assert_event(const char *hex, const char *name, const char *data, enum device_event_kind kind)
{
    struct decoded d;
    struct device_event event;

    assert_int_equal(read_event(&d, &event, hex), REFUSED_NOT);
    assert_string_equal(event.name, name);
    assert_int_equal(event.data_len, strlen(data));
    if (event.data_len > 0)
        assert_memory_equal(event.data, data, event.data_len);
    assert_int_equal(event.kind, kind);
    assert_int_equal(event.content_format, 0);
    assert_int_equal(event.ttl_s, 60);
    assert_false(event.is_public);
    free(d.data);
}

static void reads_the_vectors(void **state)
{
    (void)state;
    assert_event("40020102b1450d0a737061726b2f6465766963652f6c6173745f7265736574ff75736572",
                 "spark/device/last_reset", "user", DEVICE_EVENT_LAST_RESET);
    assert_event("40020004b1450d127061727469636c652f6465766963652f757064617465732f656e61626c6564ff74727565",
                 "particle/device/updates/enabled", "true", DEVICE_EVENT_UPDATES_ENABLED);
    assert_event("40020005b1450d117061727469636c652f6465766963652f757064617465732f666f72636564ff66616c7365",
                 "particle/device/updates/forced", "false", DEVICE_EVENT_UPDATES_FORCED);
    assert_event("4002000bb14509766465762f7469636bff31", "vdev/tick", "1", DEVICE_EVENT_USER);
    /* the name in several path options */
    assert_event("40021006b145087061727469636c65066465766963650775706461746573"
                 "06666f72636564ff74727565",
                 "particle/device/updates/forced", "true", DEVICE_EVENT_UPDATES_FORCED);
    /* no payload, and a marker with nothing after it */
    assert_event("40020102b14502676f", "go", "", DEVICE_EVENT_USER);
    assert_event("40020102b14502676fff", "go", "", DEVICE_EVENT_USER);
}

static void reads_format_and_lifetime(void **state)
{
    struct decoded d;
    struct device_event event;
    (void)state;

    assert_int_equal(read_event(&d, &event, "40020103b1450474656d70113c22012cffa0"), REFUSED_NOT);
    assert_string_equal(event.name, "temp");
    assert_int_equal(event.content_format, 60);
    assert_int_equal(event.ttl_s, 300);
    free(d.data);
    assert_int_equal(read_event(&d, &event, "40020103b1650474656d703400015180"), REFUSED_NOT);
    assert_true(event.is_public);
    assert_int_equal(event.ttl_s, 86400); /* four bytes with a leading zero */
    free(d.data);
    assert_int_equal(read_event(&d, &event, "40020103b1450474656d7034ffffffff"), REFUSED_NOT);
    assert_int_equal(event.ttl_s, EVENT_TTL_MAX_S);
    free(d.data);
    assert_int_equal(read_event(&d, &event, "40020103b1450474656d70350000000001"), REFUSED_EVENT_OPTIONS);
    free(d.data);
    assert_int_equal(read_event(&d, &event, "40020103b1450474656d7013010000"), REFUSED_EVENT_OPTIONS);
    free(d.data);
}

static void names_are_checked(void **state)
{
    static const struct coap_message none = {0};
    char path[80] = "E/";
    struct device_event event;
    (void)state;

    assert_int_equal(event_parse(&event, &none, "E", NULL, 0), REFUSED_EVENT_NAME);
    assert_int_equal(event_parse(&event, &none, "E/", NULL, 0), REFUSED_EVENT_NAME);
    memset(path + 2, 'x', DEVICE_EVENT_NAME_MAX);
    assert_int_equal(event_parse(&event, &none, path, NULL, 0), REFUSED_NOT);
    path[2 + DEVICE_EVENT_NAME_MAX] = 'x';
    assert_int_equal(event_parse(&event, &none, path, NULL, 0), REFUSED_EVENT_NAME);
    assert_int_equal(event_parse(&event, &none, "E/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", NULL, 0),
                     REFUSED_NOT);
    static const char *const bad[] = {"E/a\nb",
                                      "E/\x7f",
                                      "E/\xff",
                                      "E/\xc3",
                                      "E/\xc0\xaf",
                                      "E/\xed\xa0\x80",
                                      "E/\xe2\x82",
                                      "E/\xf4\x90\x80\x80",
                                      "E/\xf0\x80\x80\x80",
                                      "E/\xc2\x85",
                                      "E/a\x80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(event_parse(&event, &none, bad[i], NULL, 0), REFUSED_EVENT_NAME);
}

static void data_is_bounded(void **state)
{
    static const uint8_t data[DEVICE_EVENT_DATA_MAX + 1] = {0};
    static const struct coap_message none = {0};
    struct device_event event;
    (void)state;

    assert_int_equal(event_parse(&event, &none, "E/x", data, DEVICE_EVENT_DATA_MAX), REFUSED_NOT);
    assert_int_equal(event_parse(&event, &none, "E/x", data, DEVICE_EVENT_DATA_MAX + 1),
                     REFUSED_EVENT_TOO_LARGE);
    assert_int_equal(refusal_code(REFUSED_EVENT_TOO_LARGE), COAP_413_TOO_LARGE);
    assert_int_equal(refusal_code(REFUSED_EVENT_NAME), COAP_400_BAD_REQUEST);
}

static enum device_event_kind kind(const char *name, const char *data)
{
    return event_kind(name, (const uint8_t *)data, strlen(data));
}

static void system_events_mean_what_their_data_allows(void **state)
{
    (void)state;
    assert_int_equal(
        kind("spark/device/claim/code", "8uWXPBRYaPKdIeq7RVX7dRuqSv1zZ2jjAkZc7pjqGtcbWNDEsBOTZ3PLsFvDdVZ"),
        DEVICE_EVENT_CLAIM_CODE);
    assert_int_equal(kind("spark/device/claim/code", ""), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("spark/device/claim/code", "a\nb"), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("spark/device/safemode", ""), DEVICE_EVENT_SAFE_MODE);
    assert_int_equal(kind("spark/device/safemode", "{\"f\":[]}"), DEVICE_EVENT_SAFE_MODE);
    assert_int_equal(kind("spark/device/last_reset", "panic, hard_fault"), DEVICE_EVENT_LAST_RESET);
    assert_int_equal(kind("particle/device/updates/enabled", "false"), DEVICE_EVENT_UPDATES_ENABLED);
    assert_int_equal(kind("particle/device/updates/enabled", "tru"), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("particle/device/updates/forced", ""), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("spark/hardware/max_binary", "102400"), DEVICE_EVENT_MAX_BINARY);
    assert_int_equal(kind("spark/hardware/max_binary", "4294967296"), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("spark/hardware/max_binary", "-1"), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("spark/hardware/ota_chunk_size", "512"), DEVICE_EVENT_CHUNK_BYTES);
    assert_int_equal(kind("spark/cc3000-patch-version", "1.23"), DEVICE_EVENT_CC3000_PATCH);
    assert_int_equal(kind("spark/cc3000-patch-version", "1.28"), DEVICE_EVENT_CC3000_PATCH);
    assert_int_equal(kind("spark/cc3000-patch-version", "1."), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("spark/cc3000-patch-version", ".1"), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("spark/cc3000-patch-version", "1..2"), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("spark/cc3000-patch-version", "1.2x"), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("spark/device/ident/0", "89014103211118510720"), DEVICE_EVENT_IDENTITY);
    assert_int_equal(kind("spark/device/key/error", "5"), DEVICE_EVENT_KEY_ERROR);
    assert_int_equal(kind("spark/device/app-hash", "aa"), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("particle", ""), DEVICE_EVENT_SYSTEM_OTHER);
    assert_int_equal(kind("sparkle", ""), DEVICE_EVENT_SYSTEM_OTHER); /* the prefix alone counts */
    assert_int_equal(kind("Spark/x", ""), DEVICE_EVENT_USER);
    assert_int_equal(kind("temperature", "21"), DEVICE_EVENT_USER);
}

static bool read_subscription(struct device_subscription *s, const char *hex, uint16_t system_version)
{
    struct decoded d;

    decode(&d, hex);
    bool read = subscription_parse(s, &d.m, d.path, d.m.payload, d.m.payload_len, system_version);
    free(d.data);
    return read;
}

static void assert_subscription(const char *hex, uint16_t system_version, const char *prefix, char scope,
                                char format)
{
    struct device_subscription s;

    assert_true(read_subscription(&s, hex, system_version));
    assert_string_equal(s.prefix, prefix);
    assert_int_equal(s.scope, scope);
    assert_int_equal(s.format, format);
}

static void subscriptions_of_6_2(void **state)
{
    (void)state;
    assert_subscription("40010104b16505737061726b", 6200, "spark", 'o', 't');
    assert_subscription("40010009b16508766465762f636d64", 6200, "vdev/cmd", 'o', 't');
    assert_subscription("40010009b16508766465762f636d644163", 6200, "vdev/cmd", 'o', 'c');
    assert_subscription("40010009b16508766465762f636d644162", 6200, "vdev/cmd", 'o', 'b');
    assert_subscription("40010009b16508766465762f636d6440", 6200, "vdev/cmd", 'o', 't');
    assert_subscription("40010009b165", 6200, "", 'o', 't');
}

static void subscriptions_before_6_2(void **state)
{
    struct device_subscription s;
    char id[DEVICE_ID_TEXT_SIZE];
    (void)state;

    assert_subscription("40010105b1650474656d704175", 6101, "temp", 'o', 't');
    assert_subscription("40010008b165087061727469636c654175", 0, "particle", 'o', 't');
    assert_subscription("40010105b1650474656d70", 6101, "temp", 'p', 't');
    assert_subscription("40010105b1654175", 0, "", 'o', 't');
    assert_true(read_subscription(
        &s, "40010105b1650474656d70ff303132333435363738396162636465663031323334353637", 2302));
    assert_int_equal(s.scope, 'd');
    device_id_format(id, &s.from);
    assert_string_equal(id, "0123456789abcdef01234567");
}

static void subscriptions_that_are_none(void **state)
{
    struct device_subscription s;
    char path[80] = "e/";
    static const struct coap_message none = {0};
    (void)state;

    assert_false(read_subscription(&s, "40010105b165", 6101));            /* everybody's everything */
    assert_false(read_subscription(&s, "40010105b1650474656d704163", 0)); /* `c` came with 6.2 */
    assert_false(read_subscription(&s, "40010105b1650474656d704178", 6200));
    assert_false(read_subscription(&s, "40010105b1650474656d70427563", 6200));
    assert_false(read_subscription(&s, "40010105b1650474656d704100", 6200));
    assert_false(read_subscription(&s, "40010105b1650474656d70ff3031", 0)); /* no device ID */
    memset(path + 2, 'x', DEVICE_EVENT_NAME_MAX + 1);
    assert_false(subscription_parse(&s, &none, path, NULL, 0, 6200));
    path[2 + DEVICE_EVENT_NAME_MAX] = '\0';
    assert_true(subscription_parse(&s, &none, path, NULL, 0, 6200));
    assert_false(subscription_parse(&s, &none, "e/\xff", NULL, 0, 6200));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_vectors),
        cmocka_unit_test(reads_format_and_lifetime),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(data_is_bounded),
        cmocka_unit_test(system_events_mean_what_their_data_allows),
        cmocka_unit_test(subscriptions_of_6_2),
        cmocka_unit_test(subscriptions_before_6_2),
        cmocka_unit_test(subscriptions_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
