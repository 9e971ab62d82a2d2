/* firmware_upload.c: a file becomes a module binary of the registry.
 *
 *   LOOKED AT on a thread of libuv's pool --fine--> STORED --> read again for the answer
 *        \--why not--> answered
 *
 * Hashing and inflating megabytes takes milliseconds that no device should wait for. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "fleet/firmware_get.h"
#include "fleet/room.h"
#include "fleet/utf8.h"
#include "module/module_file.h"

static const struct pg_statement store_firmware = {
    .name = "store_firmware",
    .sql = "SELECT id, is_new FROM firmware_store($1::text, $2::bytea, $3::bytea, $4::integer, $5::smallint,"
           " $6::smallint, $7::smallint, $8::integer, $9::bytea, $10::integer, $11::integer, $12::integer,"
           " $13::jsonb, $14::jsonb, $15::text)",
    .params = 15,
};

/* On the thread only data, file, fine and why are touched. */
struct firmware_upload {
    uv_work_t work;
    struct fleet *f; /* NULL: answered already, because the server stops */
    firmware_fn *done;
    void *arg;
    struct firmware_upload *prev, *next; /* in f->uploads while on the thread */
    uint8_t *data;                       /* ours */
    size_t data_len;
    char actor[sizeof(((struct fleet_actor *)0)->user_name)];
    char file_name[4 * FIRMWARE_FILE_NAME_MAX + 1]; /* "" = not told */
    struct module_file file;
    bool fine;
    char why[MODULE_WHY_SIZE];
};

static void upload_free(struct firmware_upload *u)
{
    free(u->data);
    free(u);
}

/* u is freed. */
static void fail(struct firmware_upload *u, enum fleet_err err)
{
    u->done(u->arg, err, NULL, false, u->why);
    upload_free(u);
}

static json_t *module_json(uint8_t function, uint8_t index, uint16_t version)
{
    return json_pack("{sisisi}", "func", function, "index", index, "version", version);
}

/* From malloc. */
static char *dependencies_text(const struct module_part *part)
{
    json_t *list = json_array();
    for (size_t i = 0; i < part->dependency_count; i++) {
        const struct module_dependency *d = &part->dependencies[i];
        (void)json_array_append_new(list, module_json(d->function, d->index, d->version));
    }
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static char *combined_text(const struct module_file *file)
{
    json_t *list = json_array();
    for (size_t i = 1; i < file->part_count; i++) {
        const struct module_part *part = &file->parts[i];
        json_t *module = module_json(part->function, part->index, part->version);
        if (part->mcu)
            (void)json_object_set_new(module, "mcu", json_integer(part->mcu));
        (void)json_array_append_new(list, module);
    }
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static void on_stored(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct firmware_upload *u = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "store_firmware");
    if (ferr) {
        fail(u, ferr);
        return;
    }
    int64_t id = pg_int(result, 0, 0);
    bool is_new = pg_bool(result, 0, 1);
    if (is_new)
        log_info("firmware.uploaded id=%lld platform=%u function=%c%u version=%u bytes=%zu", (long long)id,
                 u->file.parts[0].platform_id, module_function_letter(u->file.parts[0].function),
                 u->file.parts[0].index, u->file.parts[0].version, u->data_len);
    firmware_answer(u->f, id, is_new, u->done, u->arg);
    upload_free(u);
}

static void store(struct firmware_upload *u)
{
    const struct module_part *part = &u->file.parts[0];
    struct fleet_number n[7];
    struct pg_param none = pg_text(NULL);
    char *needs = dependencies_text(part), *more = combined_text(&u->file);
    struct pg_param params[] = {
        pg_text(u->actor),
        pg_bytes(u->data, u->data_len),
        pg_bytes(u->file.sha256, sizeof u->file.sha256),
        fleet_int(&n[0], part->platform_id),
        fleet_int(&n[1], part->function),
        fleet_int(&n[2], part->index),
        fleet_int(&n[3], part->mcu),
        fleet_int(&n[4], part->version),
        part->has_header ? pg_bytes(part->suffix_sha256, sizeof part->suffix_sha256) : none,
        fleet_int(&n[5], part->flags),
        part->has_product ? fleet_int(&n[6], part->product_id) : none,
        none,
        pg_text(needs),
        pg_text(more),
        pg_text(*u->file_name ? u->file_name : NULL),
    };
    struct fleet_number product_version;
    if (part->has_product)
        params[11] = fleet_int(&product_version, part->product_version);
    /* storing it twice is storing it once */
    pg_exec(u->f->pg, &store_firmware, params, fleet_patience_ms(u->f), PG_RETRY, on_stored, u);
    free(needs);
    free(more);
}

static void on_thread(uv_work_t *work)
{
    struct firmware_upload *u = work->data;
    u->fine = module_file_parse(&u->file, u->data, u->data_len, u->why);
}

static void on_looked_at(uv_work_t *work, int status)
{
    struct firmware_upload *u = work->data;
    (void)status; /* nobody cancels it */
    if (!u->f) {
        upload_free(u);
        return;
    }
    DL_DELETE(u->f->uploads, u);
    if (!u->fine) {
        log_info("firmware.refused why=\"%s\"", u->why);
        fail(u, FLEET_INVALID);
        return;
    }
    store(u);
}

void fleet_upload_firmware(struct fleet *f, const struct fleet_actor *actor, uint8_t *data, size_t data_len,
                           const char *file_name, firmware_fn *done, void *arg)
{
    struct firmware_upload *u = mem_alloc(sizeof *u);
    u->f = f;
    u->done = done;
    u->arg = arg;
    u->data = data;
    u->data_len = data_len;
    memcpy(u->actor, actor->user_name, sizeof u->actor);
    if (file_name)
        utf8_clean(u->file_name, sizeof u->file_name, file_name, strlen(file_name));
    u->work.data = u;
    DL_APPEND(f->uploads, u);
    must(uv_queue_work(f->loop, &u->work, on_thread, on_looked_at) == 0);
}

void firmware_upload_stop(struct fleet *f)
{
    while (f->uploads) {
        struct firmware_upload *u = f->uploads;
        DL_DELETE(f->uploads, u);
        u->f = NULL;
        u->done(u->arg, FLEET_AWAY, NULL, false, "");
    }
}
