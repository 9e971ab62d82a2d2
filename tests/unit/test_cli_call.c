/* test_cli_call.c: command lines as cyanctl reads them, the help it prints, the stages it understands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "call.h"
#include "completion.h"
#include "help.h"
#include "stage.h"
#include "terminal.h"

#define WORDS_MAX 16

static int set_locale(void **state)
{
    struct terminal terminal;
    (void)state;

    terminal_init(&terminal, true);
    return 0;
}

/* Words separated by `|`. text stays until call_deinit. */
static enum call_parse parse(struct call *call, char *text, char why[CALL_WHY_SIZE])
{
    char *argv[WORDS_MAX + 2] = {"cyanctl"}, *rest = NULL;
    int argc = 1;

    for (char *word = strtok_r(text, "|", &rest); word != NULL; word = strtok_r(NULL, "|", &rest)) {
        assert_true(argc <= WORDS_MAX);
        argv[argc++] = word;
    }
    return call_parse(call, argc, argv, why);
}

static void options_stand_anywhere(void **state)
{
    char line[] = "--json|campaign|--timeout=5|devices|winter|--state|blocked|--limit|0|--url|http://h";
    char why[CALL_WHY_SIZE];
    struct call call;
    (void)state;

    assert_int_equal(parse(&call, line, why), CALL_RUN);
    assert_string_equal(call.command->words, "campaign devices");
    assert_string_equal(call_argument(&call, 0), "winter");
    assert_null(call_argument(&call, 1));
    assert_true(call_has(&call, "json"));
    assert_false(call_has(&call, "quiet"));
    assert_int_equal(call_number(&call, "timeout", 30), 5);
    assert_int_equal(call_number(&call, "limit", 7), 0);
    assert_string_equal(call_text(&call, "state"), "blocked");
    assert_string_equal(call_text(&call, "url"), "http://h");
    assert_null(call_text(&call, "reason"));
    call_deinit(&call);
}

static void options_that_repeat_keep_their_order(void **state)
{
    char line[] = "campaign|create|winter|--stage|a:5%|--release|r|--stage=b:100%|--all|--verify|15m";
    char why[CALL_WHY_SIZE];
    struct call call;
    size_t at = 0;
    (void)state;

    assert_int_equal(parse(&call, line, why), CALL_RUN);
    assert_string_equal(call_each(&call, "stage", &at), "a:5%");
    assert_string_equal(call_each(&call, "stage", &at), "b:100%");
    assert_null(call_each(&call, "stage", &at));
    assert_int_equal(call_number(&call, "verify", 0), 900);
    call_deinit(&call);
}

static void two_dashes_end_the_options(void **state)
{
    char line[] = "device|show|--|--json";
    char why[CALL_WHY_SIZE];
    struct call call;
    (void)state;

    assert_int_equal(parse(&call, line, why), CALL_RUN);
    assert_string_equal(call_argument(&call, 0), "--json");
    assert_false(call_has(&call, "json"));
    call_deinit(&call);
}

static void other_words_are_the_same_command(void **state)
{
    char line[] = "device|update|kitchen|app.bin";
    char why[CALL_WHY_SIZE];
    struct call call;
    (void)state;

    assert_int_equal(parse(&call, line, why), CALL_RUN);
    assert_string_equal(call.command->words, "device flash");
    call_deinit(&call);
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *line, *word;
    } cases[] = {
        {"", "--help"},
        {"device", "device --help"},
        {"frobnicate", "frobnicate"},
        {"campaign|frob|x", "campaign frob"},
        {"device|list|extra", "too many"},
        {"device|show", "device show DEVICE"},
        {"firmware|inspect", "FILE..."},
        {"device|list|--frob", "--frob"},
        {"--state|x|campaign|list", "stand behind"},
        {"-x|device|list", "two dashes"},
        {"device|list|--limit", "needs a value"},
        {"device|list|--limit|many", "number from 0"},
        {"device|list|--limit|-1", "number from 0"},
        {"device|list|--limit|5x", "number from 0"},
        {"device|list|--timeout|0", "number from 1"},
        {"device|list|--json=yes", "takes no value"},
        {"device|list|--limit|1|--limit|2", "twice"},
        {"campaign|list|--state|runing", "running"},
        {"campaign|watch|x|--every|soon", "90s"},
        {"firmware|withdraw|3", "--reason"},
        {"release|create|r", "--target"},
        {"device|show|\xff\xfe", "UTF-8"},
        {"device|list|--name|\xff", "UTF-8"},
    };
    char why[CALL_WHY_SIZE];
    struct call call;
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *line = strdup(cases[i].line);
        why[0] = '\0';
        assert_int_equal(parse(&call, line, why), CALL_BAD);
        if (strstr(why, cases[i].word) == NULL || strchr(why, '\n') != NULL)
            fail_msg("%s: %s", cases[i].line, why);
        call_deinit(&call);
        free(line);
    }
}

static char *help_of(const struct call *call)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    help_print(call, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* Every command has help with an example, and the example is a command line that is understood. */
static void every_example_is_a_good_command_line(void **state)
{
    char why[CALL_WHY_SIZE] = "";
    struct call call;
    (void)state;

    for (size_t i = 0; i < command_count; i++) {
        char *line = strdup(commands[i].example), *out;
        struct call asked = {.command = &commands[i]};
        bool quoted = false;
        char *help = help_of(&asked);
        assert_non_null(strstr(help, commands[i].example));
        assert_non_null(strstr(help, commands[i].words));
        free(help);
        for (char *at = line; *at != '\0'; at++) { /* as a shell would split it */
            quoted = *at == '\'' ? !quoted : quoted;
            if (*at == ' ' && !quoted)
                *at = '|';
        }
        out = strstr(line, "|>");
        if (out != NULL)
            *out = '\0';
        if (parse(&call, line, why) != CALL_RUN)
            fail_msg("%s: %s", commands[i].example, why);
        assert_ptr_equal(call.command, &commands[i]);
        call_deinit(&call);
        free(line);
    }
}

static void help_is_there_for_groups(void **state)
{
    static const char *const lines[] = {"--help",        "campaign|--help",    "campaign|stage|-h",
                                        "help|campaign", "device|list|--help", "help"};
    char why[CALL_WHY_SIZE];
    struct call call;
    (void)state;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char *line = strdup(lines[i]), *help;
        assert_int_equal(parse(&call, line, why), CALL_HELP);
        help = help_of(&call);
        assert_non_null(strstr(help, "usage: cyanctl"));
        assert_non_null(strstr(help, "example:"));
        assert_int_equal(strstr(help, "device list") != NULL, i == 0 || i >= 4);
        free(help);
        call_deinit(&call);
        free(line);
    }
}

static void shells_are_told_every_command(void **state)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};
    (void)state;

    for (size_t s = 0; s < 3; s++) {
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        assert_true(completion_print(shells[s], out));
        assert_int_equal(fclose(out), 0);
        for (size_t i = 0; i < command_count; i++)
            assert_non_null(strstr(text, commands[i].words));
        assert_non_null(strstr(text, "requires-deep-update"));
        free(text);
    }
    assert_false(completion_print("tcsh", stdout));
}

static void stages_are_what_the_server_takes(void **state)
{
    static const struct {
        const char *text, *json;
    } good[] = {
        {"canary:5%", "{\"gate\":{},\"name\":\"canary\",\"percent\":5}"},
        {"few:10,small-canary",
         "{\"gate\":{\"allow_small_canary\":true},\"max_devices\":10,\"name\":\"few\"}"},
        {"all:100%,soak=2h,fail=2.5%,min=5,coverage=90%,lost=1",
         "{\"gate\":{\"coverage_percent\":90,\"max_failure_percent\":2.5,\"max_lost\":1,\"min_resolved\":5,"
         "\"soak_s\":"
         "7200},\"name\":\"all\",\"percent\":100}"},
    };
    static const char *const bad[] = {
        "",       "canary",    ":5%",         "a:",          "a:0",         "a:0%",
        "a:101%", "a:5%,soak", "a:5%,soak=x", "a:5%,frob=1", "a:5%,min=-1", "a:-5%"};
    char why[STAGE_WHY_SIZE];
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        json_t *stage = stage_parse(good[i].text, why);
        assert_non_null(stage);
        char *text = json_dumps(stage, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(text, good[i].json);
        free(text);
        json_decref(stage);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why[0] = '\0';
        assert_null(stage_parse(bad[i], why));
        assert_true(why[0] != '\0');
    }
}

static void windows_are_what_the_server_takes(void **state)
{
    static const struct {
        const char *text, *json;
    } good[] = {
        {"22:00-06:00", "{\"from\":\"22:00\",\"to\":\"06:00\"}"},
        {"22:00-06:00@Europe/Berlin", "{\"from\":\"22:00\",\"to\":\"06:00\",\"tz\":\"Europe/Berlin\"}"},
        {"00:30-04:00,mon,Sun", "{\"days\":[1,7],\"from\":\"00:30\",\"to\":\"04:00\"}"},
        {"00:30-04:00@UTC,tue", "{\"days\":[2],\"from\":\"00:30\",\"to\":\"04:00\",\"tz\":\"UTC\"}"},
    };
    static const char *const bad[] = {
        "", "22:00", "22-06", "24:00-06:00", "22:60-06:00", "22:00-06:00,moon", "2:00-6:00"};
    char why[STAGE_WHY_SIZE];
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        json_t *window = stage_parse_window(good[i].text, why);
        assert_non_null(window);
        char *text = json_dumps(window, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(text, good[i].json);
        free(text);
        json_decref(window);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why[0] = '\0';
        assert_null(stage_parse_window(bad[i], why));
        assert_true(why[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(options_that_repeat_keep_their_order),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(other_words_are_the_same_command),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(every_example_is_a_good_command_line),
        cmocka_unit_test(help_is_there_for_groups),
        cmocka_unit_test(shells_are_told_every_command),
        cmocka_unit_test(stages_are_what_the_server_takes),
        cmocka_unit_test(windows_are_what_the_server_takes),
    };

    return cmocka_run_group_tests(tests, set_locale, NULL);
}
