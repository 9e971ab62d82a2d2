/* fuzz_rule.c: the body of a transition rule; the first byte says of which kind. */
#include <string.h>

#include "base/must.h"
#include "plan/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    const struct plan_vector vector = {.count = 2, .modules = {{2, 0, 1200}, {7, 0, 0}}};
    const struct plan_binary binary = {.gives = {{7, 0, 5}, {2, 0, 3100}}, .gives_count = 2};
    struct plan_rule rule;
    char why[RULE_WHY_SIZE] = "";

    if (data_len == 0)
        return 0;
    json_t *body = json_loadb((const char *)data + 1, data_len - 1, 0, NULL);
    if (body == NULL)
        return 0;
    if (!rule_parse(&rule, (enum rule_kind)(data[0] % 7),
                    &(struct rule_words){"code", "Explained.", "Known."}, body, why)) {
        must(why[0] != '\0' && strlen(why) < RULE_WHY_SIZE);
        json_decref(body);
        return 0;
    }
    must(rule.has_count <= RULE_CONDITIONS_MAX && rule.step.is_count <= RULE_IS_MAX);
    for (size_t i = 0; i < rule.has_count; i++)
        must(rule.has[i].is_count <= RULE_IS_MAX && rule.has[i].from < rule.has[i].below);
    if (rule_refuses(&rule, &binary, &vector))
        must(rule.kind <= RULE_MUST_PASS_THROUGH);
    if (rule_lets_move(&rule, &binary, 2, 0))
        must(rule.kind == RULE_COLLATERAL);
    json_decref(body);
    return 0;
}
