/* campaign list, show, and the moves of one: plan, submit, approve, start, pause, resume, abort, archive. */
#include "campaign.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "field.h"
#include "grid.h"
#include "handlers.h"
#include "page.h"
#include "query.h"
#include "rest.h"
#include "selector.h"
#include "text.h"
#include "what_if.h"

#define LIMIT 1000
#define PER_PAGE 100

enum cli_exit campaign_find(const struct cli *cli, json_t **campaign)
{
    json_t *answer;
    enum cli_exit code = cli_get(cli, &answer, "/v1/campaigns/%s", call_argument(cli->call, 0));

    *campaign = NULL;
    if (code != CLI_OK)
        return code;
    *campaign = json_incref(json_object_get(answer, "campaign"));
    json_decref(answer);
    if (!field_has_number(*campaign, "id")) {
        json_decref(*campaign);
        *campaign = NULL;
        return cli_fail(CLI_AWAY, "what %s says of the campaign cannot be read", rest_url(cli->rest));
    }
    return CLI_OK;
}

static void add_row(void *arg, const json_t *campaign)
{
    struct grid *grid = arg;
    const char *state = field_text_or(campaign, "state", "?");
    char when[TEXT_SIZE];

    text_time(when, field_text(campaign, "created_at"));
    grid_addf(grid, "%lld", (long long)field_integer(campaign, "id"));
    grid_add(grid, field_text(campaign, "name"));
    grid_add(grid, field_text(json_object_get(campaign, "release"), "name"));
    grid_add_styled(grid, state, terminal_state_style(state));
    grid_add(grid, field_text(campaign, "why"));
    grid_add(grid, when);
}

enum cli_exit campaign_list_run(struct cli *cli)
{
    static const struct grid_column columns[] = {
        {.title = "ID", .right = true},        {.title = "NAME", .shrinks = true},
        {.title = "RELEASE", .shrinks = true}, {.title = "STATE"},
        {.title = "WHY", .shrinks = true},     {.title = "CREATED"}};
    struct grid *grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    struct query q;
    enum cli_exit code;

    query_init(&q, "/v1/campaigns");
    query_add(&q, "state", call_text(cli->call, "state"));
    code = page_each(cli,
                     &(struct page_list){.path = q.path,
                                         .key = "campaigns",
                                         .per_page = PER_PAGE,
                                         .limit = call_number(cli->call, "limit", LIMIT)},
                     add_row, grid);
    query_deinit(&q);
    if (code == CLI_OK && !cli->json && grid_rows(grid) > 0)
        grid_print(grid, &cli->terminal, stdout);
    else if (code == CLI_OK)
        cli_say(cli, "There is no campaign.");
    grid_free(grid);
    return code;
}

static void add_count(struct grid *grid, const json_t *counts, const char *key)
{
    grid_addf(grid, "%lld", (long long)field_integer(counts, key));
}

static void print_stages(const struct cli *cli, const json_t *stages)
{
    static const struct grid_column columns[] = {{.title = "STAGE", .shrinks = true},
                                                 {.title = "SIZE", .right = true},
                                                 {.title = "STATE"},
                                                 {.title = "DEVICES", .right = true},
                                                 {.title = "OPEN", .right = true},
                                                 {.title = "OK", .right = true},
                                                 {.title = "FAILED", .right = true},
                                                 {.title = "LOST", .right = true},
                                                 {.title = "BLOCKED", .right = true},
                                                 {.title = "VERDICT", .shrinks = true}};
    struct grid *grid = grid_new(columns, sizeof(columns) / sizeof(columns[0]));
    json_t *stage;
    size_t i;

    json_array_foreach (stages, i, stage) {
        const json_t *counts = json_object_get(stage, "counts");
        const char *state = field_text_or(stage, "state", "?");
        grid_addf(grid, "%lld %s", (long long)field_integer(stage, "n"), field_text_or(stage, "name", ""));
        if (field_has_number(stage, "percent"))
            grid_addf(grid, "%g %%", field_number(stage, "percent"));
        else if (field_has_number(stage, "max_devices"))
            grid_addf(grid, "%lld", (long long)field_integer(stage, "max_devices"));
        else
            grid_add(grid, NULL);
        grid_add_styled(grid, state, terminal_state_style(state));
        add_count(grid, counts, "total");
        add_count(grid, counts, "open");
        add_count(grid, counts, "ok");
        add_count(grid, counts, "failed");
        add_count(grid, counts, "lost");
        add_count(grid, counts, "blocked");
        grid_add(grid, field_text(json_object_get(stage, "verdict"), "sentence"));
    }
    if (grid_rows(grid) > 0)
        grid_print(grid, &cli->terminal, stdout);
    grid_free(grid);
}

static void print_plan(const struct cli *cli, const json_t *plan)
{
    char bytes[TEXT_SIZE];
    json_t *proof;
    size_t i;

    if (!json_is_object(plan))
        return;
    text_bytes(bytes, field_count(plan, "bytes"));
    cli_say(cli, "Its plan: %lld devices, %s to send.", (long long)field_integer(plan, "devices"), bytes);
    what_if_print_blocked(cli, json_object_get(plan, "blocked"));
    json_array_foreach (json_object_get(plan, "proves"), i, proof) {
        const char *sentence = field_text(proof, "sentence");
        if (sentence != NULL)
            cli_say(cli, "  %s", sentence);
    }
    what_if_print_classes(cli, json_object_get(plan, "classes"));
}

void campaign_print(const struct cli *cli, const json_t *campaign)
{
    const char *why = field_text(campaign, "why"), *state = field_text_or(campaign, "state", "?");
    const char *pause = field_text(campaign, "pause_reason");
    char *selector = selector_describe(json_object_get(campaign, "selector"));
    char when[TEXT_SIZE];

    cli_say(cli, "%s (%lld), release %s: %s%s%s, rev %lld", field_text_or(campaign, "name", "?"),
            (long long)field_integer(campaign, "id"),
            field_text_or(json_object_get(campaign, "release"), "name", "?"), state,
            pause != NULL ? " by " : "", pause != NULL ? pause : "",
            (long long)field_integer(campaign, "rev"));
    if (why != NULL)
        cli_say(cli, "%s", why);
    text_time(when, field_text(campaign, "created_at"));
    cli_say(cli, "Devices: %s", selector);
    cli_say(cli, "Created by %s, %s; approved by %s.", field_text_or(campaign, "created_by", "?"), when,
            field_text_or(campaign, "approved_by", "nobody yet"));
    print_plan(cli, json_object_get(campaign, "plan"));
    print_stages(cli, json_object_get(campaign, "stages"));
    if (json_is_object(json_object_get(campaign, "verdict")))
        cli_say(cli, "Verdict: %s", field_text_or(json_object_get(campaign, "verdict"), "state", "?"));
    free(selector);
}

enum cli_exit campaign_show_run(struct cli *cli)
{
    json_t *campaign;
    enum cli_exit code = campaign_find(cli, &campaign);

    if (code != CLI_OK)
        return code;
    if (cli->json) {
        json_t *whole = json_pack("{sO}", "campaign", campaign);
        (void)cli_print_json(cli, whole);
        json_decref(whole);
    } else {
        campaign_print(cli, campaign);
    }
    json_decref(campaign);
    return code;
}

json_t *campaign_move_body(const struct cli *cli, const json_t *campaign)
{
    json_int_t rev = (json_int_t)call_number(cli->call, "rev", (uint64_t)field_integer(campaign, "rev"));

    return json_pack("{sIss*}", "rev", rev, "reason", call_text(cli->call, "reason"));
}

enum cli_exit campaign_tell(const struct cli *cli, json_t *answer)
{
    const json_t *campaign = json_object_get(answer, "campaign");
    const char *why = field_text(campaign, "why");

    if (!cli_print_json(cli, answer) && json_is_object(campaign)) {
        cli_say(cli, "%s is %s, rev %lld.", field_text_or(campaign, "name", "?"),
                field_text_or(campaign, "state", "?"), (long long)field_integer(campaign, "rev"));
        if (why != NULL)
            cli_say(cli, "%s", why);
    }
    json_decref(answer);
    return CLI_OK;
}

/* `campaign pause` and its kin: the last word is the move. */
enum cli_exit campaign_move_run(struct cli *cli)
{
    const char *move = strrchr(cli->call->command->words, ' ') + 1;
    json_t *campaign, *answer;
    enum cli_exit code = campaign_find(cli, &campaign);
    char id[24];

    if (code != CLI_OK)
        return code;
    (void)snprintf(id, sizeof(id), "%lld", (long long)field_integer(campaign, "id"));
    code = cli_send(cli, "POST", campaign_move_body(cli, campaign), &answer, "/v1/campaigns/%s/%s", id, move);
    json_decref(campaign);
    if (code != CLI_OK)
        return code;
    if (strcmp(move, "plan") == 0 && !cli->json) {
        campaign_print(cli, json_object_get(answer, "campaign"));
        json_decref(answer);
        return CLI_OK;
    }
    return campaign_tell(cli, answer);
}
