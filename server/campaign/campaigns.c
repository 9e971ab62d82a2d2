/* campaigns.c: the object itself, and what every file of it needs. */
#include "campaign/campaigns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "campaign/campaigns_inner.h"

/* NOLINTNEXTLINE(readability-function-size): everything it borrows, given once */
struct campaigns *campaigns_new(uv_loop_t *loop, const char *conninfo, struct pg *pg, struct fleet *fleet,
                                struct deadlines *deadlines, struct metrics *metrics,
                                const struct campaigns_settings *settings)
{
    struct campaigns *c = mem_alloc(sizeof *c);
    c->pg = pg;
    c->fleet = fleet;
    c->deadlines = deadlines;
    c->settings = *settings;
    c->bulk_metrics = metrics_new();
    c->bulk = pg_new(loop, conninfo, 1, c->bulk_metrics);
    (void)snprintf(c->who, sizeof c->who, "node/%" PRIu32, fleet_node_id(fleet));
    c->tick = campaign_tick_new(c, metrics);
    return c;
}

void campaigns_reload(struct campaigns *c, const struct campaigns_settings *settings)
{
    c->settings = *settings;
}

void campaigns_start(struct campaigns *c)
{
    campaign_tick_start(c->tick);
}

void campaigns_stop(struct campaigns *c)
{
    c->stopped = true;
    campaign_tick_stop(c->tick);
    campaign_events_stop(c);
}

static void on_bulk_closed(void *arg)
{
    struct campaigns *c = arg;
    c->bulk = NULL;
    c->closed(c->closed_arg);
}

void campaigns_close(struct campaigns *c, void (*closed)(void *arg), void *arg)
{
    if (!c->stopped)
        campaigns_stop(c);
    c->closed = closed;
    c->closed_arg = arg;
    pg_close(c->bulk, on_bulk_closed, c);
}

void campaigns_free(struct campaigns *c)
{
    campaign_tick_free(c->tick);
    metrics_free(c->bulk_metrics);
    free(c);
}

struct pg_param campaign_int(struct campaign_number *n, int64_t value)
{
    (void)decimal_encode(n->text, value);
    return pg_text(n->text);
}

enum fleet_err campaign_err_of(enum pg_err err, const struct pg_result *result, const char *what)
{
    switch (err) {
    case PG_OK:
        return FLEET_OK;
    case PG_REFUSED:
        log_error("campaign.statement_refused what=%s sqlstate=%s", what, pg_sqlstate(result));
        return FLEET_FAULT;
    default:
        return FLEET_AWAY;
    }
}

struct campaign_outcome campaign_outcome_read(const struct pg_result *result)
{
    return (struct campaign_outcome){.code = pg_value(result, 0, 0),
                                     .id = pg_int(result, 0, 1),
                                     .rev = pg_int(result, 0, 2),
                                     .detail = pg_value(result, 0, 3)};
}
