/* rule list, add, set, test: what the headers of firmware do not say. */
#include "handlers.h"

#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "grid.h"
#include "module_row.h"
#include "rest.h"
#include "selector.h"
#include "text.h"

/* The options as members of a rule, into it. False: it has been said. */
static bool take_options(const struct cli *cli, json_t *rule)
{
    static const char *const texts[] = {"code", "kind", "explain", "evidence", "reason"};
    const struct call *call = cli->call;
    uint16_t platform;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (command_option_find(call->command, texts[i], strlen(texts[i])) != NULL &&
            call_has(call, texts[i]))
            (void)json_object_set_new(rule, texts[i], json_string(call_text(call, texts[i])));
    }
    if (call_has(call, "platform")) {
        if (!names_parse_platform(&platform, call_text(call, "platform"))) {
            (void)cli_fail(CLI_USAGE, "--platform %s: no platform has this name; its number does as well",
                           call_text(call, "platform"));
            return false;
        }
        (void)json_object_set_new(rule, "platform_id", json_integer(platform));
    }
    if (call_has(call, "body")) {
        json_t *body = selector_load_json(call_text(call, "body"));
        if (body == NULL)
            return false;
        (void)json_object_set_new(rule, "body", body);
    }
    return true;
}

/* The rule with a code, as it is now; NULL: *exit says. The caller owns it. */
static json_t *find_rule(const struct cli *cli, const char *code, enum cli_exit *exit)
{
    json_t *answer, *one, *found = NULL;
    size_t i;

    *exit = cli_get(cli, &answer, "/v1/rules");
    if (*exit != CLI_OK)
        return NULL;
    json_array_foreach (json_object_get(answer, "rules"), i, one) {
        if (strcmp(field_text_or(one, "code", ""), code) == 0)
            found = json_incref(one);
    }
    json_decref(answer);
    if (found == NULL)
        *exit = cli_fail(CLI_NOT_FOUND, "there is no rule %s; cyanctl rule list tells them", code);
    return found;
}

static void print_rules(const struct cli *cli, const json_t *rules)
{
    static const struct grid_column columns[] = {{.title = "CODE", .shrinks = true},
                                                 {.title = "PLATFORM", .shrinks = true},
                                                 {.title = "KIND"},
                                                 {.title = "REV", .right = true},
                                                 {.title = "ON"},
                                                 {.title = "SAYS", .shrinks = true}};
    struct grid *grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    char platform[NAMES_SIZE];
    json_t *rule;
    size_t i;

    json_array_foreach (rules, i, rule) {
        names_platform(platform,
                       field_has_number(rule, "platform_id") ? (long)field_integer(rule, "platform_id") : -1);
        grid_add(grid, field_text(rule, "code"));
        grid_add(grid, field_has_number(rule, "platform_id") ? platform : "all");
        grid_add(grid, field_text(rule, "kind"));
        grid_addf(grid, "%lld", (long long)field_integer(rule, "rev"));
        grid_add(grid, json_is_false(json_object_get(rule, "enabled")) ? "off" : "on");
        grid_add(grid, field_text(rule, "explain"));
    }
    if (grid_rows(grid) > 0)
        grid_print(grid, &cli->terminal, stdout);
    else
        cli_say(cli, "There is no rule.");
    grid_free(grid);
}

enum cli_exit rule_list_run(struct cli *cli)
{
    json_t *answer;
    enum cli_exit code = cli_get(cli, &answer, "/v1/rules");

    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer))
        print_rules(cli, json_object_get(answer, "rules"));
    json_decref(answer);
    return code;
}

static enum cli_exit finish(const struct cli *cli, enum cli_exit code, json_t *answer, const char *said)
{
    if (code == CLI_OK && !cli_print_json(cli, answer)) {
        const json_t *rule = json_object_get(answer, "rule");
        cli_say(cli, said, field_text_or(rule, "code", call_argument(cli->call, 0)));
    }
    json_decref(answer);
    return code;
}

enum cli_exit rule_add_run(struct cli *cli)
{
    const char *file = call_argument(cli->call, 0);
    json_t *rule = file != NULL ? selector_load_json(file) : json_object(), *answer = NULL;
    enum cli_exit code;

    if (rule == NULL)
        return CLI_USAGE;
    if (!json_is_object(rule) || !take_options(cli, rule)) {
        bool shape = !json_is_object(rule);
        json_decref(rule);
        return shape ? cli_fail(CLI_USAGE, "%s holds no rule: it is an object with code, kind, body, explain",
                                file)
                     : CLI_USAGE;
    }
    code = cli_send(cli, "POST", rule, &answer, "/v1/rules");
    if (code == CLI_OK && !cli_print_json(cli, answer))
        cli_say(cli, "The rule is in force.");
    json_decref(answer);
    return code;
}

enum cli_exit rule_set_run(struct cli *cli)
{
    const char *which = call_argument(cli->call, 0);
    enum cli_exit code;
    json_t *now, *change, *answer = NULL;

    if (call_has(cli->call, "enable") && call_has(cli->call, "disable"))
        return cli_fail(CLI_USAGE, "--enable and --disable: one of them");
    now = find_rule(cli, which, &code);
    if (now == NULL)
        return code;
    change = json_pack("{sI}", "rev", field_integer(now, "rev"));
    json_decref(now);
    if (call_has(cli->call, "rev"))
        (void)json_object_set_new(change, "rev", json_integer((json_int_t)call_number(cli->call, "rev", 0)));
    if (call_has(cli->call, "enable") || call_has(cli->call, "disable"))
        (void)json_object_set_new(change, "enabled", json_boolean(call_has(cli->call, "enable")));
    if (!take_options(cli, change)) {
        json_decref(change);
        return CLI_USAGE;
    }
    code = cli_send(cli, "PUT", change, &answer, "/v1/rules/%s", which);
    return finish(cli, code, answer, "Rule %s is changed.");
}

static void print_test(const struct cli *cli, const json_t *answer)
{
    static const struct grid_column columns[] = {{.title = "DEVICES", .right = true},
                                                 {.title = "PLATFORM", .shrinks = true},
                                                 {.title = "RUN", .shrinks = true},
                                                 {.title = "EFFECT", .shrinks = true}};
    struct grid *grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    char platform[NAMES_SIZE];
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(answer, "classes"), i, one) {
        char *modules = module_row_list(json_object_get(one, "modules"));
        names_platform(platform, (long)field_integer(one, "platform_id"));
        grid_addf(grid, "%lld", (long long)field_integer(one, "devices"));
        grid_add(grid, platform);
        grid_add(grid, modules);
        grid_add(grid, field_text(one, "effect"));
        free(modules);
    }
    cli_say(cli, "It would touch %lld devices of %zu kinds. Nothing was changed.",
            (long long)field_integer(answer, "devices"), grid_rows(grid));
    if (grid_rows(grid) > 0)
        grid_print(grid, &cli->terminal, stdout);
    grid_free(grid);
}

enum cli_exit rule_test_run(struct cli *cli)
{
    const char *which = call_argument(cli->call, 0), *file = call_text(cli->call, "file");
    json_t *body = file != NULL ? selector_load_json(file) : json_object(), *answer;
    enum cli_exit code;

    if (body == NULL)
        return CLI_USAGE;
    code = cli_send(cli, "POST", body, &answer, "/v1/rules/%s/test", which);
    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer))
        print_test(cli, answer);
    json_decref(answer);
    return code;
}
