/* firmware.c: what the registry knows of module binaries; firmware_upload.c brings them in. */
#include "fleet/firmware.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/firmware_get.h"
#include "fleet/room.h"
#include "fleet/utf8.h"

#define COLUMNS                                                                                              \
    "m.id, m.platform_id, m.func, m.idx, m.mcu, m.version, m.size_bytes, m.flags,"                           \
    " encode(m.sha256, 'hex'), encode(m.suffix_sha256, 'hex'), m.dependencies::text, m.combined::text,"      \
    " m.product_id, m.product_version, m.file_name, m.status, m.withdrawn_reason, m.uploaded_by,"            \
    " to_ms(m.uploaded_at), (SELECT coalesce(jsonb_agg(r.name ORDER BY r.id DESC), '[]')::text"              \
    " FROM release_module rm JOIN release r ON r.id = rm.release_id WHERE rm.module_id = m.id)"

static const struct pg_statement get_firmware = {
    .name = "get_firmware",
    .sql = "SELECT " COLUMNS " FROM module_binary m WHERE m.id = $1::bigint",
    .params = 1,
};
/* One row with the count alone when the page is empty. */
static const struct pg_statement list_firmware = {
    .name = "list_firmware",
    .sql =
        "WITH fit AS MATERIALIZED (SELECT id FROM module_binary WHERE ($1::integer IS NULL OR platform_id"
        " = $1::integer) AND ($2::integer IS NULL OR func = $2::integer) AND ($3::text IS NULL OR status ="
        " $3::text)) SELECT " COLUMNS ", t.n FROM (SELECT count(*) AS n FROM fit) t LEFT JOIN module_binary"
        " m ON m.id IN (SELECT id FROM fit ORDER BY id DESC LIMIT $4::bigint OFFSET $5::bigint)"
        " ORDER BY m.id DESC",
    .params = 5,
    .replan = true,
};
static const struct pg_statement withdraw_firmware = {
    .name = "withdraw_firmware",
    .sql = "SELECT firmware_withdraw($1::text, $2::bigint, $3::text)",
    .params = 3,
};

static const char *text_or_null(const struct pg_result *r, int row, int column)
{
    return pg_is_null(r, row, column) ? NULL : pg_value(r, row, column);
}

static int number_or_none(const struct pg_result *r, int row, int column)
{
    return pg_is_null(r, row, column) ? -1 : (int)pg_int(r, row, column);
}

static void read_row(struct firmware *f, const struct pg_result *r, int row)
{
    *f = (struct firmware){
        .id = pg_int(r, row, 0),
        .platform_id = (uint16_t)pg_int(r, row, 1),
        .function = (uint8_t)pg_int(r, row, 2),
        .index = (uint8_t)pg_int(r, row, 3),
        .mcu = (uint8_t)pg_int(r, row, 4),
        .version = (uint16_t)pg_int(r, row, 5),
        .size_bytes = (uint32_t)pg_int(r, row, 6),
        .flags = (uint8_t)pg_int(r, row, 7),
        .sha256 = pg_value(r, row, 8),
        .suffix_sha256 = text_or_null(r, row, 9),
        .dependencies = pg_value(r, row, 10),
        .combined = pg_value(r, row, 11),
        .product_id = number_or_none(r, row, 12),
        .product_version = number_or_none(r, row, 13),
        .file_name = text_or_null(r, row, 14),
        .status = pg_value(r, row, 15),
        .withdrawn_reason = text_or_null(r, row, 16),
        .uploaded_by = pg_value(r, row, 17),
        .uploaded_ms = (uint64_t)pg_int(r, row, 18),
        .releases = pg_value(r, row, 19),
    };
}

/* --- one --- */

struct get_wait {
    struct fleet *f;
    firmware_fn *done;
    void *arg;
    bool is_new;
};

static void on_got(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct get_wait wait = *(struct get_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "get_firmware");
    struct firmware row;
    free(arg);
    if (!ferr && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    if (!ferr)
        read_row(&row, result, 0);
    wait.done(wait.arg, ferr, ferr ? NULL : &row, wait.is_new, "");
}

static void get(struct get_wait *wait, int64_t id)
{
    struct fleet_number n;
    pg_exec(wait->f->pg, &get_firmware, (struct pg_param[]){fleet_int(&n, id)}, fleet_patience_ms(wait->f),
            PG_RETRY, on_got, wait);
}

static struct get_wait *wait_new(struct fleet *f, firmware_fn *done, void *arg)
{
    struct get_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct get_wait){.f = f, .done = done, .arg = arg};
    return wait;
}

void firmware_answer(struct fleet *f, int64_t id, bool is_new, firmware_fn *done, void *arg)
{
    struct get_wait *wait = wait_new(f, done, arg);
    wait->is_new = is_new;
    get(wait, id);
}

void fleet_get_firmware(struct fleet *f, int64_t id, firmware_fn *done, void *arg)
{
    get(wait_new(f, done, arg), id);
}

/* --- many --- */

struct list_wait {
    firmware_list_fn *done;
    void *arg;
};

static void on_listed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct list_wait wait = *(struct list_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "list_firmware");
    free(arg);
    if (ferr) {
        wait.done(wait.arg, ferr, NULL, 0, 0);
        return;
    }
    size_t count = pg_is_null(result, 0, 0) ? 0 : (size_t)pg_rows(result);
    struct firmware *rows = mem_array(count + 1, sizeof *rows);
    for (size_t i = 0; i < count; i++)
        read_row(&rows[i], result, (int)i);
    wait.done(wait.arg, FLEET_OK, rows, count, (uint64_t)pg_int(result, 0, 20));
    free(rows);
}

void fleet_list_firmware(struct fleet *f, const struct firmware_filter *filter, firmware_list_fn *done,
                         void *arg)
{
    struct list_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number platform, function, limit, first;
    *wait = (struct list_wait){.done = done, .arg = arg};
    struct pg_param params[] = {
        filter->platform_id < 0 ? pg_text(NULL) : fleet_int(&platform, filter->platform_id),
        filter->function < 0 ? pg_text(NULL) : fleet_int(&function, filter->function),
        pg_text(filter->status),
        fleet_int(&limit, filter->per_page),
        fleet_int(&first, (int64_t)(filter->page - 1) * filter->per_page),
    };
    pg_exec(f->pg, &list_firmware, params, fleet_patience_ms(f), PG_RETRY, on_listed, wait);
}

/* --- withdraw --- */

struct withdraw_wait {
    struct fleet *f;
    firmware_fn *done;
    void *arg;
    int64_t id;
};

static void on_withdrawn(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct withdraw_wait wait = *(struct withdraw_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "withdraw_firmware");
    free(arg);
    if (!ferr && strcmp(pg_value(result, 0, 0), "ok") != 0)
        ferr = FLEET_NOT_FOUND;
    if (ferr)
        wait.done(wait.arg, ferr, NULL, false, "");
    else
        firmware_answer(wait.f, wait.id, false, wait.done, wait.arg);
}

void fleet_withdraw_firmware(struct fleet *f, const struct fleet_actor *actor, int64_t id, const char *reason,
                             firmware_fn *done, void *arg)
{
    struct withdraw_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number n;
    char clean[4 * FIRMWARE_REASON_MAX + 1];
    *wait = (struct withdraw_wait){.f = f, .done = done, .arg = arg, .id = id};
    struct pg_param params[] = {pg_text(actor->user_name), fleet_int(&n, id),
                                pg_text(utf8_clean(clean, sizeof clean, reason, strlen(reason)))};
    /* withdrawing twice is withdrawing once */
    pg_exec(f->pg, &withdraw_firmware, params, fleet_patience_ms(f), PG_RETRY, on_withdrawn, wait);
}
