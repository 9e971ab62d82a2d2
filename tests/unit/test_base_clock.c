/* test_base_clock.c: time as text, the token bucket, the text of /metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bucket.h"
#include "base/clock.h"
#include "base/metrics.h"

static void formats_with_milliseconds(void **state)
{
    char text[CLOCK_TEXT_SIZE];
    (void)state;

    clock_format(text, 1404342900409ULL);
    assert_string_equal(text, "2014-07-02T23:15:00.409Z");
    clock_format(text, 0);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    clock_format(text, UINT64_MAX);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void parses_what_people_write(void **state)
{
    static const struct {
        const char *text;
        uint64_t wall_ms;
    } good[] = {
        {"2014-07-02T23:15:00.409Z", 1404342900409ULL},
        {"2014-07-02T23:15:00Z", 1404342900000ULL},
        {"2014-07-02T23:15Z", 1404342900000ULL},
        {"2014-07-03T01:15:00.4+02:00", 1404342900400ULL},
        {"2014-07-02T17:45:00.409876543-05:30", 1404342900409ULL},
        {"2014-07-02", 1404259200000ULL},
        {"2024-02-29", 1709164800000ULL},
        {"2000-02-29", 951782400000ULL},
        {"1970-01-01T00:00:00Z", 0},
        {"2016-12-31T23:59:60Z", 1483228800000ULL}, /* a leap second is the next second */
    };
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t wall_ms = 1;
        if (!clock_parse(&wall_ms, good[i].text) || wall_ms != good[i].wall_ms)
            fail_msg("%s became %llu", good[i].text, (unsigned long long)wall_ms);
    }
}

static void refuses_what_is_no_time(void **state)
{
    static const char *const bad[] = {
        "",
        "2014",
        "2014-07",
        "2014-7-02",
        "2014-13-01",
        "2014-00-01",
        "2014-02-29",
        "1900-02-29",
        "2014-07-32",
        "2014-07-00",
        "1969-12-31",
        "1970-01-01T00:00:00+01:00",
        "2014-07-02T23:15:00",
        "2014-07-02T24:15:00Z",
        "2014-07-02T23:60:00Z",
        "2014-07-02T23:15:61Z",
        "2014-07-02T23:15:00.Z",
        "2014-07-02T23:15:00.4",
        "2014-07-02T23:15:00+0200",
        "2014-07-02T23:15:00+24:00",
        "2014-07-02T23:15:00Zx",
        "2014-07-02 23:15:00Z",
        "2014-07-02T",
        "-014-07-02",
        "2014-07-02x",
    };
    uint64_t wall_ms;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (clock_parse(&wall_ms, bad[i]))
            fail_msg("%s was taken for a time", bad[i]);
    }
}

static void text_and_time_go_both_ways(void **state)
{
    char text[CLOCK_TEXT_SIZE];
    (void)state;

    for (uint64_t wall_ms = 1; wall_ms < 253402300799999ULL; wall_ms = wall_ms * 3 + 86399999) {
        uint64_t again = 0;
        clock_format(text, wall_ms);
        assert_true(clock_parse(&again, text));
        assert_true(again == wall_ms);
    }
}

static void clocks_run(void **state)
{
    uint64_t before = clock_ms();
    (void)state;

    assert_true(clock_ms() >= before);
    assert_true(clock_wall_ms() > 1600000000000ULL); /* after 2020, else this machine has no clock */
}

static void a_bucket_gives_its_burst_and_then_its_rate(void **state)
{
    struct bucket b;
    unsigned taken = 0;
    (void)state;

    bucket_init(&b, 3, 2, 1000);
    for (int i = 0; i < 10; i++)
        taken += bucket_take(&b, 1000);
    assert_int_equal(taken, 3);
    assert_false(bucket_take(&b, 1499));
    assert_true(bucket_take(&b, 1500));  /* thousandths of the refused try were kept */
    assert_false(bucket_take(&b, 1400)); /* an older time gives nothing */
    taken = 0;
    for (uint64_t now_ms = 2000; now_ms < 12000; now_ms += 7)
        taken += bucket_take(&b, now_ms);
    assert_in_range(taken, 20, 21);
    taken = 0;
    for (int i = 0; i < 10; i++)
        taken += bucket_take(&b, UINT64_MAX); /* full again, not more, no overflow */
    assert_int_equal(taken, 3);
}

static void an_unfilled_bucket_stays_empty(void **state)
{
    struct bucket b;
    (void)state;

    bucket_init(&b, 1, 0, 0);
    assert_true(bucket_take(&b, 0));
    assert_false(bucket_take(&b, UINT64_MAX));
    bucket_init(&b, 4294967, 4000000000U, 0);
    assert_true(bucket_take(&b, 1));
    assert_true(bucket_take(&b, 2));
}

static void metrics_print_as_prometheus_reads(void **state)
{
    struct metrics *m = metrics_new();
    size_t text_len;
    (void)state;

    struct metric *ok =
        metrics_add(m, METRIC_COUNTER, "cyan_handshakes_total", "outcome=\"ok\"", "Handshakes.");
    struct metric *up = metrics_add(m, METRIC_GAUGE, "cyan_sessions", NULL, "A back\\slash\nand a line.");
    struct metric *bad =
        metrics_add(m, METRIC_COUNTER, "cyan_handshakes_total", "outcome=\"bad\"", "Handshakes.");
    assert_ptr_equal(metrics_add(m, METRIC_COUNTER, "cyan_handshakes_total", "outcome=\"ok\"", "Handshakes."),
                     ok);
    assert_ptr_equal(metrics_add(m, METRIC_GAUGE, "cyan_sessions", NULL, ""), up);
    ok->value = 5;
    bad->value += 1;
    up->value = UINT64_MAX;
    char *text = metrics_print(m, &text_len);
    assert_string_equal(text, "# HELP cyan_handshakes_total Handshakes.\n"
                              "# TYPE cyan_handshakes_total counter\n"
                              "cyan_handshakes_total{outcome=\"ok\"} 5\n"
                              "cyan_handshakes_total{outcome=\"bad\"} 1\n"
                              "# HELP cyan_sessions A back\\\\slash\\nand a line.\n"
                              "# TYPE cyan_sessions gauge\n"
                              "cyan_sessions 18446744073709551615\n");
    assert_int_equal(text_len, strlen(text));
    free(text);
    metrics_free(m);

    m = metrics_new();
    text = metrics_print(m, &text_len);
    assert_string_equal(text, "");
    free(text);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_with_milliseconds),
        cmocka_unit_test(parses_what_people_write),
        cmocka_unit_test(refuses_what_is_no_time),
        cmocka_unit_test(text_and_time_go_both_ways),
        cmocka_unit_test(clocks_run),
        cmocka_unit_test(a_bucket_gives_its_burst_and_then_its_rate),
        cmocka_unit_test(an_unfilled_bucket_stays_empty),
        cmocka_unit_test(metrics_print_as_prometheus_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
