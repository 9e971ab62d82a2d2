/* planner.c: a question from its first query to its answer:
 *
 *   asking Postgres for the device or the classes --book is here--> searching on a thread --> answered
 *                                                 \--it is not--> asking for the book --/
 */
#include "fleet/planner.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/planner_inner.h"

#define CLASSES_TIMEOUT_MS 30000

/* One row, and Postgres knows it. */
#define REVISION "(SELECT (SELECT rev FROM planning_revision) AS rev) p"
/* The number counts before the name: a release may be named like the number of another. */
#define RELEASE_ROW(which)                                                                                   \
    "LEFT JOIN LATERAL (SELECT * FROM release t WHERE t.name = " which " OR t.id = CASE WHEN " which         \
    " ~ '^[0-9]{1,18}$' THEN " which "::bigint END ORDER BY t.name = " which " LIMIT 1) rel ON true"

static const struct pg_statement ask_device = {
    .name = "planner_device",
    .sql = "SELECT p.rev, rel.id, rel.name, rel.state, r.code, d.id, d.sig, d.platform_id,"
           " vector_text(device_vector(d.id, d.platform_id, d.cc3000_patch_version))"
           " FROM " REVISION " CROSS JOIN find_device($1::bigint, $2::boolean, $3::text) r"
           " LEFT JOIN device d ON d.id = r.id " RELEASE_ROW("$4::text"),
    .params = 4,
};
/* One row at least, so that the release is always told. */
static const struct pg_statement ask_classes = {
    .name = "planner_classes",
    .sql = "SELECT p.rev, rel.id, rel.name, rel.state, g.sig, g.n, c.platform_id, c.runs"
           " FROM " REVISION " " RELEASE_ROW(
               "$2::text") " LEFT JOIN (SELECT sig, count(*) AS n FROM selected_devices($1::jsonb) GROUP BY "
                           "sig) g"
                           " ON true LEFT JOIN inventory_class c ON c.sig = g.sig"
                           " ORDER BY g.n DESC, g.sig LIMIT $3::integer",
    .params = 3,
    .replan = true,
};
/* $2: rules that stand in for those of their code, and for what they leave out keep what those say. */
static const struct pg_statement ask_book = {
    .name = "planner_book",
    .sql = "SELECT p.rev, rel.id, rel.name, rel.state,"
           " (SELECT coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'platform_id', m.platform_id,"
           " 'func', m.func, 'index', m.idx, 'version', m.version, 'size_bytes', m.size_bytes,"
           " 'needs', m.dependencies, 'combined', m.combined, 'is_target', x.role = 'target',"
           " 'is_withdrawn', m.status = 'withdrawn')"
           " ORDER BY m.platform_id, m.func, m.idx, m.version, m.id), '[]')"
           " FROM release_module x JOIN module_binary m ON m.id = x.module_id WHERE x.release_id = rel.id),"
           " (SELECT coalesce(jsonb_agg(jsonb_build_object('code', coalesce(n.v ->> 'code', t.code),"
           " 'platform_id', coalesce(n.v -> 'platform_id', to_jsonb(t.platform_id)),"
           " 'kind', coalesce(n.v ->> 'kind', t.kind), 'body', coalesce(n.v -> 'body', t.body),"
           " 'explain', coalesce(n.v ->> 'explain', t.explain),"
           " 'evidence', coalesce(n.v ->> 'evidence', t.evidence)) ORDER BY t.id NULLS LAST, n.v ->> "
           "'code'), '[]')"
           " FROM transition_rule t FULL JOIN jsonb_array_elements(coalesce($2::jsonb, '[]')) n (v)"
           " ON n.v ->> 'code' = t.code WHERE coalesce((n.v ->> 'enabled')::boolean, t.enabled, true))"
           " FROM " REVISION " " RELEASE_ROW("$1::text"),
    .params = 2,
};

struct item { /* a device, or a class */
    struct plan_vector from;
    struct plan plan;
    struct device_id device_id;
    int64_t sig;
    uint64_t devices;
    bool is_kept; /* found among the plans of before */
};
struct job {
    struct fleet *f; /* NULL when the planner is gone: nobody waits any more */
    struct job *prev, *next;
    uv_work_t work;
    char *release, *rules; /* ours; rules NULL: as stored */
    bool allow_downgrade;
    planner_device_fn *device_done; /* one of the two */
    planner_classes_fn *classes_done;
    void *arg;
    enum fleet_err err; /* of an answer that is none */
    char why[PLANNER_WHY_SIZE];
    struct planner_book *book; /* a reference */
    struct item *items;        /* ours */
    size_t item_count;
    uint64_t total;
};
struct planner {
    struct job *jobs; /* in any phase */
    struct planner_kept *kept;
    struct metric *searched, *found_kept;
};

struct planner *planner_new(struct metrics *metrics)
{
    struct planner *p = mem_alloc(sizeof *p);
    p->kept = planner_kept_new();
    p->searched = metrics_add(metrics, METRIC_COUNTER, "cyan_plans_total", "from=\"search\"",
                              "Plans, searched for or kept from before.");
    p->found_kept = metrics_add(metrics, METRIC_COUNTER, "cyan_plans_total", "from=\"kept\"",
                                "Plans, searched for or kept from before.");
    return p;
}

static void job_free(struct job *job)
{
    planner_book_unref(job->book);
    free(job->items);
    free(job->release);
    free(job->rules);
    free(job);
}

/* What is still on a thread is told that nobody waits, and goes when it comes back. */
void planner_free(struct planner *p)
{
    struct job *job, *next;
    DL_FOREACH_SAFE (p->jobs, job, next)
        job->f = NULL;
    planner_kept_free(p->kept);
    free(p);
}

bool planner_is_idle(const struct planner *p)
{
    return p->jobs == NULL;
}

static struct job *job_new(struct fleet *f, const char *release, void *arg)
{
    struct job *job = mem_alloc(sizeof *job);
    *job = (struct job){.f = f, .release = mem_string(release), .arg = arg};
    DL_APPEND(f->planner->jobs, job);
    return job;
}

/* --- the answer --- */

static void fill(struct planner_answer *answer, const struct job *job, const struct item *item)
{
    *answer = (struct planner_answer){.device_id = item->device_id,
                                      .release_id = job->book->release_id,
                                      .release_name = job->book->release_name,
                                      .sig = item->sig,
                                      .devices = item->devices,
                                      .plan = &item->plan};
    planner_book_pose(job->book, &item->from, job->allow_downgrade, &answer->problem);
}

static void answer_classes(struct job *job)
{
    struct planner_answer *answers = mem_array(job->item_count + 1, sizeof *answers);
    for (size_t i = 0; i < job->item_count; i++)
        fill(&answers[i], job, &job->items[i]);
    job->classes_done(job->arg, FLEET_OK, answers, job->item_count, job->total, "");
    free(answers);
}

static void answer(struct job *job)
{
    struct planner_answer one;
    DL_DELETE(job->f->planner->jobs, job);
    if (job->err) {
        if (job->device_done)
            job->device_done(job->arg, job->err, NULL, job->why);
        else
            job->classes_done(job->arg, job->err, NULL, 0, 0, job->why);
    } else if (job->device_done) {
        fill(&one, job, &job->items[0]);
        job->device_done(job->arg, FLEET_OK, &one, "");
    } else {
        answer_classes(job);
    }
    job_free(job);
}

__attribute__((format(printf, 3, 4))) static void refuse(struct job *job, enum fleet_err err,
                                                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(job->why, sizeof job->why, format, args);
    va_end(args);
    job->err = err;
    answer(job);
}

/* --- the search --- */

static void on_thread(uv_work_t *work)
{
    struct job *job = work->data;
    for (size_t i = 0; i < job->item_count; i++) {
        struct plan_problem problem;
        if (job->items[i].is_kept)
            continue;
        planner_book_pose(job->book, &job->items[i].from, job->allow_downgrade, &problem);
        plan_make(&job->items[i].plan, &problem);
    }
}

static void on_searched(uv_work_t *work, int status)
{
    struct job *job = work->data;
    (void)status; /* nobody cancels it */
    if (!job->f) {
        job_free(job);
        return;
    }
    struct planner *p = job->f->planner;
    for (size_t i = 0; i < job->item_count; i++) {
        if (!job->rules && !job->items[i].is_kept)
            planner_kept_put_plan(p->kept, job->book, job->allow_downgrade, &job->items[i].from,
                                  &job->items[i].plan);
        (job->items[i].is_kept ? p->found_kept : p->searched)->value++;
    }
    answer(job);
}

static void search(struct job *job)
{
    for (size_t i = 0; !job->rules && i < job->item_count; i++)
        job->items[i].is_kept = planner_kept_plan(job->f->planner->kept, job->book, job->allow_downgrade,
                                                  &job->items[i].from, &job->items[i].plan);
    job->work.data = job;
    must(uv_queue_work(job->f->loop, &job->work, on_thread, on_searched) == 0);
}

/* --- the book --- */

/* Column 1 to 3: the release. False when that was answered. */
static bool check_release(struct job *job, const struct pg_result *result)
{
    if (pg_is_null(result, 0, 1)) {
        refuse(job, FLEET_NOT_FOUND, "There is no release %.80s.", job->release);
        return false;
    }
    if (!strcmp(pg_value(result, 0, 3), "withdrawn")) {
        refuse(job, FLEET_CONFLICT, "Release %.80s was withdrawn.", pg_value(result, 0, 2));
        return false;
    }
    return true;
}

static bool check_answered(struct job *job, enum pg_err err, const struct pg_result *result, const char *what)
{
    enum fleet_err ferr = fleet_err_of(err, result, what);
    if (ferr)
        refuse(job, ferr, "%s", "");
    return !ferr;
}

static void on_book(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct job *job = arg;
    char why[PLANNER_WHY_SIZE] = "";
    if (!check_answered(job, err, result, "planner_book") || !check_release(job, result))
        return;
    struct planner_book_row row = {.rev = pg_int(result, 0, 0),
                                   .release_id = pg_int(result, 0, 1),
                                   .release_name = pg_value(result, 0, 2),
                                   .state = pg_value(result, 0, 3),
                                   .binaries = pg_value(result, 0, 4),
                                   .rules = pg_value(result, 0, 5)};
    job->book = planner_book_new(&row, why);
    if (!job->book) {
        if (!job->rules)
            log_error("plan.refused release=%s why=%s", job->release, why);
        refuse(job, FLEET_INVALID, "%s", why);
        return;
    }
    if (!job->rules)
        planner_kept_put_book(job->f->planner->kept, job->book);
    search(job);
}

/* rev, release_id: as they were when the question was put. */
static void find_book(struct job *job, int64_t release_id, int64_t rev)
{
    struct planner_book *kept = job->rules ? NULL : planner_kept_book(job->f->planner->kept, release_id, rev);
    if (kept) {
        planner_book_ref(kept);
        job->book = kept;
        search(job);
        return;
    }
    pg_exec(job->f->pg, &ask_book, (struct pg_param[]){pg_text(job->release), pg_text(job->rules)},
            fleet_patience_ms(job->f), PG_RETRY, on_book, job);
}

/* --- what is asked about --- */

static bool take_number(const char **text, char before, unsigned long *number)
{
    char *end;
    if (**text != before)
        return false;
    *number = strtoul(*text + 1, &end, 10);
    *text = end;
    return true;
}

void planner_read_vector(struct plan_vector *from, const char *text, int64_t platform_id)
{
    unsigned long function, index, version;
    *from = (struct plan_vector){.platform_id = (uint16_t)platform_id};
    while (take_number(&text, ';', &function) && take_number(&text, '.', &index) &&
           take_number(&text, '=', &version)) {
        if (from->count == PLAN_MODULES_MAX) {
            from->count = 0;
            return;
        }
        from->modules[from->count++] = (struct plan_module){
            .function = (uint8_t)function, .index = (uint8_t)index, .version = (uint16_t)version};
    }
}

static bool check_device(struct job *job, const struct pg_result *result)
{
    enum fleet_err err = device_get_code(pg_value(result, 0, 4));
    if (!err && pg_is_null(result, 0, 5)) /* gone between two glances */
        err = FLEET_NOT_FOUND;
    if (err)
        refuse(job, err, "%s",
               err == FLEET_CONFLICT ? "several owners have a device of this name: use its id" : "");
    return !err;
}

static void on_device(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct job *job = arg;
    size_t id_len;
    if (!check_answered(job, err, result, "planner_device") || !check_device(job, result) ||
        !check_release(job, result))
        return;
    job->items = mem_array(1, sizeof *job->items);
    job->item_count = job->total = 1;
    job->items[0].devices = 1;
    job->items[0].sig = pg_int(result, 0, 6);
    must(pg_bytea(result, 0, 5, &job->items[0].device_id, sizeof job->items[0].device_id, &id_len) &&
         id_len == sizeof job->items[0].device_id);
    planner_read_vector(&job->items[0].from, pg_value(result, 0, 8), pg_int(result, 0, 7));
    find_book(job, pg_int(result, 0, 1), pg_int(result, 0, 0));
}

static void answer_not_found(void *ctx)
{
    refuse(ctx, FLEET_NOT_FOUND, "%s", "");
}

static void ask(struct job *job, int64_t user_id, bool sees_all, const char *which)
{
    struct fleet_number user;
    pg_exec(job->f->pg, &ask_device,
            (struct pg_param[]){fleet_int(&user, user_id), fleet_bool(sees_all), pg_text(which),
                                pg_text(job->release)},
            fleet_patience_ms(job->f), PG_RETRY, on_device, job);
}

void planner_ask(struct fleet *f, const struct fleet_actor *actor, const char *which, const char *release,
                 planner_device_fn *done, void *arg)
{
    struct job *job = job_new(f, release, arg);
    job->device_done = done;
    if (device_get_plausible(which))
        ask(job, actor->user_id, device_get_sees_all(actor), which);
    else
        later_push(&f->later, answer_not_found, job);
}

void planner_plan_device(struct fleet *f, const struct device_id *id, int64_t release_id,
                         bool allow_downgrade, planner_device_fn *done, void *arg)
{
    char which[DEVICE_ID_TEXT_SIZE];
    struct fleet_number release;
    (void)fleet_int(&release, release_id);
    struct job *job = job_new(f, release.text, arg);
    job->device_done = done;
    job->allow_downgrade = allow_downgrade;
    device_id_format(which, id);
    ask(job, 0, true, which);
}

static void on_classes(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct job *job = arg;
    if (!check_answered(job, err, result, "planner_classes") || !check_release(job, result))
        return;
    size_t rows = pg_is_null(result, 0, 4) ? 0 : (size_t)pg_rows(result);
    if (rows > PLANNER_CLASSES_MAX) {
        refuse(job, FLEET_INVALID,
               "The selector meets devices with more than %d different sets of versions: select fewer.",
               PLANNER_CLASSES_MAX);
        return;
    }
    job->items = mem_array(rows + 1, sizeof *job->items);
    for (job->item_count = 0; job->item_count < rows; job->item_count++) {
        struct item *item = &job->items[job->item_count];
        item->sig = pg_int(result, (int)job->item_count, 4);
        item->devices = (uint64_t)pg_int(result, (int)job->item_count, 5);
        job->total += item->devices;
        planner_read_vector(&item->from, pg_value(result, (int)job->item_count, 7),
                            pg_int(result, (int)job->item_count, 6));
    }
    find_book(job, pg_int(result, 0, 1), pg_int(result, 0, 0));
}

void planner_classes(struct fleet *f, const struct selector *selector, const char *release,
                     const json_t *rules, planner_classes_fn *done, void *arg)
{
    struct job *job = job_new(f, release, arg);
    struct fleet_number limit;
    job->classes_done = done;
    job->rules = rules ? json_dumps(rules, JSON_COMPACT) : NULL;
    pg_exec(f->pg, &ask_classes,
            (struct pg_param[]){pg_text(selector->text), pg_text(release),
                                fleet_int(&limit, PLANNER_CLASSES_MAX + 1)},
            CLASSES_TIMEOUT_MS, PG_RETRY, on_classes, job);
}
