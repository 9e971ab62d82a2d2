/* release.c: releases in the registry: each change one function of migrations/0009, then read again for the
 * answer. */
#include "fleet/release.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"
#include "fleet/utf8.h"

#define COLUMNS                                                                                              \
    "r.id, r.name, r.state, r.notes, r.created_by, r.withdrawn_reason, to_ms(r.created_at),"                 \
    " to_ms(r.published_at), (SELECT coalesce(jsonb_agg(jsonb_build_object('module_id', m.id, 'role', "      \
    "rm.role,"                                                                                               \
    " 'platform_id', m.platform_id, 'func', m.func, 'idx', m.idx, 'version', m.version, 'size_bytes',"       \
    " m.size_bytes, 'status', m.status) ORDER BY m.platform_id, rm.role DESC, m.func, m.idx, m.id), '[]')"   \
    "::text FROM release_module rm JOIN module_binary m ON m.id = rm.module_id WHERE rm.release_id = r.id)"

static const struct pg_statement get_release = {
    .name = "get_release",
    .sql = "SELECT " COLUMNS " FROM release r WHERE r.id = release_find($1::text)",
    .params = 1,
};
/* One row with the count alone when the page is empty. */
static const struct pg_statement list_releases = {
    .name = "list_releases",
    .sql = "SELECT " COLUMNS ", t.n FROM (SELECT count(*) AS n FROM release) t LEFT JOIN release r ON r.id IN"
           " (SELECT id FROM release ORDER BY id DESC LIMIT $1::bigint OFFSET $2::bigint) ORDER BY r.id DESC",
    .params = 2,
};
static const struct pg_statement create_release = {
    .name = "create_release",
    .sql = "SELECT code, id, why FROM release_create($1::text, $2::text, $3::text, $4::bigint[], "
           "$5::bigint[])",
    .params = 5,
};
static const struct pg_statement edit_release = {
    .name = "edit_release",
    .sql = "SELECT code, id, why FROM release_edit($1::text, $2::text, $3::text, $4::text, $5::bigint[],"
           " $6::bigint[])",
    .params = 6,
};
static const struct pg_statement move_release = {
    .name = "move_release",
    .sql = "SELECT code, id, why FROM release_move($1::text, $2::text, $3::text, $4::text)",
    .params = 4,
};

static const char *text_or_null(const struct pg_result *r, int row, int column)
{
    return pg_is_null(r, row, column) ? NULL : pg_value(r, row, column);
}

static void read_row(struct release *release, const struct pg_result *r, int row)
{
    *release = (struct release){
        .id = pg_int(r, row, 0),
        .name = pg_value(r, row, 1),
        .state = pg_value(r, row, 2),
        .notes = text_or_null(r, row, 3),
        .created_by = pg_value(r, row, 4),
        .withdrawn_reason = text_or_null(r, row, 5),
        .created_ms = (uint64_t)pg_int(r, row, 6),
        .published_ms = (uint64_t)pg_int(r, row, 7),
        .modules = pg_value(r, row, 8),
    };
}

struct release_wait {
    struct fleet *f;
    release_fn *done;
    void *arg;
};

static struct release_wait *wait_new(struct fleet *f, release_fn *done, void *arg)
{
    struct release_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct release_wait){.f = f, .done = done, .arg = arg};
    return wait;
}

static void on_got(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct release_wait wait = *(struct release_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "get_release");
    struct release release;
    free(arg);
    if (!ferr && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    if (!ferr)
        read_row(&release, result, 0);
    wait.done(wait.arg, ferr, ferr ? NULL : &release, "");
}

static void get(struct release_wait *wait, const char *which)
{
    pg_exec(wait->f->pg, &get_release, (struct pg_param[]){pg_text(which)}, fleet_patience_ms(wait->f),
            PG_RETRY, on_got, wait);
}

void fleet_get_release(struct fleet *f, const char *which, release_fn *done, void *arg)
{
    get(wait_new(f, done, arg), which);
}

/* --- changes --- */

static enum fleet_err code_of(const char *code)
{
    if (!strcmp(code, "ok"))
        return FLEET_OK;
    if (!strcmp(code, "not_found"))
        return FLEET_NOT_FOUND;
    return !strcmp(code, "conflict") ? FLEET_CONFLICT : FLEET_INVALID;
}

static void on_changed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct release_wait *wait = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "change_release");
    const char *why = "";
    if (!ferr) {
        ferr = code_of(pg_value(result, 0, 0));
        why = pg_value(result, 0, 2);
    }
    if (!ferr) {
        get(wait, pg_value(result, 0, 1));
        return;
    }
    struct release_wait gone = *wait;
    free(wait);
    gone.done(gone.arg, ferr, NULL, why);
}

static const char *id_list(struct sql_array *list, const int64_t *ids, size_t count)
{
    sql_array_init(list);
    for (size_t i = 0; i < count; i++)
        sql_array_int(list, ids[i]);
    return sql_array_end(list);
}

void fleet_create_release(struct fleet *f, const struct fleet_actor *actor,
                          const struct release_change *change, release_fn *done, void *arg)
{
    struct sql_array targets, stones;
    char clean[4 * RELEASE_NOTES_MAX + 1];
    const char *notes = change->notes;
    if (notes)
        notes = utf8_clean(clean, sizeof clean, notes, strlen(notes));
    struct pg_param params[] = {
        pg_text(actor->user_name),
        pg_text(change->name),
        pg_text(notes && *notes ? notes : NULL),
        pg_text(id_list(&targets, change->targets, change->target_count)),
        pg_text(id_list(&stones, change->stepping_stones, change->stepping_stone_count)),
    };
    pg_exec(f->pg, &create_release, params, fleet_patience_ms(f), PG_AGAIN, on_changed,
            wait_new(f, done, arg));
    sql_array_deinit(&targets);
    sql_array_deinit(&stones);
}

void fleet_edit_release(struct fleet *f, const struct fleet_actor *actor, const char *which,
                        const struct release_change *change, release_fn *done, void *arg)
{
    struct sql_array targets, stones;
    char clean[4 * RELEASE_NOTES_MAX + 1];
    const char *notes = change->notes;
    if (notes)
        notes = utf8_clean(clean, sizeof clean, notes, strlen(notes));
    const char *target_list = id_list(&targets, change->targets, change->target_count);
    const char *stone_list = id_list(&stones, change->stepping_stones, change->stepping_stone_count);
    struct pg_param params[] = {
        pg_text(actor->user_name),
        pg_text(which),
        pg_text(change->name),
        pg_text(notes),
        pg_text(change->has_modules ? target_list : NULL),
        pg_text(change->has_modules ? stone_list : NULL),
    };
    pg_exec(f->pg, &edit_release, params, fleet_patience_ms(f), PG_AGAIN, on_changed, wait_new(f, done, arg));
    sql_array_deinit(&targets);
    sql_array_deinit(&stones);
}

static void move(struct fleet *f, const struct fleet_actor *actor, const char *which, const char *becomes,
                 const char *reason, release_fn *done, void *arg)
{
    char clean[4 * RELEASE_REASON_MAX + 1];
    struct pg_param params[] = {
        pg_text(actor->user_name), pg_text(which), pg_text(becomes),
        pg_text(reason ? utf8_clean(clean, sizeof clean, reason, strlen(reason)) : NULL)};
    /* what it has become already it becomes again without a change */
    pg_exec(f->pg, &move_release, params, fleet_patience_ms(f), PG_RETRY, on_changed, wait_new(f, done, arg));
}

void fleet_publish_release(struct fleet *f, const struct fleet_actor *actor, const char *which,
                           release_fn *done, void *arg)
{
    move(f, actor, which, "published", NULL, done, arg);
}

void fleet_withdraw_release(struct fleet *f, const struct fleet_actor *actor, const char *which,
                            const char *reason, release_fn *done, void *arg)
{
    move(f, actor, which, "withdrawn", reason, done, arg);
}

/* --- many --- */

struct list_wait {
    release_list_fn *done;
    void *arg;
};

static void on_listed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct list_wait wait = *(struct list_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "list_releases");
    free(arg);
    if (ferr) {
        wait.done(wait.arg, ferr, NULL, 0, 0);
        return;
    }
    size_t count = pg_is_null(result, 0, 0) ? 0 : (size_t)pg_rows(result);
    struct release *rows = mem_array(count + 1, sizeof *rows);
    for (size_t i = 0; i < count; i++)
        read_row(&rows[i], result, (int)i);
    wait.done(wait.arg, FLEET_OK, rows, count, (uint64_t)pg_int(result, 0, 9));
    free(rows);
}

void fleet_list_releases(struct fleet *f, uint32_t page, uint32_t per_page, release_list_fn *done, void *arg)
{
    struct list_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number limit, first;
    *wait = (struct list_wait){.done = done, .arg = arg};
    struct pg_param params[] = {fleet_int(&limit, per_page),
                                fleet_int(&first, (int64_t)(page - 1) * per_page)};
    pg_exec(f->pg, &list_releases, params, fleet_patience_ms(f), PG_RETRY, on_listed, wait);
}
