/* campaign_events.c: what happens in a campaign, for who follows it: asked for again and again until there is
 * something, or the time is over. */
#include "campaign/campaigns.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "campaign/campaigns_inner.h"

#define LOOK_AGAIN_MS 500

static const struct pg_statement read_events = {
    .name = "campaign_events",
    .sql = "SELECT e.lines FROM campaign_events_lines(campaign_find($1::text), $2::bigint, $3::integer) e "
           "WHERE e.found",
    .params = 3,
};

/* LOOKING (query) --nothing yet--> PAUSED (deadline) --> LOOKING */
struct campaign_wait {
    struct campaigns *c; /* borrowed */
    struct campaign_wait *prev, *next;
    campaign_text_fn *done;
    void *arg;
    char *which;
    int64_t past;
    uint64_t until_ms;
    struct deadline again;
};

static void finish(struct campaign_wait *wait, enum fleet_err err, const char *text)
{
    campaign_text_fn *done = wait->done;
    void *arg = wait->arg;
    deadline_cancel(wait->c->deadlines, &wait->again);
    DL_DELETE(wait->c->waits, wait);
    wait->c->wait_count--;
    free(wait->which);
    free(wait);
    done(arg, err, text);
}

static void look(struct campaign_wait *wait);

static void on_again(struct deadline *again, uint64_t now_ms)
{
    (void)now_ms;
    look((struct campaign_wait *)((char *)again - offsetof(struct campaign_wait, again)));
}

static void on_events(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct campaign_wait *wait = arg;
    enum fleet_err ferr = campaign_err_of(err, result, "campaign_events");
    bool over = wait->c->stopped || clock_ms() + LOOK_AGAIN_MS > wait->until_ms;
    if (ferr != FLEET_OK)
        finish(wait, ferr, NULL);
    else if (pg_rows(result) == 0)
        finish(wait, FLEET_NOT_FOUND, NULL);
    else if (!pg_is_null(result, 0, 0) || over)
        finish(wait, FLEET_OK, pg_value(result, 0, 0));
    else
        deadline_set(wait->c->deadlines, &wait->again, clock_ms() + LOOK_AGAIN_MS, on_again);
}

static void look(struct campaign_wait *wait)
{
    struct campaign_number n[2];
    struct pg_param params[] = {pg_text(wait->which), campaign_int(&n[0], wait->past),
                                campaign_int(&n[1], CAMPAIGN_EVENTS_MAX)};
    pg_exec(wait->c->pg, &read_events, params, CAMPAIGN_PATIENCE_MS, PG_RETRY, on_events, wait);
}

void campaign_read_events(struct campaigns *c, const char *which, int64_t past, uint32_t wait_ms,
                          campaign_text_fn *done, void *arg)
{
    struct campaign_wait *wait = mem_alloc(sizeof *wait);
    bool waits = c->wait_count < CAMPAIGN_WAITS_MAX;
    *wait = (struct campaign_wait){.c = c, .done = done, .arg = arg, .past = past};
    wait->which = mem_string(which);
    wait->until_ms = waits ? clock_ms() + wait_ms : 0;
    DL_APPEND(c->waits, wait);
    c->wait_count++;
    look(wait);
}

void campaign_events_stop(struct campaigns *c)
{
    struct campaign_wait *wait, *next;
    DL_FOREACH_SAFE (c->waits, wait, next) {
        if (deadline_is_set(&wait->again)) /* the others are asking: the answer ends them */
            finish(wait, FLEET_OK, "");
    }
}
