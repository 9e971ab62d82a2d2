/* device flash: one binary to one device, and with --wait what became of it; device cancel. */
#include "handlers.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "field.h"
#include "interrupt.h"
#include "rest.h"
#include "upload.h"

#define LOOK_EVERY_MS 1000
#define PATIENCE_S 900

static bool is_over(const char *state)
{
    static const char *const over[] = {"succeeded", "already_current", "blocked",    "failed",
                                       "lost",      "cancelled",       "superseded", "excluded"};

    for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++) {
        if (strcmp(over[i], state) == 0)
            return true;
    }
    return false;
}

/* Tells each change of state once. *last: what was told. */
static enum cli_exit look(struct cli *cli, const char *which, char last[32], bool *over)
{
    json_t *answer;
    enum cli_exit code = cli_get(cli, &answer, "/v1/devices/%s/updates", which);

    if (code != CLI_OK)
        return code;
    const json_t *update = json_array_get(json_object_get(answer, "updates"), 0);
    const json_t *steps = json_object_get(update, "steps");
    const json_t *step = json_array_get(steps, json_array_size(steps) > 0 ? json_array_size(steps) - 1 : 0);
    const char *state = field_text_or(update, "state", "?"), *shown = field_text_or(step, "state", state);
    const char *sentence = field_text_or(update, "sentence", field_text_or(update, "reason", ""));
    *over = is_over(state);
    if (*over) {
        cli_say(cli, "%s: %s%s%s", which, state, *sentence != '\0' ? ": " : "", sentence);
        (void)cli_print_json(cli, update);
        if (strcmp(state, "succeeded") != 0 && strcmp(state, "already_current") != 0)
            code = CLI_REFUSED;
    } else if (strncmp(last, shown, 31) != 0) {
        cli_note(cli, "%s: %s", which, shown);
        (void)snprintf(last, 32, "%s", shown);
    }
    json_decref(answer);
    return code;
}

static enum cli_exit wait_for(struct cli *cli, const char *which)
{
    uint64_t until_ms = clock_ms() + call_number(cli->call, "patience", PATIENCE_S) * 1000;
    char last[32] = "";
    bool over = false;

    while (clock_ms() < until_ms) {
        enum cli_exit code = look(cli, which, last, &over);
        if (code != CLI_OK || over)
            return code;
        if (!interrupt_sleep(LOOK_EVERY_MS)) {
            cli_note(cli, "The update goes on; cyanctl device updates %s tells what becomes of it.", which);
            return CLI_INTERRUPTED;
        }
    }
    return cli_fail(CLI_REFUSED, "%s is not through with it yet; it goes on: cyanctl device updates %s",
                    which, which);
}

enum cli_exit flash_run(struct cli *cli)
{
    const char *which = call_argument(cli->call, 0), *file = call_argument(cli->call, 1);
    char *path = rest_path("/v1/devices/%s", which);
    json_t *answer = NULL;
    bool made;
    enum cli_exit code = upload_file(cli, "PUT", path, file, &answer, &made);

    free(path);
    if (code != CLI_OK)
        return code;
    if (!call_has(cli->call, "wait"))
        (void)cli_print_json(cli, answer);
    cli_say(cli, "%s: %s.", which, field_text_or(answer, "status", "Update started"));
    json_decref(answer);
    return call_has(cli->call, "wait") ? wait_for(cli, which) : CLI_OK;
}

/* The newest update that is not over; 0: there is none, or *code says what is wrong. */
static json_int_t open_update(struct cli *cli, const char *which, enum cli_exit *code)
{
    json_t *answer, *one;
    json_int_t id = 0;
    size_t i;

    *code = cli_get(cli, &answer, "/v1/devices/%s/updates", which);
    if (*code != CLI_OK)
        return 0;
    json_array_foreach (json_object_get(answer, "updates"), i, one) {
        if (id == 0 && !is_over(field_text_or(one, "state", "")))
            id = field_integer(one, "id");
    }
    json_decref(answer);
    if (id == 0)
        *code = cli_fail(CLI_NOT_FOUND, "%s has no update that goes on", which);
    return id;
}

enum cli_exit device_cancel_run(struct cli *cli)
{
    const char *which = call_argument(cli->call, 0), *update = call_argument(cli->call, 1);
    char id[24];
    json_t *answer;
    enum cli_exit code = CLI_OK;

    if (update == NULL) {
        (void)snprintf(id, sizeof(id), "%lld", (long long)open_update(cli, which, &code));
        update = id;
    }
    if (code == CLI_OK)
        code = cli_send(cli, "DELETE", NULL, &answer, "/v1/devices/%s/updates/%s", which, update);
    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, answer))
        cli_say(cli, "Update %s of %s is cancelled.", update, which);
    json_decref(answer);
    return CLI_OK;
}
