/* release list, show, create, publish, withdraw. */
#include "handlers.h"

#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "grid.h"
#include "module_row.h"
#include "page.h"
#include "text.h"

#define LIMIT 1000
#define PER_PAGE 100

static void add_row(void *arg, const json_t *release)
{
    struct grid *grid = arg;
    const char *state = field_text_or(release, "state", "?");
    const json_t *modules = json_object_get(release, "modules");
    char when[TEXT_SIZE];

    text_time(when, field_text(release, "published_at"));
    grid_addf(grid, "%lld", (long long)field_integer(release, "id"));
    grid_add(grid, field_text(release, "name"));
    grid_add_styled(grid, state, terminal_state_style(state));
    if (json_is_array(modules))
        grid_addf(grid, "%zu", json_array_size(modules));
    else
        grid_add(grid, NULL);
    grid_add(grid, when);
    grid_add(grid, field_text(release, "notes"));
}

enum cli_exit release_list_run(struct cli *cli)
{
    static const struct grid_column columns[] = {{.title = "ID", .right = true},
                                                 {.title = "NAME", .shrinks = true},
                                                 {.title = "STATE"},
                                                 {.title = "MODULES", .right = true},
                                                 {.title = "PUBLISHED"},
                                                 {.title = "NOTES", .shrinks = true}};
    struct grid *grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    struct page_list list = {.path = "/v1/releases",
                             .key = "releases",
                             .limit = call_number(cli->call, "limit", LIMIT),
                             .per_page = PER_PAGE};
    enum cli_exit code = page_each(cli, &list, add_row, grid);

    if (code == CLI_OK && !cli->json && grid_rows(grid) > 0)
        grid_print(grid, &cli->terminal, stdout);
    else if (code == CLI_OK)
        cli_say(cli, "There is no release; cyanctl release create NAME --target ID makes one.");
    grid_free(grid);
    return code;
}

static void print_modules(const struct cli *cli, const json_t *modules)
{
    static const struct grid_column columns[] = {{.title = "FIRMWARE", .right = true},
                                                 {.title = "PLATFORM", .shrinks = true},
                                                 {.title = "MODULE", .shrinks = true},
                                                 {.title = "VERSION", .right = true},
                                                 {.title = "SIZE", .right = true},
                                                 {.title = "ROLE"},
                                                 {.title = "STATUS"}};
    struct grid *grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    char name[NAMES_SIZE], size[TEXT_SIZE];
    json_t *m;
    size_t i;

    json_array_foreach (modules, i, m) {
        const char *status = field_text_or(m, "status", "?"), *role = field_text_or(m, "role", "?");
        module_row_name(name, m);
        text_bytes(size, field_count(m, "size_bytes"));
        grid_addf(grid, "%lld", (long long)field_integer(m, "module_id"));
        grid_add(grid, field_text(m, "platform"));
        grid_add(grid, name);
        grid_addf(grid, "%lld", (long long)field_integer(m, "version"));
        grid_add(grid, size);
        grid_add(grid, strcmp(role, "stepping_stone") == 0 ? "stepping stone" : role);
        grid_add_styled(grid, status, terminal_state_style(status));
    }
    if (grid_rows(grid) > 0)
        grid_print(grid, &cli->terminal, stdout);
    grid_free(grid);
}

static void print_release(const struct cli *cli, const json_t *release)
{
    char when[TEXT_SIZE];

    text_time(when, field_text(release, "published_at"));
    cli_say(cli, "%s (%lld): %s", field_text_or(release, "name", "?"),
            (long long)field_integer(release, "id"), field_text_or(release, "state", "?"));
    if (field_text(release, "notes") != NULL)
        cli_say(cli, "%s", field_text(release, "notes"));
    if (field_text(release, "withdrawn_reason") != NULL)
        cli_say(cli, "Withdrawn: %s", field_text(release, "withdrawn_reason"));
    if (field_text(release, "published_at") != NULL)
        cli_say(cli, "Published %s; made by %s.", when, field_text_or(release, "created_by", "?"));
    print_modules(cli, json_object_get(release, "modules"));
}

enum cli_exit release_show_run(struct cli *cli)
{
    json_t *answer;
    enum cli_exit code = cli_get(cli, &answer, "/v1/releases/%s", call_argument(cli->call, 0));

    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer))
        print_release(cli, json_object_get(answer, "release"));
    json_decref(answer);
    return code;
}

/* The ids given with an option; NULL: one of them is none. */
static json_t *ids_of(const struct call *call, const char *option)
{
    json_t *list = json_array();
    const char *text;
    size_t at = 0;

    while ((text = call_each(call, option, &at)) != NULL) {
        char *end = NULL;
        long long id = *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : 0;
        if (id <= 0 || *end != '\0') {
            json_decref(list);
            (void)cli_fail(CLI_USAGE,
                           "--%s %s: it is the number of a firmware; cyanctl firmware list tells them",
                           option, text);
            return NULL;
        }
        (void)json_array_append_new(list, json_integer(id));
    }
    return list;
}

enum cli_exit release_create_run(struct cli *cli)
{
    json_t *targets = ids_of(cli->call, "target"), *stones, *answer, *body;
    enum cli_exit code;

    if (targets == NULL)
        return CLI_USAGE;
    stones = ids_of(cli->call, "stepping-stone");
    if (stones == NULL) {
        json_decref(targets);
        return CLI_USAGE;
    }
    body = json_pack("{sssososs*}", "name", call_argument(cli->call, 0), "targets", targets,
                     "stepping_stones", stones, "notes", call_text(cli->call, "notes"));
    code = cli_send(cli, "POST", body, &answer, "/v1/releases");
    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer)) {
        print_release(cli, json_object_get(answer, "release"));
        cli_say(cli, "It is a draft; cyanctl release publish %s makes it final.",
                call_argument(cli->call, 0));
    }
    json_decref(answer);
    return code;
}

enum cli_exit release_publish_run(struct cli *cli)
{
    const char *which = call_argument(cli->call, 0);
    json_t *answer;
    enum cli_exit code = cli_send(cli, "POST", json_object(), &answer, "/v1/releases/%s/publish", which);

    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer))
        cli_say(cli, "Release %s is published; from now on it stays as it is.", which);
    json_decref(answer);
    return code;
}

enum cli_exit release_withdraw_run(struct cli *cli)
{
    const char *which = call_argument(cli->call, 0);
    json_t *answer;
    enum cli_exit code = cli_send(cli, "POST", json_pack("{ss}", "reason", call_text(cli->call, "reason")),
                                  &answer, "/v1/releases/%s/withdraw", which);

    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer))
        cli_say(cli, "Release %s is withdrawn.", which);
    json_decref(answer);
    return code;
}
