/* device explain: the plan for one device, in sentences. */
#include "handlers.h"

#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "module_row.h"
#include "query.h"
#include "rest.h"
#include "text.h"

static void print_steps(const json_t *steps)
{
    char name[NAMES_SIZE], size[TEXT_SIZE];
    json_t *step;
    size_t i;

    json_array_foreach (steps, i, step) {
        module_row_name(name, step);
        text_bytes(size, field_count(step, "size_bytes"));
        (void)printf("  %zu. %s: ", i + 1, name);
        if (field_has_number(step, "from_version"))
            (void)printf("%lld to ", (long long)field_integer(step, "from_version"));
        (void)printf("%lld (%s)\n", (long long)field_integer(step, "to_version"), size);
        module_row_print_sentences(json_object_get(step, "because"), "       because: ");
    }
}

static void print_part(const char *title, const json_t *list)
{
    if (json_array_size(list) == 0)
        return;
    (void)printf("\n%s\n", title);
    module_row_print_sentences(list, "  - ");
}

static void print_plan(const struct cli *cli, const json_t *plan)
{
    const char *outcome = field_text_or(plan, "outcome", "?"), *sentence = field_text(plan, "sentence");
    const char *release = field_text_or(json_object_get(plan, "release"), "name", "the release");
    const json_t *steps = json_object_get(plan, "steps");
    bool blocked = strcmp(outcome, "blocked") == 0;
    enum terminal_style style = blocked ? STYLE_WARN : STYLE_GOOD;
    char *runs = module_row_list(json_object_get(plan, "runs")), *clean, bytes[TEXT_SIZE];

    clean = text_clean(sentence != NULL ? sentence : outcome);
    (void)printf("%s%s%s\n", terminal_begin(&cli->terminal, style), clean,
                 terminal_end(&cli->terminal, style));
    free(clean);
    (void)printf("\nIt runs: %s.\n", runs[0] != '\0' ? runs : "it has not told yet");
    free(runs);
    if (json_array_size(steps) > 0) {
        text_bytes(bytes, field_count(plan, "bytes"));
        clean = text_clean(release);
        (void)printf("\nTo get to %s, in this order (%s in all):\n", clean, bytes);
        free(clean);
        print_steps(steps);
    }
    if (blocked && field_text(plan, "reason") != NULL) {
        clean = text_clean(field_text(plan, "reason"));
        (void)printf("\nBlocked: %s\n", clean);
        free(clean);
    }
    print_part("What is not certain:", json_object_get(plan, "uncertain"));
    print_part("Any one of these would unblock it:", json_object_get(plan, "unblock"));
    print_part("By USB, on the spot, in this order:", json_object_get(plan, "local_recipe"));
}

enum cli_exit explain_run(struct cli *cli)
{
    char *path = rest_path("/v1/devices/%s/update_plan", call_argument(cli->call, 0));
    struct query q;
    json_t *answer;
    enum cli_exit code;

    query_init(&q, path);
    free(path);
    query_add(&q, "release", call_argument(cli->call, 1));
    code = cli_ask(cli, &(struct rest_request){.path = q.path}, &answer);
    query_deinit(&q);
    if (code != CLI_OK)
        return code;
    const json_t *plan = json_object_get(answer, "plan");
    if (!cli_print_json(cli, answer))
        print_plan(cli, plan);
    if (strcmp(field_text_or(plan, "outcome", "blocked"), "blocked") == 0)
        code = CLI_REFUSED;
    json_decref(answer);
    return code;
}
