#include "fleet/answer_text.h"

#include <stdlib.h>

#include "base/mem.h"

struct text_wait {
    const char *what; /* static */
    answer_text_fn *done;
    void *arg;
};

static void on_answer(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct text_wait wait = *(struct text_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, wait.what);
    free(arg);
    if (!ferr && (pg_rows(result) == 0 || pg_is_null(result, 0, 0)))
        ferr = FLEET_NOT_FOUND;
    wait.done(wait.arg, ferr, ferr ? NULL : pg_value(result, 0, 0));
}

void answer_text(struct fleet *f, const struct pg_statement *statement, const struct pg_param *params,
                 unsigned flags, answer_text_fn *done, void *arg)
{
    struct text_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct text_wait){.what = statement->name, .done = done, .arg = arg};
    pg_exec(f->pg, statement, params, fleet_patience_ms(f), flags, on_answer, wait);
}
