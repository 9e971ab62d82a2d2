/* product firmware list, upload, release. */
#include "handlers.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "field.h"
#include "grid.h"
#include "query.h"
#include "rest.h"
#include "text.h"
#include "upload.h"

#define VERSION_MAX 65535

/* `default, group a, group b`; the caller frees. */
static char *released_to(const json_t *firmware)
{
    char *text = mem_string(field_is_true(firmware, "product_default") ? "all" : "");
    json_t *group;
    size_t i;

    json_array_foreach (json_object_get(firmware, "groups"), i, group) {
        const char *name = json_string_value(group);
        char *longer = mem_printf("%s%s%s", text, *text != '\0' ? ", " : "", name != NULL ? name : "?");
        free(text);
        text = longer;
    }
    return text;
}

static void add_row(struct grid *grid, const json_t *firmware)
{
    char size[TEXT_SIZE], when[TEXT_SIZE];
    char *to = released_to(firmware);

    text_bytes(size, field_count(firmware, "size"));
    text_time(when, field_text(firmware, "uploaded_on"));
    grid_addf(grid, "%lld", (long long)field_integer(firmware, "version"));
    grid_add(grid, field_text(firmware, "title"));
    grid_addf(grid, "%lld", (long long)field_integer(firmware, "device_count"));
    if (field_is_true(firmware, "withdrawn"))
        grid_add_styled(grid, "withdrawn", terminal_state_style("withdrawn"));
    else
        grid_add(grid, to);
    grid_add(grid, size);
    grid_add(grid, when);
    grid_add(grid, field_text(firmware, "name"));
    free(to);
}

enum cli_exit product_firmware_list_run(struct cli *cli)
{
    static const struct grid_column columns[] = {
        {.title = "VERSION", .right = true}, {.title = "TITLE", .shrinks = true},
        {.title = "DEVICES", .right = true}, {.title = "RELEASED TO", .shrinks = true},
        {.title = "SIZE", .right = true},    {.title = "UPLOADED"},
        {.title = "FILE", .shrinks = true}};
    struct grid *grid;
    json_t *answer, *firmware;
    size_t i;
    enum cli_exit code = cli_get(cli, &answer, "/v1/products/%s/firmware", call_argument(cli->call, 0));

    if (code != CLI_OK)
        return code;
    grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    if (!cli_print_json(cli, answer)) {
        json_array_foreach (answer, i, firmware)
            add_row(grid, firmware);
        if (grid_rows(grid) > 0)
            grid_print(grid, &cli->terminal, stdout);
        else
            cli_say(cli, "There is none; cyanctl product firmware upload %s FILE --version N brings some.",
                    call_argument(cli->call, 0));
    }
    grid_free(grid);
    json_decref(answer);
    return code;
}

enum cli_exit product_firmware_upload_run(struct cli *cli)
{
    const char *product = call_argument(cli->call, 0), *file = call_argument(cli->call, 1);
    uint64_t version = call_number(cli->call, "version", 0);
    char *path = rest_path("/v1/products/%s/firmware", product);
    json_t *fields =
        json_pack("{sIsssssb}", "version", (json_int_t)version, "title",
                  call_has(cli->call, "title") ? call_text(cli->call, "title") : "", "description",
                  call_has(cli->call, "description") ? call_text(cli->call, "description") : "", "mandatory",
                  (int)call_has(cli->call, "mandatory"));
    json_t *answer = NULL;
    bool made;
    enum cli_exit code = upload_form(cli, "POST", path, file, fields, &answer, &made);

    if (code == CLI_OK && !cli_print_json(cli, answer))
        cli_say(cli,
                "%s is version %llu of %s; cyanctl product firmware release %s %llu --default sends it out.",
                file, (unsigned long long)version, product, product, (unsigned long long)version);
    json_decref(answer);
    json_decref(fields);
    free(path);
    return code;
}

/* --- release --- */

static json_t *groups_of(const struct call *call)
{
    json_t *groups = json_array();
    const char *name;
    size_t at = 0;

    while ((name = call_each(call, "group", &at)) != NULL)
        (void)json_array_append_new(groups, json_string(name));
    return groups;
}

static void print_impact(const struct cli *cli, const json_t *answer, const char *version)
{
    static const struct grid_column columns[] = {{.title = "RUNS", .right = true},
                                                 {.title = "DEVICES", .right = true}};
    const json_t *update = json_object_get(json_object_get(answer, "devices"), "firmware_update");
    struct grid *grid = grid_new(columns, 2);
    json_t *row;
    size_t i;

    json_array_foreach (json_object_get(update, "by_version"), i, row) {
        if (field_has_number(row, "version"))
            grid_addf(grid, "%lld", (long long)field_integer(row, "version"));
        else
            grid_add(grid, "unknown");
        grid_addf(grid, "%lld", (long long)field_integer(row, "total"));
    }
    cli_say(cli, "%lld devices would get version %s.", (long long)field_integer(update, "total"), version);
    if (grid_rows(grid) > 0)
        grid_print(grid, &cli->terminal, stdout);
    grid_free(grid);
}

static enum cli_exit preview(struct cli *cli, const char *product, const char *version)
{
    char *path = rest_path("/v1/products/%s/impact?action=edit_groups_for_firmware", product);
    char *groups = mem_string("");
    const char *name;
    struct query q;
    json_t *answer;
    size_t at = 0;
    enum cli_exit code;

    while ((name = call_each(cli->call, "group", &at)) != NULL) {
        char *longer = mem_printf("%s%s%s", groups, *groups != '\0' ? "," : "", name);
        free(groups);
        groups = longer;
    }
    query_init(&q, path);
    query_add(&q, "firmware_version", version);
    query_add(&q, "groups", *groups != '\0' ? groups : NULL);
    query_add(&q, "product_default", call_has(cli->call, "default") ? "true" : NULL);
    code = cli_ask(cli, &(struct rest_request){.path = q.path}, &answer);
    if (code == CLI_OK && !cli_print_json(cli, answer))
        print_impact(cli, answer, version);
    if (code == CLI_OK)
        json_decref(answer);
    query_deinit(&q);
    free(groups);
    free(path);
    return code;
}

enum cli_exit product_firmware_release_run(struct cli *cli)
{
    const char *product = call_argument(cli->call, 0), *version = call_argument(cli->call, 1);
    size_t len = strlen(version);
    long number = len <= 5 && strspn(version, "0123456789") == len ? strtol(version, NULL, 10) : 0;
    json_t *answer, *body;
    enum cli_exit code;

    if (number < 1 || number > VERSION_MAX)
        return cli_fail(CLI_USAGE, "%s is no version: it is a number from 1 to %d", version, VERSION_MAX);
    if (!call_has(cli->call, "default") && !call_has(cli->call, "group"))
        return cli_fail(CLI_USAGE, "say to whom: --default, or --group NAME");
    if (call_has(cli->call, "dry-run"))
        return preview(cli, product, version);
    body = json_pack("{sIsbsosb}", "version", (json_int_t)number, "product_default",
                     (int)call_has(cli->call, "default"), "groups", groups_of(cli->call), "intelligent",
                     (int)call_has(cli->call, "now"));
    code = cli_send(cli, "PUT", body, &answer, "/v1/products/%s/firmware/release", product);
    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer))
        cli_say(cli, "Version %s is released: devices get it %s.", version,
                call_has(cli->call, "now") ? "now, those that are offline when they connect"
                                           : "when they connect next");
    json_decref(answer);
    return code;
}
