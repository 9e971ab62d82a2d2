/* campaign create: a draft from options, or from a file as the REST interface takes it. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "campaign.h"
#include "field.h"
#include "handlers.h"
#include "rest.h"
#include "selector.h"
#include "stage.h"

#define TRIES 3
#define KEY_BYTES 16

static const char *const stages_preset[] = {"canary:5%,soak=1h", "early:25%,soak=1h", "all:100%", NULL};

static enum cli_exit add_stages(const struct cli *cli, json_t *campaign)
{
    json_t *list = json_array(), *stage;
    char why[STAGE_WHY_SIZE];
    const char *text;
    size_t at = 0;

    (void)json_object_set_new(campaign, "stages", list);
    while ((text = call_each(cli->call, "stage", &at)) != NULL) {
        stage = stage_parse(text, why);
        if (stage == NULL)
            return cli_fail(CLI_USAGE, "--stage %s", why);
        (void)json_array_append_new(list, stage);
    }
    for (size_t i = 0; !call_has(cli->call, "stage") && stages_preset[i] != NULL; i++) {
        stage = stage_parse(stages_preset[i], why);
        must(stage != NULL);
        (void)json_array_append_new(list, stage);
    }
    return CLI_OK;
}

static enum cli_exit add_limits(const struct cli *cli, json_t *campaign)
{
    static const struct {
        const char *option, *field;
    } numbers[] = {{"transfers", "transfers"},
                   {"disruption", "disruption"},
                   {"rate", "start_per_min"},
                   {"verify", "verify_s"}};
    json_t *limits = json_object();
    char why[STAGE_WHY_SIZE];

    (void)json_object_set_new(campaign, "limits", limits);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (call_has(cli->call, numbers[i].option))
            (void)json_object_set_new(limits, numbers[i].field,
                                      json_integer((json_int_t)call_number(cli->call, numbers[i].option, 0)));
    }
    if (call_has(cli->call, "window")) {
        json_t *window = stage_parse_window(call_text(cli->call, "window"), why);
        if (window == NULL)
            return cli_fail(CLI_USAGE, "--window %s", why);
        (void)json_object_set_new(limits, "window", window);
    }
    return CLI_OK;
}

static json_t *read_options(const struct cli *cli, enum cli_exit *code)
{
    json_t *campaign, *selector;

    if (!call_has(cli->call, "release")) {
        *code = cli_fail(CLI_USAGE, "--release NAME is needed, or --file FILE");
        return NULL;
    }
    selector = selector_read(cli, code);
    if (selector == NULL)
        return NULL;
    campaign = json_pack("{sssosssb}", "release", call_text(cli->call, "release"), "selector", selector,
                         "mode", call_has(cli->call, "mode") ? call_text(cli->call, "mode") : "soft",
                         "dynamic", (int)call_has(cli->call, "dynamic"));
    *code = add_stages(cli, campaign);
    if (*code == CLI_OK)
        *code = add_limits(cli, campaign);
    if (*code == CLI_OK)
        return campaign;
    json_decref(campaign);
    return NULL;
}

static json_t *read_campaign(const struct cli *cli, enum cli_exit *code)
{
    const char *file = call_text(cli->call, "file");
    json_t *campaign;

    if (file == NULL) {
        campaign = read_options(cli, code);
    } else {
        campaign = selector_load_json(file);
        *code = campaign != NULL ? CLI_OK : CLI_USAGE;
        if (campaign != NULL && !json_is_object(campaign)) {
            *code = cli_fail(CLI_USAGE,
                             "%s holds no campaign: it is an object with release, selector, stages", file);
            json_decref(campaign);
            campaign = NULL;
        }
    }
    if (campaign != NULL)
        (void)json_object_set_new(campaign, "name", json_string(call_argument(cli->call, 0)));
    return campaign;
}

/* Sent again under the same key when the answer was lost: it is made once all the same. */
static enum cli_exit send_campaign(const struct cli *cli, const json_t *campaign, json_t **json)
{
    uint8_t random[KEY_BYTES];
    char key[2 * KEY_BYTES + 1];
    struct rest_answer answer;

    random_bytes(random, sizeof(random));
    hex_encode(key, random, sizeof(random));
    struct rest_request request = {.method = "POST", .path = "/v1/campaigns", .body = campaign, .key = key};
    for (unsigned i = 1;; i++) {
        rest_ask(cli->rest, &request, &answer);
        if (answer.exit != CLI_AWAY || answer.status != 0 || i == TRIES)
            break;
        rest_answer_deinit(&answer);
    }
    *json = answer.json;
    if (answer.exit == CLI_OK)
        return CLI_OK;
    rest_answer_deinit(&answer);
    return cli_fail(answer.exit, "%s", answer.why);
}

enum cli_exit campaign_create_run(struct cli *cli)
{
    enum cli_exit code;
    json_t *campaign = read_campaign(cli, &code), *answer;

    if (campaign == NULL)
        return code;
    code = send_campaign(cli, campaign, &answer);
    json_decref(campaign);
    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer)) {
        campaign_print(cli, json_object_get(answer, "campaign"));
        cli_say(cli, "It is a draft; cyanctl campaign plan %s says what it would do.",
                call_argument(cli->call, 0));
    }
    json_decref(answer);
    return CLI_OK;
}
