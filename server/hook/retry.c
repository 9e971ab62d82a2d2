#include "hook/retry.h"

#include <stdbool.h>

static bool may_pass(const struct web_answer *answer)
{
    if (answer->err != WEB_ANSWERED)
        return answer->err == WEB_FAILED;
    switch (answer->status) {
    case 408:
    case 425:
    case 429:
        return true;
    case 501:
    case 505:
        return false;
    default:
        return answer->status >= 500 && answer->status <= 599;
    }
}

/* Doubled with each attempt, and between three quarters and five quarters of that. */
static uint32_t wait_s(const struct retry_rule *rule, uint32_t attempt, uint32_t dice)
{
    uint64_t wait = (uint64_t)rule->backoff_s << (attempt > 20 ? 20 : attempt - 1);
    if (wait > RETRY_WAIT_MAX_S)
        wait = RETRY_WAIT_MAX_S;
    uint64_t spread = wait / 2;
    wait = wait - wait / 4 + (spread ? dice % (spread + 1) : 0);
    return (uint32_t)wait;
}

struct retry retry_judge(const struct retry_rule *rule, const struct web_answer *answer, uint32_t attempt,
                         uint32_t dice)
{
    if (answer->err == WEB_ANSWERED && answer->status >= 200 && answer->status <= 299)
        return (struct retry){.kind = RETRY_DELIVERED};
    if (!may_pass(answer))
        return (struct retry){.kind = RETRY_DEAD};
    uint32_t asked_s = answer->status == 429 || answer->status == 503 ? answer->retry_after_s : 0;
    if (attempt >= rule->attempts_max)
        return (struct retry){.kind = RETRY_DEAD, .hold_s = asked_s};
    uint32_t own_s = wait_s(rule, attempt, dice);
    return (struct retry){
        .kind = RETRY_AGAIN, .wait_s = asked_s > own_s ? asked_s : own_s, .hold_s = asked_s};
}
