/* what-if: what a release would mean for devices; writes nothing. */
#include "what_if.h"

#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "grid.h"
#include "handlers.h"
#include "module_row.h"
#include "selector.h"
#include "text.h"

void what_if_print_classes(const struct cli *cli, const json_t *classes)
{
    static const struct grid_column columns[] = {{.title = "DEVICES", .right = true},
                                                 {.title = "RUN", .shrinks = true},
                                                 {.title = "OUTCOME"},
                                                 {.title = "STEPS", .right = true},
                                                 {.title = "MEANS", .shrinks = true}};
    struct grid *grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    json_t *one;
    size_t i;

    json_array_foreach (classes, i, one) {
        const char *outcome = field_text_or(one, "outcome", "?");
        char *modules = module_row_list(json_object_get(one, "modules"));
        grid_addf(grid, "%lld", (long long)field_integer(one, "devices"));
        grid_add(grid, modules);
        grid_add_styled(grid, outcome, terminal_state_style(outcome));
        grid_addf(grid, "%zu", json_array_size(json_object_get(one, "steps")));
        grid_add(grid, field_text_or(one, "sentence", field_text_or(one, "reason", "-")));
        free(modules);
    }
    if (grid_rows(grid) > 0)
        grid_print(grid, &cli->terminal, stdout);
    grid_free(grid);
}

void what_if_print_blocked(const struct cli *cli, const json_t *blocked)
{
    const char *reason;
    json_t *count;

    json_object_foreach ((json_t *)(uintptr_t)blocked, reason, count)
        cli_say(cli, "  %lld blocked: %s", (long long)json_number_value(count), reason);
}

static void print(const struct cli *cli, const json_t *what)
{
    const json_t *by = json_object_get(what, "by_outcome");
    char bytes[TEXT_SIZE];

    text_bytes(bytes, field_count(what, "bytes"));
    cli_say(cli, "%lld devices: %lld are there already, %lld would be updated (%s in all), %lld are blocked.",
            (long long)field_integer(what, "devices"), (long long)field_integer(by, "current"),
            (long long)field_integer(by, "steps"), bytes, (long long)field_integer(by, "blocked"));
    what_if_print_blocked(cli, json_object_get(what, "blocked"));
    what_if_print_classes(cli, json_object_get(what, "classes"));
}

enum cli_exit what_if_run(struct cli *cli)
{
    enum cli_exit code;
    json_t *selector = selector_read(cli, &code), *rules = NULL, *answer;

    if (selector == NULL)
        return code;
    if (call_has(cli->call, "rules")) {
        rules = selector_load_json(call_text(cli->call, "rules"));
        if (rules == NULL) {
            json_decref(selector);
            return CLI_USAGE;
        }
    }
    code = cli_send(
        cli, "POST",
        json_pack("{sssoso*}", "release", call_argument(cli->call, 0), "selector", selector, "rules", rules),
        &answer, "/v1/what_if");
    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer))
        print(cli, json_object_get(answer, "what_if"));
    json_decref(answer);
    return code;
}
