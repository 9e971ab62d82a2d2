/* test_cli_text.c: columns, times and sizes as cyanctl writes them, and its tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "grid.h"
#include "terminal.h"
#include "text.h"

static int set_locale(void **state)
{
    struct terminal terminal;
    (void)state;

    terminal_init(&terminal, true);
    return text_is_utf8("\xc3\xa9") ? 0 : 1;
}

static void counts_columns_of_unicode(void **state)
{
    (void)state;
    assert_int_equal(text_width(""), 0);
    assert_int_equal(text_width("kitchen"), 7);
    assert_int_equal(text_width("K\u00fcche"), 5);
    assert_int_equal(text_width("e\u0301"), 1);      /* a letter and its accent */
    assert_int_equal(text_width("\u53f0\u6240"), 4); /* wide */
    assert_int_equal(text_width("a\xff"), 2);        /* broken */
    assert_int_equal(text_width("\u2026"), 1);
}

static void cuts_at_whole_characters(void **state)
{
    static const struct {
        const char *text;
        size_t columns;
        const char *cut;
    } cases[] = {
        {"kitchen", 7, "kitchen"},
        {"kitchen", 4, "kit\u2026"},
        {"kitchen", 1, "\u2026"},
        {"kitchen", 0, ""},
        {"\u53f0\u6240a", 4, "\u53f0\u2026"},
        {"K\u00fcche", 3, "K\u00fc\u2026"},
        {"", 0, ""},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *cut = text_cut(cases[i].text, cases[i].columns, "\u2026");
        assert_string_equal(cut, cases[i].cut);
        free(cut);
    }
}

static void nothing_reaches_the_terminal_as_a_command(void **state)
{
    static const struct {
        const char *text, *clean;
    } cases[] = {
        {"plain", "plain"},
        {"\033[2Jgone\a", "?[2Jgone?"},
        {"two\nlines\tand", "two lines and"},
        {"\xc2\x9b"
         "31m",
         "?31m"}, /* the C1 form of ESC [ */
        {"br\xffoken", "br?oken"},
        {"\u00fcber", "\u00fcber"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *clean = text_clean(cases[i].text);
        assert_null(strchr(clean, '\033'));
        if (strchr(cases[i].text, '\xc2') == NULL)
            assert_string_equal(clean, cases[i].clean);
        else
            assert_null(strstr(clean, "\xc2\x9b"));
        free(clean);
    }
}

static void writes_sizes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},         {999, "999 B"},      {1000, "1.0 kB"},    {3312, "3.3 kB"},
                 {9949, "9.9 kB"},   {9951, "10 kB"},     {829248, "829 kB"},  {999499, "999 kB"},
                 {999500, "1.0 MB"}, {1500000, "1.5 MB"}, {20000000, "20 MB"}, {7200000000, "7.2 GB"}};
    char text[TEXT_SIZE];
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text_bytes(text, cases[i].bytes);
        assert_string_equal(text, cases[i].text);
    }
    text_bytes(text, UINT64_MAX);
    assert_non_null(strstr(text, "TB"));
}

static void writes_durations(void **state)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {{0, "0 s"},     {59, "59 s"},        {60, "1 min"},   {90, "1 min 30 s"},
                 {3600, "1 h"},  {3900, "1 h 5 min"}, {3601, "1 h"},   {86399, "23 h 59 min"},
                 {86400, "1 d"}, {90000, "1 d 1 h"},  {864000, "10 d"}};
    char text[TEXT_SIZE];
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text_duration(text, cases[i].seconds);
        assert_string_equal(text, cases[i].text);
    }
}

static void tells_how_long_ago(void **state)
{
    static const struct {
        const char *iso;
        const char *text;
    } cases[] = {{NULL, "never"},
                 {"nonsense", "?"},
                 {"2026-11-26T15:00:00.000Z", "now"},
                 {"2026-11-26T15:00:05.000Z", "now"}, /* another machine's clock */
                 {"2026-11-26T14:59:30.000Z", "30 s ago"},
                 {"2026-11-26T14:57:00.000Z", "3 min ago"},
                 {"2026-11-26T12:59:00.000Z", "2 h ago"},
                 {"2026-11-20T15:00:00.000Z", "6 d ago"}};
    char text[TEXT_SIZE];
    uint64_t now_ms;
    (void)state;

    assert_true(clock_parse(&now_ms, "2026-11-26T15:00:00.000Z"));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text_ago(text, cases[i].iso, now_ms);
        assert_string_equal(text, cases[i].text);
    }
}

static void writes_times_of_this_place(void **state)
{
    char text[TEXT_SIZE];
    (void)state;

    assert_int_equal(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
    tzset();
    text_time(text, "2026-07-02T23:15:00.409Z");
    assert_string_equal(text, "2026-07-03 01:15:00");
    text_time(text, NULL);
    assert_string_equal(text, "-");
}

static void reads_durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t seconds;
    } good[] = {{"0", 0},       {"90", 90},   {"90s", 90},   {"15m", 900},
                {"15min", 900}, {"2h", 7200}, {"7d", 604800}};
    static const char *const bad[] = {
        "", "h", "-1", "1.5h", "2 h", "2hours", " 2", "99999999999999999999", "9999999d"};
    uint64_t seconds;
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(text_parse_duration(&seconds, good[i].text));
        assert_int_equal(seconds, good[i].seconds);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(text_parse_duration(&seconds, bad[i]));
}

static void reads_percentages(void **state)
{
    static const char *const bad[] = {"", "%", "0", "0%", "101", "-5", "5%%", "nan", "inf", "5 %", "1e400"};
    double percent;
    (void)state;

    assert_true(text_parse_percent(&percent, "5%") && percent == 5);
    assert_true(text_parse_percent(&percent, "2.5") && percent == 2.5);
    assert_true(text_parse_percent(&percent, "100%") && percent == 100);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(text_parse_percent(&percent, bad[i]));
}

/* What a table of two rows looks like at a width. */
static char *printed(struct terminal terminal)
{
    static const struct grid_column columns[] = {
        {.title = "NAME", .shrinks = true}, {.title = "N", .right = true}, {.title = "WHY", .shrinks = true}};
    struct grid *grid = grid_new(columns, 3);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    grid_add(grid, "K\u00fcche");
    grid_addf(grid, "%d", 7);
    grid_add_styled(grid, "the bootloader is older than 1001", STYLE_WARN);
    grid_add(grid, "garage");
    grid_addf(grid, "%d", 1200);
    grid_add(grid, NULL);
    assert_int_equal(grid_rows(grid), 2);
    grid_print(grid, &terminal, out);
    grid_free(grid);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void tables_are_aligned_by_columns(void **state)
{
    char *text = printed((struct terminal){.utf8 = true});
    (void)state;

    assert_string_equal(text, "NAME       N  WHY\n"
                              "K\u00fcche      7  the bootloader is older than 1001\n"
                              "garage  1200  -\n");
    free(text);
}

static void tables_shrink_to_the_terminal(void **state)
{
    (void)state;

    for (size_t width = 20; width < 50; width++) {
        char *text = printed((struct terminal){.utf8 = true, .width = width}), *rest = NULL;
        bool was_cut = strstr(text, "\u2026") != NULL;
        assert_int_equal(was_cut, width < 47);
        for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
            assert_true(text_width(line) <= width);
        free(text);
    }
    char *ascii = printed((struct terminal){.width = 30});
    assert_null(strstr(ascii, "\u2026"));
    assert_non_null(strchr(ascii, '~'));
    free(ascii);
}

static void colours_do_not_count_as_columns(void **state)
{
    char *text = printed((struct terminal){.utf8 = true, .width = 30, .color = true}), *plain;
    (void)state;

    assert_non_null(strstr(text, "\033[33mthe bootloade"));
    plain = printed((struct terminal){.utf8 = true, .width = 30});
    assert_null(strchr(plain, '\033'));
    free(plain);
    free(text);
}

static void bars_fill_from_none_to_all(void **state)
{
    struct terminal ascii = {0}, utf8 = {.utf8 = true};
    static const struct {
        double done;
        const char *bar;
    } cases[] = {{-1, "...."}, {0, "...."}, {0.26, "#..."}, {0.99, "###."}, {1, "####"}, {7, "####"}};
    char *bar;
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bar = terminal_bar(&ascii, 4, cases[i].done);
        assert_string_equal(bar, cases[i].bar);
        free(bar);
    }
    bar = terminal_bar(&utf8, 10, 0.5);
    assert_int_equal(text_width(bar), 10);
    free(bar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_columns_of_unicode),
        cmocka_unit_test(cuts_at_whole_characters),
        cmocka_unit_test(nothing_reaches_the_terminal_as_a_command),
        cmocka_unit_test(writes_sizes),
        cmocka_unit_test(writes_durations),
        cmocka_unit_test(tells_how_long_ago),
        cmocka_unit_test(writes_times_of_this_place),
        cmocka_unit_test(reads_durations),
        cmocka_unit_test(reads_percentages),
        cmocka_unit_test(tables_are_aligned_by_columns),
        cmocka_unit_test(tables_shrink_to_the_terminal),
        cmocka_unit_test(colours_do_not_count_as_columns),
        cmocka_unit_test(bars_fill_from_none_to_all),
    };

    return cmocka_run_group_tests(tests, set_locale, NULL);
}
