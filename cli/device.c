/* device list, show, history, updates. */
#include "handlers.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "field.h"
#include "grid.h"
#include "module_row.h"
#include "page.h"
#include "query.h"
#include "rest.h"
#include "text.h"

#define LIMIT 1000
#define PER_PAGE 500

static void add_row(void *arg, const json_t *device)
{
    struct grid *grid = arg;
    bool online = field_is_true(device, "connected");
    char platform[NAMES_SIZE], ago[TEXT_SIZE];
    const char *status = field_text_or(device, "status", "normal");
    char *remark;

    names_platform(platform,
                   field_has_number(device, "platform_id") ? (long)field_integer(device, "platform_id") : -1);
    text_ago(ago, field_text(device, "last_heard"), clock_wall_ms());
    remark = mem_printf("%s%s%s", field_is_true(device, "requires_deep_update") ? "needs deep update " : "",
                        strcmp(status, "normal") != 0 ? status : "",
                        field_is_true(device, "quarantined") ? " quarantined" : "");
    grid_add(grid, field_text(device, "name"));
    grid_add(grid, field_text(device, "id"));
    grid_add(grid, platform);
    grid_add_styled(grid, online ? "online" : "offline", online ? STYLE_GOOD : STYLE_PLAIN);
    grid_add(grid, ago);
    grid_add(grid, field_text(device, "system_firmware_version"));
    grid_add_styled(grid, remark, STYLE_WARN);
    free(remark);
}

static enum cli_exit device_query(const struct cli *cli, struct query *q)
{
    const struct call *call = cli->call;
    const char *platform = call_text(call, "platform");
    uint16_t id;
    char number[8];

    if (call_has(call, "online") && call_has(call, "offline"))
        return cli_fail(CLI_USAGE, "--online and --offline: one of them");
    if (platform != NULL && !names_parse_platform(&id, platform))
        return cli_fail(CLI_USAGE, "--platform %s: no platform has this name; its number does as well",
                        platform);
    if (platform != NULL)
        (void)snprintf(number, sizeof(number), "%u", id);
    query_init(q, "/v1/devices");
    query_add(q, "platform_id", platform != NULL ? number : NULL);
    query_add(q, "product_id", call_text(call, "product"));
    query_add(q, "name", call_text(call, "name"));
    query_add(q, "connected", call_has(call, "online") ? "true" : call_has(call, "offline") ? "false" : NULL);
    query_add(q, "requires_deep_update", call_has(call, "requires-deep-update") ? "true" : NULL);
    query_add(q, "quarantined", call_has(call, "quarantined") ? "true" : NULL);
    return CLI_OK;
}

/* As it comes: of a large fleet nothing is kept. */
static enum cli_exit print_csv(const struct cli *cli, const char *path)
{
    json_t *none;

    if (call_has(cli->call, "limit") || cli->json)
        return cli_fail(CLI_USAGE, "--csv goes with neither --json nor --limit");
    enum cli_exit code =
        cli_ask(cli, &(struct rest_request){.path = path, .accept = "text/csv", .into = stdout}, &none);
    json_decref(none);
    if (code == CLI_OK && fflush(stdout) != 0)
        return cli_fail(CLI_REFUSED, "The output could not be written.");
    return code;
}

enum cli_exit device_list_run(struct cli *cli)
{
    static const struct grid_column columns[] = {{.title = "NAME", .shrinks = true},
                                                 {.title = "ID"},
                                                 {.title = "PLATFORM", .shrinks = true},
                                                 {.title = "STATE"},
                                                 {.title = "HEARD"},
                                                 {.title = "SYSTEM", .shrinks = true},
                                                 {.title = "REMARK", .shrinks = true}};
    uint64_t limit = call_number(cli->call, "limit", LIMIT);
    struct grid *grid;
    struct query q;
    enum cli_exit code = device_query(cli, &q);

    if (code != CLI_OK)
        return code;
    if (call_has(cli->call, "csv")) {
        code = print_csv(cli, q.path);
        query_deinit(&q);
        return code;
    }
    grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    code = page_each(cli, &(struct page_list){.path = q.path, .limit = limit, .per_page = PER_PAGE}, add_row,
                     grid);
    query_deinit(&q);
    if (code == CLI_OK && !cli->json) {
        if (grid_rows(grid) > 0)
            grid_print(grid, &cli->terminal, stdout);
        else
            cli_say(cli, "No device is like that.");
        if (limit > 0 && grid_rows(grid) == limit)
            cli_note(cli, "These are the first %llu; --limit 0 shows all.", (unsigned long long)limit);
    }
    grid_free(grid);
    return code;
}

static void print_modules(const struct cli *cli, const json_t *list)
{
    static const struct grid_column columns[] = {{.title = "MODULE", .shrinks = true},
                                                 {.title = "VERSION", .right = true},
                                                 {.title = "STORE"},
                                                 {.title = "VALID"},
                                                 {.title = "NEEDS", .shrinks = true}};
    struct grid *grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    char name[NAMES_SIZE];
    json_t *one;
    size_t i;

    json_array_foreach (list, i, one) {
        bool valid = field_is_true(one, "valid");
        char *needs = module_row_list(json_object_get(one, "dependencies"));
        module_row_name(name, one);
        grid_add(grid, name);
        grid_addf(grid, "%lld", (long long)field_integer(one, "version"));
        grid_add(grid, field_text(one, "store"));
        grid_add_styled(grid, valid ? "yes" : "no", valid ? STYLE_PLAIN : STYLE_BAD);
        grid_add(grid, needs);
        free(needs);
    }
    if (grid_rows(grid) > 0) {
        (void)fputc('\n', stdout);
        grid_print(grid, &cli->terminal, stdout);
    }
    grid_free(grid);
}

static void add_pair(struct grid *grid, const char *name, const char *value)
{
    if (value == NULL)
        return;
    grid_add(grid, name);
    grid_add(grid, value);
}

static void print_device(const struct cli *cli, const json_t *device)
{
    static const struct grid_column columns[] = {{0}, {0}};
    struct grid *grid = grid_new(columns, 2);
    char platform[NAMES_SIZE], when[TEXT_SIZE], ago[TEXT_SIZE];
    const char *heard = field_text(device, "last_heard");

    names_platform(platform,
                   field_has_number(device, "platform_id") ? (long)field_integer(device, "platform_id") : -1);
    text_time(when, heard);
    text_ago(ago, heard, clock_wall_ms());
    add_pair(grid, "name", field_text_or(device, "name", "-"));
    add_pair(grid, "id", field_text(device, "id"));
    add_pair(grid, "platform", platform);
    add_pair(grid, "state", field_is_true(device, "connected") ? "online" : "offline");
    grid_add(grid, "last heard");
    grid_addf(grid, "%s%s%s%s", ago, heard != NULL ? " (" : "", heard != NULL ? when : "",
              heard != NULL ? ")" : "");
    add_pair(grid, "address", field_text(device, "last_ip_address"));
    add_pair(grid, "status", field_text(device, "status"));
    add_pair(grid, "system", field_text(device, "system_firmware_version"));
    add_pair(grid, "CC3000 patch", field_text(device, "cc3000_patch_version"));
    add_pair(grid, "owner", field_text(device, "owner"));
    add_pair(grid, "last reset", field_text(device, "last_reset"));
    add_pair(grid, "notes", field_text(device, "notes"));
    if (field_is_true(device, "quarantined"))
        add_pair(grid, "quarantined", "yes");
    if (json_is_false(json_object_get(device, "firmware_updates_enabled")))
        add_pair(grid, "updates", "not wanted by the device at the moment");
    if (field_is_true(device, "requires_deep_update"))
        add_pair(grid, "deep update", field_text_or(device, "deep_update_reason", "needed"));
    grid_print(grid, &cli->terminal, stdout);
    grid_free(grid);
}

enum cli_exit device_show_run(struct cli *cli)
{
    const char *which = call_argument(cli->call, 0);
    json_t *device, *modules = NULL;
    enum cli_exit code = cli_get(cli, &device, "/v1/devices/%s", which);

    if (code != CLI_OK)
        return code;
    code = cli_get(cli, &modules, "/v1/devices/%s/modules", which);
    if (code == CLI_OK && cli->json)
        (void)json_object_set(device, "modules", json_object_get(modules, "modules"));
    if (code == CLI_OK && !cli_print_json(cli, device)) {
        print_device(cli, device);
        print_modules(cli, json_object_get(modules, "modules"));
    }
    json_decref(modules);
    json_decref(device);
    return code;
}

static void add_version(struct grid *grid, const json_t *change, const char *key)
{
    if (field_has_number(change, key))
        grid_addf(grid, "%lld", (long long)field_integer(change, key));
    else
        grid_add(grid, NULL);
}

enum cli_exit device_history_run(struct cli *cli)
{
    static const struct grid_column columns[] = {{.title = "WHEN"},
                                                 {.title = "MODULE", .shrinks = true},
                                                 {.title = "FROM", .right = true},
                                                 {.title = "TO", .right = true},
                                                 {.title = "CAUSE", .shrinks = true}};
    struct grid *grid;
    char name[NAMES_SIZE], when[TEXT_SIZE];
    json_t *answer, *one;
    size_t i;
    enum cli_exit code =
        cli_get(cli, &answer, "/v1/devices/%s/modules?history=1", call_argument(cli->call, 0));

    if (code != CLI_OK)
        return code;
    const json_t *history = json_object_get(answer, "history");
    if (!cli_print_json(cli, history)) {
        grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
        json_array_foreach (history, i, one) {
            module_row_name(name, one);
            text_time(when, field_text(one, "at"));
            grid_add(grid, when);
            grid_add(grid, name);
            add_version(grid, one, "old_version");
            add_version(grid, one, "new_version");
            grid_add(grid, field_text(one, "cause"));
        }
        if (grid_rows(grid) > 0)
            grid_print(grid, &cli->terminal, stdout);
        else
            cli_say(cli, "It has not told what it runs, or nothing of it changed yet.");
        grid_free(grid);
    }
    json_decref(answer);
    return CLI_OK;
}

enum cli_exit device_updates_run(struct cli *cli)
{
    static const struct grid_column columns[] = {{.title = "WHEN"},
                                                 {.title = "WHAT", .shrinks = true},
                                                 {.title = "STATE"},
                                                 {.title = "WHY", .shrinks = true}};
    struct grid *grid;
    char when[TEXT_SIZE];
    json_t *answer, *one;
    size_t i;
    enum cli_exit code = cli_get(cli, &answer, "/v1/devices/%s/updates", call_argument(cli->call, 0));

    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer)) {
        grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
        json_array_foreach (json_object_get(answer, "updates"), i, one) {
            const char *state = field_text_or(one, "state", "?"), *why = field_text(one, "sentence");
            const char *campaign = field_text(one, "campaign");
            if (campaign == NULL)
                campaign = field_text(json_object_get(one, "campaign"), "name");
            text_time(when, field_text(one, "created_at"));
            grid_add(grid, when);
            grid_addf(grid, "%s%s%s", field_text_or(one, "kind", "?"), campaign != NULL ? " " : "",
                      campaign != NULL ? campaign : "");
            grid_add_styled(grid, state, terminal_state_style(state));
            grid_add(grid, why != NULL ? why : field_text(one, "reason"));
        }
        if (grid_rows(grid) > 0)
            grid_print(grid, &cli->terminal, stdout);
        else
            cli_say(cli, "It was never updated.");
        grid_free(grid);
    }
    json_decref(answer);
    return CLI_OK;
}
