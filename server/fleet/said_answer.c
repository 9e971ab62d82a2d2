#include "fleet/said_answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

struct said_answer *said_answer_new(const struct device_facts *facts, const char *what, device_done_fn *done,
                                    void *arg)
{
    struct said_answer *answer = mem_alloc(sizeof *answer);
    *answer = (struct said_answer){.done = done, .arg = arg, .what = what, .id = facts->id};
    return answer;
}

struct said_answer *said_answer_hold(struct fleet *f, struct said_answer *answer)
{
    answer->f = f;
    f->held_count++;
    return answer;
}

static enum device_verdict verdict_of(const struct said_answer *answer, enum pg_err err,
                                      const struct pg_result *result)
{
    char id[DEVICE_ID_TEXT_SIZE];
    if (fleet_err_of(err, result, answer->what) == FLEET_AWAY)
        return DEVICE_BUSY;
    if (err != PG_OK)
        return DEVICE_REJECTED;
    const char *said = pg_rows(result) == 1 ? pg_value(result, 0, 0) : "";
    if (!strcmp(said, "stored") || !strcmp(said, "t"))
        return DEVICE_STORED;
    if (!strcmp(said, "full"))
        return DEVICE_FULL;
    device_id_format(id, &answer->id);
    log_info("dev=%s %s.rejected why=\"%s\"", id, answer->what, !strcmp(said, "f") ? "unknown device" : said);
    return DEVICE_REJECTED;
}

void said_answer_give(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct said_answer answer = *(struct said_answer *)arg;
    free(arg);
    if (answer.f)
        answer.f->held_count--;
    answer.done(answer.arg, verdict_of(&answer, err, result));
}
