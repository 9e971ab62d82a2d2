/* campaign devices, export, retry, exclude, stage: the devices of a campaign, and what is done to some. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "campaign.h"
#include "field.h"
#include "grid.h"
#include "handlers.h"
#include "module_row.h"
#include "page.h"
#include "query.h"
#include "rest.h"
#include "text.h"

#define LIMIT 1000
#define PER_PAGE 500

/* `/v1/campaigns/ID` and what follows; the caller frees. NULL: *code. */
static char *campaign_path(const struct cli *cli, const char *rest, json_t **campaign, enum cli_exit *code)
{
    *code = campaign_find(cli, campaign);
    if (*code != CLI_OK)
        return NULL;
    return mem_printf("/v1/campaigns/%lld%s", (long long)field_integer(*campaign, "id"), rest);
}

static void add_row(void *arg, const json_t *device)
{
    struct grid *grid = arg;
    const char *state = field_text_or(device, "state", "?");
    const json_t *step = json_object_get(device, "step");
    char name[NAMES_SIZE];

    grid_add(grid, field_text(device, "name"));
    grid_add(grid, field_text(device, "id"));
    grid_addf(grid, "%lld", (long long)field_integer(device, "stage"));
    grid_add_styled(grid, state, terminal_state_style(state));
    if (json_is_object(step)) {
        uint64_t size = field_count(step, "size_bytes");
        module_row_name(name, step);
        if (strcmp(field_text_or(step, "state", ""), "transferring") == 0 && size > 0)
            grid_addf(grid, "%s %lld: %u %%", name, (long long)field_integer(step, "version"),
                      (unsigned)(field_count(step, "acked_bytes") * 100 / size));
        else
            grid_addf(grid, "%s %lld: %s", name, (long long)field_integer(step, "version"),
                      field_text_or(step, "state", "?"));
    } else {
        grid_add(grid, NULL);
    }
    grid_add(grid, field_text_or(device, "sentence", field_text_or(device, "reason", "")));
}

enum cli_exit campaign_devices_run(struct cli *cli)
{
    static const struct grid_column columns[] = {
        {.title = "NAME", .shrinks = true}, {.title = "ID"},
        {.title = "STAGE", .right = true},  {.title = "STATE"},
        {.title = "STEP", .shrinks = true}, {.title = "WHY", .shrinks = true}};
    uint64_t limit = call_number(cli->call, "limit", LIMIT);
    json_t *campaign;
    enum cli_exit code;
    char *path = campaign_path(cli, "/devices", &campaign, &code);
    struct grid *grid;
    struct query q;

    if (path == NULL)
        return code;
    query_init(&q, path);
    query_add(&q, "state", call_text(cli->call, "state"));
    query_add(&q, "reason", call_text(cli->call, "reason"));
    grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    code = page_each(
        cli, &(struct page_list){.path = q.path, .key = "devices", .limit = limit, .per_page = PER_PAGE},
        add_row, grid);
    if (code == CLI_OK && !cli->json && grid_rows(grid) > 0)
        grid_print(grid, &cli->terminal, stdout);
    else if (code == CLI_OK)
        cli_say(cli, "No device of it is like that.");
    if (code == CLI_OK && limit > 0 && grid_rows(grid) == limit)
        cli_note(cli, "These are the first %llu; --limit 0 shows all.", (unsigned long long)limit);
    grid_free(grid);
    query_deinit(&q);
    free(path);
    json_decref(campaign);
    return code;
}

/* The server gives a slice at a time and says where the next one begins. */
static enum cli_exit write_slices(const struct cli *cli, FILE *into)
{
    const char *format = call_text(cli->call, "format");
    const char *accept = format == NULL || strcmp(format, "csv") == 0 ? "text/csv" : "application/x-ndjson";
    char *path = rest_path("/v1/campaigns/%s/export", call_argument(cli->call, 0));
    struct rest_answer answer = {.exit = CLI_OK};
    uint64_t after = 0;

    do {
        char *slice = mem_printf("%s?after=%llu", path, (unsigned long long)after);
        rest_ask(cli->rest, &(struct rest_request){.path = slice, .accept = accept, .into = into}, &answer);
        free(slice);
        rest_answer_deinit(&answer);
        if (answer.next_after <= after)
            break;
        after = answer.next_after;
    } while (answer.exit == CLI_OK);
    free(path);
    return answer.exit == CLI_OK ? CLI_OK : cli_fail(answer.exit, "%s", answer.why);
}

enum cli_exit campaign_export_run(struct cli *cli)
{
    const char *output = call_text(cli->call, "output");
    enum cli_exit code;
    char *fresh;

    if (output == NULL || strcmp(output, "-") == 0)
        return write_slices(cli, stdout);
    fresh = mem_printf("%s.XXXXXX", output);
    int fd = mkstemp(fresh);
    FILE *into = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (into == NULL) {
        code = cli_fail(CLI_USAGE, "%s cannot be written: %s", output, strerror(errno));
    } else {
        code = write_slices(cli, into);
        if ((fclose(into) != 0 || (code == CLI_OK && rename(fresh, output) != 0)) && code == CLI_OK)
            code = cli_fail(CLI_REFUSED, "%s cannot be written: %s", output, strerror(errno));
        if (code != CLI_OK)
            (void)unlink(fresh);
    }
    free(fresh);
    return code;
}

/* POST of a list to a path below the campaign. */
static enum cli_exit send_list(const struct cli *cli, const char *where, const char *key, json_t *list)
{
    json_t *campaign, *body, *answer;
    enum cli_exit code;
    char *path = campaign_path(cli, where, &campaign, &code);

    if (path == NULL) {
        json_decref(list);
        return code;
    }
    body = campaign_move_body(cli, campaign);
    (void)json_object_set_new(body, key, list);
    code = cli_ask(cli, &(struct rest_request){.method = "POST", .path = path, .body = body}, &answer);
    json_decref(body);
    json_decref(campaign);
    free(path);
    return code == CLI_OK ? campaign_tell(cli, answer) : code;
}

enum cli_exit campaign_retry_run(struct cli *cli)
{
    json_t *list = json_array();
    const char *text;
    size_t at = 0;

    while ((text = call_each(cli->call, "for", &at)) != NULL)
        (void)json_array_append_new(list, json_string(text));
    return send_list(cli, "/retry", "reasons", list);
}

enum cli_exit campaign_exclude_run(struct cli *cli)
{
    json_t *list = json_array(), *device;

    for (size_t i = 1; i < cli->call->argument_count; i++) {
        enum cli_exit code = cli_get(cli, &device, "/v1/devices/%s", cli->call->arguments[i]);
        if (code != CLI_OK) {
            json_decref(list);
            cli_note(cli, "(%s; nobody was excluded)", cli->call->arguments[i]);
            return code;
        }
        (void)json_array_append(list, json_object_get(device, "id"));
        json_decref(device);
    }
    return send_list(cli, "/exclude", "devices", list);
}

/* A stage by its number or its name; -1: there is none. */
static long find_stage(const json_t *campaign, const char *which)
{
    json_t *stage;
    size_t i;
    bool is_number = *which != '\0' && strspn(which, "0123456789") == strlen(which) && strlen(which) < 6;

    json_array_foreach (json_object_get(campaign, "stages"), i, stage) {
        if (strcmp(field_text_or(stage, "name", ""), which) == 0 ||
            (is_number && field_integer(stage, "n") == strtol(which, NULL, 10)))
            return (long)field_integer(stage, "n");
    }
    return -1;
}

enum cli_exit campaign_stage_run(struct cli *cli)
{
    const char *move = strrchr(cli->call->command->words, ' ') + 1, *which = call_argument(cli->call, 1);
    json_t *campaign, *answer;
    enum cli_exit code = campaign_find(cli, &campaign);
    char id[24], number[24];
    long n;

    if (code != CLI_OK)
        return code;
    n = find_stage(campaign, which);
    (void)snprintf(id, sizeof(id), "%lld", (long long)field_integer(campaign, "id"));
    (void)snprintf(number, sizeof(number), "%ld", n);
    if (n < 0) {
        json_decref(campaign);
        return cli_fail(CLI_NOT_FOUND, "%s has no stage %s; cyanctl campaign show %s tells them",
                        call_argument(cli->call, 0), which, call_argument(cli->call, 0));
    }
    json_t *body = campaign_move_body(cli, campaign);
    if (strcmp(move, "widen") == 0 && call_has(cli->call, "percent"))
        (void)json_object_set_new(body, "percent",
                                  json_integer((json_int_t)call_number(cli->call, "percent", 0)));
    if (strcmp(move, "widen") == 0 && call_has(cli->call, "devices"))
        (void)json_object_set_new(body, "max_devices",
                                  json_integer((json_int_t)call_number(cli->call, "devices", 0)));
    code = cli_send(cli, "POST", body, &answer, "/v1/campaigns/%s/stages/%s/%s", id, number, move);
    json_decref(campaign);
    return code == CLI_OK ? campaign_tell(cli, answer) : code;
}
