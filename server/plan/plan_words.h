/* plan_words.h: plans in sentences, for people. Each function returns a string from malloc, the caller's. */
#ifndef CYAN_PLAN_PLAN_WORDS_H
#define CYAN_PLAN_PLAN_WORDS_H

#include "plan/plan.h"

/* `bootloader 1200`, `NCP of unknown version`. vector says whether there is more than one of its kind. */
char *plan_words_module(const struct plan_vector *vector, const struct plan_module *module);
/* What a binary gives: `bootloader 3100`, `soft device 202 with system 3103`. */
char *plan_words_binary(const struct plan_problem *problem, const struct plan_binary *binary);
/* One sentence for the whole plan; for a device that cannot connect with the recipe in it. */
char *plan_words_outcome(const struct plan *plan, const struct plan_problem *problem, const char *release);
char *plan_words_reason(const struct plan_problem *problem, const struct plan_step *step, size_t reason,
                        const char *release);
/* For a step without a reason of its own. */
char *plan_words_on_the_way(const struct plan_problem *problem, const struct plan_step *step);
/* What a single change would have to be. */
char *plan_words_opening(const struct plan_problem *problem, const struct plan_opening *opening);
/* What would help where no single change would; NULL when openings say it. */
char *plan_words_remedy(const struct plan *plan, const struct plan_problem *problem);
char *plan_words_local(const struct plan_problem *problem, const struct plan *plan, size_t at);
/* What a rule means for devices with these versions; NULL when it does not touch them. */
char *plan_words_effect(const struct plan_rule *rule, const struct plan_vector *vector);
/* What is not known; NULL when everything is. */
char *plan_words_uncertain(const struct plan *plan, const struct plan_problem *problem);

#endif
