/* retry.h: what an attempt at a delivery came to, and when there is another. Pure. */
#ifndef CYAN_HOOK_RETRY_H
#define CYAN_HOOK_RETRY_H

#include <stdint.h>

#include "hook/web.h"

#define RETRY_WAIT_MAX_S 3600

enum retry_kind { RETRY_DELIVERED, RETRY_AGAIN, RETRY_DEAD };

struct retry_rule {
    uint32_t backoff_s;    /* after the first failure; doubles with each */
    uint32_t attempts_max; /* the last of them decides */
};
struct retry {
    enum retry_kind kind;
    uint32_t wait_s; /* of RETRY_AGAIN */
    uint32_t hold_s; /* for which nothing else is sent there either; 0: none was asked for */
};
/* attempt: which this was, from 1. dice: random, spreads what failed together.
 *
 * 2xx: delivered. 408, 425, 429, 5xx but 501 and 505, and no answer: again; all else is the same tomorrow. */
struct retry retry_judge(const struct retry_rule *rule, const struct web_answer *answer, uint32_t attempt,
                         uint32_t dice);

#endif
