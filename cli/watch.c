/* campaign watch: stays with a campaign until it ends, whatever the server does meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "campaign.h"
#include "field.h"
#include "handlers.h"
#include "interrupt.h"
#include "progress.h"
#include "rest.h"
#include "text.h"

#define LOOK_EVERY_S 1
#define RETRY_MAX_MS 10000
#define PATIENCE_S 600

static bool is_over(const char *state)
{
    return strcmp(state, "completed") == 0 || strcmp(state, "aborted") == 0 || strcmp(state, "archived") == 0;
}

/* Completed alone does not mean that the devices are well: the verdict says that. */
static enum cli_exit judge(const struct cli *cli, const json_t *campaign)
{
    const char *name = field_text_or(campaign, "name", "?"), *state = field_text_or(campaign, "state", "?");
    const json_t *verdict = json_object_get(campaign, "verdict");
    const char *judged = field_text_or(verdict, "state", state);
    bool bad = strcmp(judged, "aborted") == 0 || strcmp(judged, "with_failures") == 0;

    cli_say(cli, "%s is %s: %s", name, state,
            field_text_or(verdict, "sentence", field_text_or(campaign, "why", "")));
    if (field_integer(verdict, "failed") + field_integer(verdict, "lost") +
            field_integer(verdict, "blocked") >
        0)
        cli_note(cli, "Which devices, and why: cyanctl campaign devices %s --state failed, lost or blocked",
                 name);
    return bad ? CLI_ENDED_BADLY : CLI_OK;
}

static enum cli_exit say_goes_on(const struct cli *cli, struct progress *p)
{
    const char *which = call_argument(cli->call, 0);

    progress_rest(p);
    cli_note(
        cli,
        "The campaign goes on. cyanctl campaign watch %s looks again, cyanctl campaign pause %s halts it.",
        which, which);
    return CLI_INTERRUPTED;
}

struct absence {
    uint64_t since_ms; /* 0: the server is there */
    uint64_t wait_ms;
};

/* False: it has been away for too long. */
static bool bear_absence(struct absence *a, const struct cli *cli, struct progress *p, const char *why)
{
    uint64_t now_ms = clock_ms();

    if (a->since_ms == 0) {
        a->since_ms = now_ms;
        a->wait_ms = 500;
        progress_rest(p);
        cli_note(cli, "%s. The campaign is the server's and goes on with it; trying again.", why);
    }
    a->wait_ms = a->wait_ms * 2 < RETRY_MAX_MS ? a->wait_ms * 2 : RETRY_MAX_MS;
    return now_ms - a->since_ms < call_number(cli->call, "patience", PATIENCE_S) * 1000;
}

static void end_absence(struct absence *a, const struct cli *cli, struct progress *p)
{
    char lasted[TEXT_SIZE];

    if (a->since_ms == 0)
        return;
    text_duration(lasted, (clock_ms() - a->since_ms) / 1000);
    progress_rest(p);
    cli_note(cli, "The server is there again, after %s.", lasted);
    a->since_ms = 0;
}

static enum cli_exit stay(const struct cli *cli, const char *path, struct progress *p)
{
    uint64_t every_ms = call_number(cli->call, "every", LOOK_EVERY_S) * 1000;
    struct absence absence = {0};
    struct rest_answer answer;

    for (;;) {
        uint64_t wait_ms = every_ms;
        rest_ask(cli->rest, &(struct rest_request){.path = path}, &answer);
        if (answer.exit == CLI_INTERRUPTED)
            return say_goes_on(cli, p);
        if (answer.exit == CLI_OK) {
            json_t *progress = json_object_get(answer.json, "progress");
            end_absence(&absence, cli, p);
            progress_show(p, cli, progress);
            if (is_over(field_text_or(json_object_get(progress, "campaign"), "state", ""))) {
                enum cli_exit code = judge(cli, json_object_get(progress, "campaign"));
                rest_answer_deinit(&answer);
                return code;
            }
        } else if (answer.exit != CLI_AWAY || !bear_absence(&absence, cli, p, answer.why)) {
            rest_answer_deinit(&answer);
            progress_rest(p);
            return cli_fail(answer.exit, "%s", answer.why);
        } else {
            wait_ms = absence.wait_ms;
        }
        rest_answer_deinit(&answer);
        if (!interrupt_sleep(wait_ms))
            return say_goes_on(cli, p);
    }
}

enum cli_exit campaign_watch_run(struct cli *cli)
{
    struct progress progress = {0};
    json_t *campaign;
    enum cli_exit code = campaign_find(cli, &campaign);

    if (code != CLI_OK)
        return code;
    char *path = mem_printf("/v1/campaigns/%lld/progress", (long long)field_integer(campaign, "id"));
    json_decref(campaign);
    code = stay(cli, path, &progress);
    progress_deinit(&progress);
    free(path);
    return code;
}
