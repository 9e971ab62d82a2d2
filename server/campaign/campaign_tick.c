/* campaign_tick.c: once a second: the gates look at the stages as they are counted, and each campaign moves
 * on in one transaction of its own, under an advisory lock: whichever node comes first.
 *
 *   RESTING --a second--> VIEWING (all live campaigns, their open stages) --> MOVING (one after the other)
 *           --> JOINING (what came to fit a dynamic one, once a minute) --> RESTING */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "campaign/campaigns_inner.h"
#include "campaign/stage.h"
#include "fleet/planner.h"

#define TICK_MS 1000
#define MORE_MS 100    /* a tick that moved as many as it may is followed by the next so soon */
#define MOVES_MAX 500  /* devices that one tick lets go */
#define JOINS_MAX 2000 /* devices that join at a time */

/* Also campaigns that are paused or aborting, whose stages are not judged. A stage that passed is: devices of
 * its tail come later, and may fail. */
static const struct pg_statement view = {
    .name = "campaign_tick_view",
    .sql = "SELECT c.id, g.ord, g.rev, g.gate, g.n_total, g.n_open, g.n_ok, g.n_current, g.n_failed, "
           "g.n_lost, g.n_blocked,"
           " g.n_gone, g.n_tail, g.n_unhealthy,"
           " (greatest(0, extract(epoch FROM now() - g.last_success_at)) * 1000)::bigint,"
           " c.is_dynamic AND c.state = 'running' AND coalesce(p.joined_at < now() - interval '1 min', true),"
           " c.release_id, CASE WHEN c.is_dynamic THEN c.selector END"
           " FROM campaign c LEFT JOIN campaign_pace p ON p.campaign_id = c.id"
           " LEFT JOIN campaign_stage g ON g.campaign_id = c.id AND g.state IN ('running', 'soaking', "
           "'held', 'passed')"
           " AND c.state = 'running'"
           " WHERE c.state IN ('running', 'paused', 'aborting') ORDER BY c.id, g.ord",
    .params = 0,
};
static const struct pg_statement move = {
    .name = "campaign_tick",
    .sql = "SELECT t.busy, t.moved FROM campaign_tick($1::bigint, $2::jsonb, $3::integer, $4::text) t",
    .params = 4,
};
static const struct pg_statement join = {
    .name = "campaign_join",
    .sql = "SELECT campaign_join($1::bigint, $2::jsonb, $3::integer, $4::text)",
    .params = 4,
};

/* A live campaign of this tick. */
struct live {
    struct live *prev, *next;
    int64_t id, release_id;
    json_t *verdicts; /* ours */
    char *selector;   /* ours; NULL: nothing joins it now */
};

struct campaign_tick {
    struct campaigns *c; /* borrowed */
    struct deadline next;
    struct live *live; /* ours: still to be moved; the first is at it */
    bool more, stopped;
    struct metric *ticks, *moved, *busy, *failed, *joined;
};

static void on_tick(struct deadline *next, uint64_t now_ms);

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
static void drop_first(struct campaign_tick *t)
{
    struct live *first = t->live;
    DL_DELETE(t->live, first);
    json_decref(first->verdicts);
    free(first->selector);
    free(first);
}

static void rest(struct campaign_tick *t)
{
    while (t->live != NULL)
        drop_first(t);
    if (!t->stopped)
        deadline_set(t->c->deadlines, &t->next, clock_ms() + (t->more ? MORE_MS : TICK_MS), on_tick);
    t->more = false;
}

/* --- JOINING --- */

static void go_on(struct campaign_tick *t);

static void next_campaign(struct campaign_tick *t)
{
    drop_first(t);
    go_on(t);
}

static void on_joined(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct campaign_tick *t = arg;
    if (campaign_err_of(err, result, "campaign_join") == FLEET_OK)
        t->joined->value += (uint64_t)pg_int(result, 0, 0);
    next_campaign(t);
}

static void on_classes(void *arg, enum fleet_err err, const struct planner_answer *classes, size_t count,
                       uint64_t total, const char *why)
{
    struct campaign_tick *t = arg;
    struct campaign_number n[2];
    (void)total, (void)why;
    if (err != FLEET_OK || t->stopped) { /* in a minute again */
        next_campaign(t);
        return;
    }
    json_t *list = campaign_classes_json(classes, count);
    char *text = json_dumps(list, JSON_COMPACT);
    struct pg_param params[] = {campaign_int(&n[0], t->live->id), pg_text(text),
                                campaign_int(&n[1], JOINS_MAX), pg_text(t->c->who)};
    pg_exec(t->c->bulk, &join, params, CAMPAIGN_BULK_MS, PG_RETRY, on_joined, t);
    free(text);
    json_decref(list);
}

/* False: there is nothing to join. */
static bool join_late_comers(struct campaign_tick *t)
{
    struct live *l = t->live;
    struct selector selector;
    struct campaign_number release;
    char why[SELECTOR_WHY_SIZE];
    if (l->selector == NULL || t->stopped)
        return false;
    json_t *json = json_loads(l->selector, 0, NULL);
    bool fine = selector_parse(&selector, json, why);
    json_decref(json);
    if (!fine)
        return false;
    (void)campaign_int(&release, l->release_id);
    planner_classes(t->c->fleet, &selector, release.text, NULL, on_classes, t);
    selector_deinit(&selector);
    return true;
}

/* --- MOVING --- */

static void on_moved(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct campaign_tick *t = arg;
    enum fleet_err ferr = campaign_err_of(err, result, "campaign_tick");
    if (ferr != FLEET_OK) {
        t->failed->value++;
        if (ferr == FLEET_AWAY)
            rest(t);
        else /* what Postgres has against one campaign does not stop those after it */
            next_campaign(t);
        return;
    }
    int64_t moved = pg_int(result, 0, 1);
    if (pg_bool(result, 0, 0))
        t->busy->value++;
    t->moved->value += (uint64_t)moved;
    t->more = t->more || moved >= MOVES_MAX;
    if (!join_late_comers(t))
        next_campaign(t);
}

static void go_on(struct campaign_tick *t)
{
    struct campaign_number n[2];
    if (t->live == NULL || t->stopped) {
        rest(t);
        return;
    }
    char *verdicts = json_dumps(t->live->verdicts, JSON_COMPACT);
    struct pg_param params[] = {campaign_int(&n[0], t->live->id), pg_text(verdicts),
                                campaign_int(&n[1], MOVES_MAX), pg_text(t->c->who)};
    pg_exec(t->c->bulk, &move, params, CAMPAIGN_BULK_MS, PG_AGAIN, on_moved, t);
    free(verdicts);
}

/* --- VIEWING --- */

static void counts_read(struct gate_counts *counts, const struct pg_result *r, int row)
{
    uint32_t *const fields[] = {&counts->total,  &counts->open,     &counts->ok,      &counts->current,
                                &counts->failed, &counts->lost,     &counts->blocked, &counts->gone,
                                &counts->tail,   &counts->unhealthy};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        *fields[i] = (uint32_t)pg_int(r, row, 4 + (int)i);
    counts->since_success_ms = pg_is_null(r, row, 14) ? UINT64_MAX : (uint64_t)pg_int(r, row, 14);
}

/* What campaign_judge takes: the verdict, and what it was made of. */
static json_t *judged(const struct pg_result *r, int row)
{
    struct gate_rules rules;
    struct gate_counts counts;
    struct gate_verdict v;
    json_t *gate = json_loads(pg_value(r, row, 3), 0, NULL);
    gate_rules_read(&rules, gate);
    json_decref(gate);
    counts_read(&counts, r, row);
    gate_judge(&v, &rules, &counts);
    return json_pack("{sIsIsssbsssfsfsisisisisisisisisi}", "ord", (json_int_t)pg_int(r, row, 1), "rev",
                     (json_int_t)pg_int(r, row, 2), "kind", gate_kind_name(v.kind), "admits", v.admits,
                     "sentence", v.sentence, "lower", v.lower, "upper", v.upper, "n", v.n, "k", v.k, "ok",
                     counts.ok, "failed", counts.failed, "lost", counts.lost, "open", counts.open, "tail",
                     counts.tail, "gone", counts.gone, "blocked", counts.blocked);
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
static void on_viewed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct campaign_tick *t = arg;
    struct live *l = NULL;
    if (campaign_err_of(err, result, "campaign_tick_view") != FLEET_OK) {
        t->failed->value++;
        rest(t);
        return;
    }
    for (int row = 0; row < pg_rows(result); row++) {
        if (l == NULL || l->id != pg_int(result, row, 0)) {
            l = mem_alloc(sizeof *l);
            *l = (struct live){.id = pg_int(result, row, 0), .release_id = pg_int(result, row, 16)};
            l->verdicts = json_array();
            if (pg_bool(result, row, 15))
                l->selector = mem_string(pg_value(result, row, 17));
            DL_APPEND(t->live, l);
        }
        if (!pg_is_null(result, row, 1))
            (void)json_array_append_new(l->verdicts, judged(result, row));
    }
    t->ticks->value++;
    go_on(t);
}

static void on_tick(struct deadline *next, uint64_t now_ms)
{
    struct campaign_tick *t = (struct campaign_tick *)((char *)next - offsetof(struct campaign_tick, next));
    (void)now_ms;
    pg_exec(t->c->bulk, &view, NULL, CAMPAIGN_BULK_MS, PG_RETRY, on_viewed, t);
}

/* --- life --- */

struct campaign_tick *campaign_tick_new(struct campaigns *c, struct metrics *metrics)
{
    struct campaign_tick *t = mem_alloc(sizeof *t);
    t->c = c;
    t->ticks = metrics_add(metrics, METRIC_COUNTER, "cyan_campaign_ticks_total", NULL,
                           "looks at all live campaigns by this node");
    t->moved = metrics_add(metrics, METRIC_COUNTER, "cyan_campaign_moves_total", NULL,
                           "device updates that ticks of this node let go, or cancelled");
    t->busy = metrics_add(metrics, METRIC_COUNTER, "cyan_campaign_busy_total", NULL,
                          "campaigns another node was moving on at the same time");
    t->failed = metrics_add(metrics, METRIC_COUNTER, "cyan_campaign_tick_failures_total", NULL,
                            "ticks that Postgres refused or could not be asked for");
    t->joined = metrics_add(metrics, METRIC_COUNTER, "cyan_campaign_joins_total", NULL,
                            "devices that came to fit a dynamic campaign later");
    return t;
}

void campaign_tick_start(struct campaign_tick *t)
{
    deadline_set(t->c->deadlines, &t->next, clock_ms() + TICK_MS, on_tick);
}

void campaign_tick_stop(struct campaign_tick *t)
{
    t->stopped = true;
    deadline_cancel(t->c->deadlines, &t->next);
}

void campaign_tick_free(struct campaign_tick *t)
{
    rest(t);
    free(t);
}
