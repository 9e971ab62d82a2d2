/* firmware_upload.c: a file becomes a module binary of the registry, and of a product's firmware.
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
#include "fleet/product_firmware.h"
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
static const struct pg_statement store_product_firmware = {
    .name = "store_product_firmware",
    .sql =
        "SELECT code, firmware, why FROM product_firmware_store($1::text, $2::bytea, $3::bytea, $4::integer,"
        " $5::smallint, $6::smallint, $7::smallint, $8::integer, $9::bytea, $10::integer, $11::integer,"
        " $12::integer, $13::jsonb, $14::jsonb, $15::text, $16::bigint, $17::integer, $18::integer,"
        " $19::text, $20::text, $21::boolean)",
    .params = 21,
};
#define BINARY_PARAMS 15
#define PRODUCT_NONE 0xffff /* what a compiler writes where nobody said */

/* Of a product's firmware. */
struct product_part {
    product_firmware_fn *done; /* in place of the upload's */
    int64_t user_id;
    int product_id, version;
    bool is_mandatory;
    char title[PRODUCT_FIRMWARE_TITLE_MAX + 1], description[PRODUCT_FIRMWARE_DESCRIPTION_MAX + 1];
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
    struct product_part *product;                   /* ours; NULL: it is of no product */
    struct module_file file;
    bool fine;
    char why[MODULE_WHY_SIZE];
};

static void upload_free(struct firmware_upload *u)
{
    free(u->data);
    free(u->product);
    free(u);
}

static void tell_failure(const struct firmware_upload *u, enum fleet_err err, const char *why)
{
    if (u->product)
        u->product->done(u->arg, err, NULL, why);
    else
        u->done(u->arg, err, NULL, false, why);
}

/* u is freed. */
static void fail(struct firmware_upload *u, enum fleet_err err)
{
    tell_failure(u, err, u->why);
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

static void log_upload(const struct firmware_upload *u, int64_t id)
{
    log_info("firmware.uploaded id=%lld platform=%u function=%c%u version=%u bytes=%zu", (long long)id,
             u->file.parts[0].platform_id, module_function_letter(u->file.parts[0].function),
             u->file.parts[0].index, u->file.parts[0].version, u->data_len);
}

static void on_product_stored(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct firmware_upload *u = arg;
    if (err == PG_OK && !strcmp(pg_value(result, 0, 0), "ok"))
        log_info("product_firmware.uploaded product=%d version=%d bytes=%zu", u->product->product_id,
                 u->product->version, u->data_len);
    product_firmware_answer(err, result, u->product->done, u->arg);
    upload_free(u);
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
        log_upload(u, id);
    firmware_answer(u->f, id, is_new, u->done, u->arg);
    upload_free(u);
}

/* What firmware_store takes; n and texts hold the values. */
struct binary_texts {
    struct fleet_number n[8];
    char *needs, *more; /* ours */
};

static void fill_binary(struct pg_param params[BINARY_PARAMS], struct binary_texts *texts,
                        const struct firmware_upload *u)
{
    const struct module_part *part = &u->file.parts[0];
    struct fleet_number *n = texts->n;
    struct pg_param none = pg_text(NULL);
    texts->needs = dependencies_text(part);
    texts->more = combined_text(&u->file);
    params[0] = pg_text(u->actor);
    params[1] = pg_bytes(u->data, u->data_len);
    params[2] = pg_bytes(u->file.sha256, sizeof u->file.sha256);
    params[3] = fleet_int(&n[0], part->platform_id);
    params[4] = fleet_int(&n[1], part->function);
    params[5] = fleet_int(&n[2], part->index);
    params[6] = fleet_int(&n[3], part->mcu);
    params[7] = fleet_int(&n[4], part->version);
    params[8] = part->has_header ? pg_bytes(part->suffix_sha256, sizeof part->suffix_sha256) : none;
    params[9] = fleet_int(&n[5], part->flags);
    params[10] = part->has_product ? fleet_int(&n[6], part->product_id) : none;
    params[11] = part->has_product ? fleet_int(&n[7], part->product_version) : none;
    params[12] = pg_text(texts->needs);
    params[13] = pg_text(texts->more);
    params[14] = pg_text(*u->file_name ? u->file_name : NULL);
}

static void store(struct firmware_upload *u)
{
    struct pg_param params[PG_PARAMS_MAX];
    struct binary_texts texts;
    struct fleet_number n[3];
    const struct product_part *product = u->product;
    fill_binary(params, &texts, u);
    if (product) {
        params[15] = fleet_int(&n[0], product->user_id);
        params[16] = fleet_int(&n[1], product->product_id);
        params[17] = fleet_int(&n[2], product->version);
        params[18] = pg_text(product->title);
        params[19] = pg_text(product->description);
        params[20] = fleet_bool(product->is_mandatory);
    }
    /* storing it twice is storing it once */
    pg_exec(u->f->pg, product ? &store_product_firmware : &store_firmware, params, fleet_patience_ms(u->f),
            PG_RETRY, product ? on_product_stored : on_stored, u);
    free(texts.needs);
    free(texts.more);
}

/* Whether a file that is fine can be this version of a product's firmware; its platform and product are
 * looked at where the product is known. */
static bool suits_product(const struct module_file *file, int version, char why[MODULE_WHY_SIZE])
{
    const struct module_part *part = &file->parts[0];
    unsigned stated = part->product_version;
    if (file->part_count != 1 || part->function != MODULE_USER) {
        snprintf(why, MODULE_WHY_SIZE, "it is %s%s, not a user application",
                 module_function_name(part->function), file->part_count > 1 ? " with another module" : "");
        return false;
    }
    if (!part->has_product && (stated == 0 || stated == PRODUCT_NONE)) {
        snprintf(why, MODULE_WHY_SIZE, "it says no version of a product: build it with PRODUCT_VERSION(%d)",
                 version);
        return false;
    }
    if (stated != (unsigned)version) {
        snprintf(why, MODULE_WHY_SIZE, "it says that it is version %u of its product, not %d", stated,
                 version);
        return false;
    }
    return true;
}

static void on_thread(uv_work_t *work)
{
    struct firmware_upload *u = work->data;
    u->fine = module_file_parse(&u->file, u->data, u->data_len, u->why) &&
              (!u->product || suits_product(&u->file, u->product->version, u->why));
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

static struct firmware_upload *upload_new(struct fleet *f, const struct fleet_actor *actor, uint8_t *data,
                                          size_t data_len, const char *file_name, void *arg)
{
    struct firmware_upload *u = mem_alloc(sizeof *u);
    u->f = f;
    u->arg = arg;
    u->data = data;
    u->data_len = data_len;
    memcpy(u->actor, actor->user_name, sizeof u->actor);
    if (file_name)
        utf8_clean(u->file_name, sizeof u->file_name, file_name, strlen(file_name));
    u->work.data = u;
    return u;
}

static void look_at(struct firmware_upload *u)
{
    DL_APPEND(u->f->uploads, u);
    must(uv_queue_work(u->f->loop, &u->work, on_thread, on_looked_at) == 0);
}

void fleet_upload_firmware(struct fleet *f, const struct fleet_actor *actor, uint8_t *data, size_t data_len,
                           const char *file_name, firmware_fn *done, void *arg)
{
    struct firmware_upload *u = upload_new(f, actor, data, data_len, file_name, arg);
    u->done = done;
    look_at(u);
}

void fleet_upload_product_firmware(struct fleet *f, const struct fleet_actor *actor,
                                   const struct product_firmware_upload *upload, uint8_t *data,
                                   size_t data_len, const char *file_name, product_firmware_fn *done,
                                   void *arg)
{
    struct firmware_upload *u = upload_new(f, actor, data, data_len, file_name, arg);
    struct product_part *product = u->product = mem_alloc(sizeof *product);
    product->done = done;
    product->user_id = actor->user_id;
    product->product_id = upload->product_id;
    product->version = upload->version;
    product->is_mandatory = upload->is_mandatory;
    utf8_clean(product->title, sizeof product->title, upload->title, strlen(upload->title));
    utf8_clean(product->description, sizeof product->description, upload->description,
               strlen(upload->description));
    look_at(u);
}

void firmware_upload_stop(struct fleet *f)
{
    while (f->uploads) {
        struct firmware_upload *u = f->uploads;
        DL_DELETE(f->uploads, u);
        u->f = NULL;
        tell_failure(u, FLEET_AWAY, "");
    }
}
