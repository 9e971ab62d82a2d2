/* test_config.c: sources in their order, refusals in one line, reload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config.h"

#define FILE_NAME_SIZE 32
#define ARGS_MAX 16

/* A configuration file of this test, removed by clean. */
static char file_name[FILE_NAME_SIZE];

static void write_file(const char *text)
{
    FILE *file;

    if (file_name[0] == '\0') {
        strcpy(file_name, "/tmp/cyan-config.XXXXXX");
        int fd = mkstemp(file_name);
        assert_true(fd >= 0);
        close(fd);
    }
    file = fopen(file_name, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int clean(void **state)
{
    (void)state;
    if (file_name[0] != '\0')
        unlink(file_name);
    file_name[0] = '\0';
    unsetenv("CYAN_COAP_PORT");
    unsetenv("CYAN_COAP_PORT_ALT");
    unsetenv("CYAN_LOG_LEVEL");
    unsetenv("CYAN_NONSENSE");
    unsetenv("CYAN_URL");
    return 0;
}

/* The arguments after `cyand --config FILE`, the latter only when a file was written. */
static bool load(struct config *c, char error[CONFIG_ERROR_SIZE], const char *const *args)
{
    char *argv[ARGS_MAX] = {"cyand"};
    int argc = 1;

    if (file_name[0] != '\0') {
        argv[argc++] = "--config";
        argv[argc++] = file_name;
    }
    for (; args != NULL && *args != NULL; args++)
        argv[argc++] = mem_string(*args);
    error[0] = '\0';
    char *given[ARGS_MAX];
    memcpy(given, argv, sizeof(given));
    int count = argc;
    bool ok = config_load(c, &argc, argv, NULL, error);
    assert_true(ok || error[0] != '\0');
    assert_null(strchr(error, '\n'));
    for (int i = file_name[0] != '\0' ? 3 : 1; i < count; i++)
        free(given[i]);
    return ok;
}
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void refused(const char *const *args, const char *reason)
{
    struct config c;
    char error[CONFIG_ERROR_SIZE];

    assert_false(load(&c, error, args));
    if (strstr(error, reason) == NULL)
        fail_msg("refusal is: %s\nand lacks: %s", error, reason);
}

static void defaults_hold_without_any_source(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_SIZE];
    (void)state;

    assert_true(load(&c, error, NULL));
    assert_int_equal(c.coap_port, 5683);
    assert_int_equal(c.coap_port_alt, 5684);
    assert_string_equal(c.coap_bind, "0.0.0.0,::");
    assert_string_equal(c.http_bind, "127.0.0.1");
    assert_int_equal(c.http_port, 8080);
    assert_string_equal(c.http_tls_cert, "");
    assert_string_equal(c.store_postgres, "dbname=cyan");
    assert_string_equal(c.store_redis, "");
    assert_string_equal(c.store_redis_password, "");
    assert_string_equal(c.store_redis_prefix, "cyan:");
    assert_int_equal(c.node_id, 0);
    assert_int_equal(c.node_lease_s, 10);
    assert_int_equal(c.devices_unknown, CONFIG_UNKNOWN_REFUSE);
    assert_int_equal(c.log_level, LOG_INFO);
    assert_int_equal(c.session_expiry_s, 2592000);
    config_free(&c);
}

static void flag_wins_over_environment_over_file(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_SIZE];
    (void)state;

    write_file("# a comment\n[coap]\nport = 1001\nport_alt = 1002 ; said here\n[handshake]\nper_source=7\n"
               "[devices]\nunknown = enrol\n[store]\npostgres = host=/run/pg user=cyan dbname=cyan\n");
    setenv("CYAN_COAP_PORT", "2001", 1);
    setenv("CYAN_COAP_PORT_ALT", "2002", 1);
    assert_true(load(&c, error, ARGS("--coap-port", "3001", "--log-level=debug")));
    assert_int_equal(c.coap_port, 3001);
    assert_int_equal(c.coap_port_alt, 2002);
    assert_int_equal(c.handshake_per_source, 7);
    assert_int_equal(c.devices_unknown, CONFIG_UNKNOWN_ENROL);
    assert_int_equal(c.log_level, LOG_DEBUG);
    assert_string_equal(c.store_postgres, "host=/run/pg user=cyan dbname=cyan");
    config_free(&c);
}

static void words_stay_and_the_commands_own_flags_are_taken(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_SIZE];
    char key[] = "--key=a.pem", port[] = "--coap_port=9";
    char *argv[] = {"cyand", "device", "add", key, "1234", "--name", "porch", port, NULL};
    int argc = 8;
    struct config_flag passed[] = {
        {.name = "key"}, {.name = "name"}, {.name = "psk"}, {.name = "json", .is_switch = true}, {0}};
    (void)state;

    assert_true(config_load(&c, &argc, argv, passed, error));
    assert_int_equal(argc, 4);
    assert_string_equal(argv[3], "1234");
    assert_null(argv[4]);
    assert_string_equal(passed[0].value, "a.pem");
    assert_string_equal(passed[1].value, "porch");
    assert_null(passed[2].value);
    assert_int_equal(c.coap_port, 9);
    config_free(&c);
}

static void refusals_name_the_place(void **state)
{
    char place[FILE_NAME_SIZE + 8];
    (void)state;

    refused(ARGS("--coap-prot", "1"), "--coap-prot is not a flag");
    refused(ARGS("--coap-port"), "--coap-port needs a value");
    refused(ARGS("--coap-port", "65536"), "coap.port: \"65536\" is not a number from 0 to 65535");
    refused(ARGS("--coap-port", "-1"), "is not a number");
    refused(ARGS("--coap-port", "99999999999999999999"), "is not a number");
    refused(ARGS("--coap-port", " 5"), "is not a number");
    refused(ARGS("--coap-port", "5x"), "is not a number");
    refused(ARGS("--coap-port", ""), "is not a number");
    refused(ARGS("--log-level", "loud"), "log.level: \"loud\" is not one of error, warn, info, debug");
    refused(ARGS("--coap-bind", ""), "coap.bind: must not be empty");
    refused(ARGS("--http-tls-cert", "a.pem"), "set both or neither");
    refused(ARGS("--store-redis-user", "ana"), "store.redis_user: needs store.redis_password");
    refused(ARGS("--store-redis-prefix", "a prefix that is much too long for a key"), "longer than 32");
    refused(ARGS("--node-id", "256"), "node.id: \"256\" is not a number from 0 to 255");
    refused(ARGS("--node-lease-s", "2"), "node.lease_s: \"2\" is not a number from 3 to 3600");
    refused(ARGS("--coap-port", "5684"), "both 5684");
    refused(ARGS("--config", "/nonexistent/cyand.conf"), "/nonexistent/cyand.conf: No such file");
    refused(ARGS("--config", "/"), "/: ");

    setenv("CYAN_NONSENSE", "1", 1);
    refused(NULL, "environment CYAN_NONSENSE: not a setting");
    unsetenv("CYAN_NONSENSE");
    setenv("CYAN_LOG_LEVEL", "loud", 1);
    refused(NULL, "environment CYAN_LOG_LEVEL: log.level: \"loud\"");
    unsetenv("CYAN_LOG_LEVEL");

    write_file("[coap]\nport = 1\n\nprot = 2\n");
    snprintf(place, sizeof(place), "%s:4: ", file_name);
    refused(NULL, place);
    refused(NULL, "\"coap.prot\" is not a setting");
    write_file("[coap]\nport = 70000\n");
    snprintf(place, sizeof(place), "%s:2: ", file_name);
    refused(NULL, place);
    write_file("[coap]\nport = 1\nport = 2\n");
    refused(NULL, "coap.port is set twice");
    write_file("port = 1\n");
    refused(NULL, "\".port\" is not a setting");
    write_file("[coap]\nport\n");
    refused(NULL, "not a line `name = value`");
    write_file("[coap\n");
    refused(NULL, "not a line `name = value`");
}

static void a_line_too_long_for_the_parser_is_refused_not_cut(void **state)
{
    char text[400];
    (void)state;

    memset(text, 'x', sizeof(text));
    memcpy(text, "[store]\npostgres = ", 19);
    text[sizeof(text) - 1] = '\0';
    write_file(text);
    refused(NULL, ":2: longer than");
}

static void values_of_texts_never_show(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_SIZE], secret[1200];
    (void)state;

    memset(secret, 'q', sizeof(secret) - 1);
    secret[sizeof(secret) - 1] = '\0';
    assert_false(load(&c, error, ARGS("--store-postgres", secret)));
    assert_null(strstr(error, "qqq"));
    assert_false(load(&c, error, ARGS("--store-redis-password", secret)));
    assert_null(strstr(error, "qqq"));
}

static void variables_of_the_scripts_are_no_settings(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_SIZE];
    (void)state;

    setenv("CYAN_URL", "http://127.0.0.1:1", 1);
    assert_true(load(&c, error, NULL));
    config_free(&c);
}

struct changes {
    unsigned applied, waiting;
    char applied_keys[256], waiting_keys[256];
};

static void on_changed(void *arg, const char *key, bool applied)
{
    struct changes *changes = arg;

    strcat(applied ? changes->applied_keys : changes->waiting_keys, key);
    *(applied ? &changes->applied : &changes->waiting) += 1;
}

static void reload_applies_what_may_change_and_names_the_rest(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_SIZE];
    struct changes none = {0}, some = {0}, broken = {0};
    (void)state;

    write_file("[coap]\nport = 1001\n[events]\nkeep_s = 10\n");
    assert_true(load(&c, error, ARGS("--handshake-per-source", "5")));
    assert_true(config_reload(&c, on_changed, &none, error));
    assert_int_equal(none.applied + none.waiting, 0);

    write_file("[coap]\nport = 1002\n[events]\nkeep_s = 20\n[handshake]\nper_source = 6\n");
    assert_true(config_reload(&c, on_changed, &some, error));
    assert_string_equal(some.applied_keys, "events.keep_s"); /* the flag still wins over per_source */
    assert_string_equal(some.waiting_keys, "coap.port");
    assert_int_equal(c.events_keep_s, 20);
    assert_int_equal(c.coap_port, 1001);
    assert_int_equal(c.handshake_per_source, 5);

    write_file("[events]\nkeep_s = 30\n[coap]\nport = x\n");
    assert_false(config_reload(&c, on_changed, &broken, error));
    assert_non_null(strstr(error, "coap.port"));
    assert_int_equal(broken.applied + broken.waiting, 0);
    assert_int_equal(c.events_keep_s, 20);
    config_free(&c);
}

static char *printed(void (*print)(FILE *))
{
    char *text = NULL;
    size_t text_len;
    FILE *out = open_memstream(&text, &text_len);

    assert_non_null(out);
    print(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void the_printed_file_is_accepted_with_all_lines_on(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_SIZE];
    char *text = printed(config_print_default), *to = text;
    (void)state;

    for (char *from = text; *from != '\0'; from++) {
        bool setting = *from == '#' && (from == text || from[-1] == '\n') && from[1] != ' ';
        if (!setting)
            *to++ = *from;
    }
    *to = '\0';
    write_file(text);
    if (!load(&c, error, NULL))
        fail_msg("%s", error);
    assert_int_equal(c.coap_port, 5683);
    config_free(&c);
    free(text);
}

static void the_file_in_deploy_is_the_printed_one(void **state)
{
    char *text = printed(config_print_default), *kept = mem_alloc(65536);
    FILE *file = fopen(CYAN_SOURCE_DIR "/deploy/cyand.conf", "r");
    (void)state;

    assert_non_null(file);
    assert_true(fread(kept, 1, 65535, file) > 0);
    fclose(file);
    assert_string_equal(kept, text);
    free(kept);
    free(text);
}

static void help_names_every_flag(void **state)
{
    char *text = printed(config_print_help);
    (void)state;

    assert_non_null(strstr(text, "--coap-port-alt "));
    assert_non_null(strstr(text, "--store-postgres "));
    assert_non_null(strstr(text, "--config "));
    assert_non_null(strstr(text, "refuse | quarantine | enrol; default refuse"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(defaults_hold_without_any_source, clean),
        cmocka_unit_test_teardown(flag_wins_over_environment_over_file, clean),
        cmocka_unit_test_teardown(words_stay_and_the_commands_own_flags_are_taken, clean),
        cmocka_unit_test_teardown(refusals_name_the_place, clean),
        cmocka_unit_test_teardown(a_line_too_long_for_the_parser_is_refused_not_cut, clean),
        cmocka_unit_test_teardown(values_of_texts_never_show, clean),
        cmocka_unit_test_teardown(variables_of_the_scripts_are_no_settings, clean),
        cmocka_unit_test_teardown(reload_applies_what_may_change_and_names_the_rest, clean),
        cmocka_unit_test_teardown(the_printed_file_is_accepted_with_all_lines_on, clean),
        cmocka_unit_test_teardown(the_file_in_deploy_is_the_printed_one, clean),
        cmocka_unit_test_teardown(help_names_every_flag, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
