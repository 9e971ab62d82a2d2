/* product_firmware.c: firmware of products: each call one statement, which answers with JSON. The upload is
 * in firmware_upload.c. */
#include "fleet/product_firmware.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/firmware_get.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"
#include "fleet/utf8.h"

static const struct pg_statement list_firmware = {
    .name = "list_product_firmware",
    .sql = "SELECT 'ok', product_firmware_list($1::integer), NULL",
    .params = 1,
};
static const struct pg_statement get_firmware = {
    .name = "get_product_firmware",
    .sql = "SELECT CASE WHEN f IS NULL THEN 'not_found' ELSE 'ok' END, f::text, NULL"
           " FROM product_firmware_one($1::integer, $2::integer) f",
    .params = 2,
};
static const struct pg_statement edit_firmware = {
    .name = "edit_product_firmware",
    .sql = "SELECT code, firmware, why FROM product_firmware_edit($1::text, $2::integer, $3::integer,"
           " $4::text, $5::text, $6::boolean)",
    .params = 6,
};
static const struct pg_statement delete_firmware = {
    .name = "delete_product_firmware",
    .sql = "SELECT code, firmware, why FROM product_firmware_delete($1::text, $2::integer, $3::integer)",
    .params = 3,
};
static const struct pg_statement release_firmware = {
    .name = "release_product_firmware",
    .sql = "SELECT code, firmware, why FROM product_firmware_release($1::bigint, $2::text, $3::integer,"
           " $4::integer, $5::text[], $6::boolean, $7::boolean)",
    .params = 7,
};
static const struct pg_statement preview_firmware = {
    .name = "preview_product_firmware",
    .sql = "SELECT code, firmware, why FROM product_release_impact($1::integer, $2::integer, $3::text[])",
    .params = 3,
};
static const struct pg_statement find_binary = {
    .name = "find_product_binary",
    .sql = "SELECT module_id, file_name FROM product_firmware WHERE product_id = $1::integer"
           " AND version = $2::integer",
    .params = 2,
};

struct answer_wait {
    product_firmware_fn *done;
    void *arg;
};

static struct answer_wait *wait_new(product_firmware_fn *done, void *arg)
{
    struct answer_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct answer_wait){.done = done, .arg = arg};
    return wait;
}

void product_firmware_answer(enum pg_err err, const struct pg_result *result, product_firmware_fn *done,
                             void *arg)
{
    enum fleet_err ferr = fleet_err_of(err, result, "product_firmware");
    const char *code = ferr == FLEET_OK ? pg_value(result, 0, 0) : "";
    if (ferr == FLEET_OK && strcmp(code, "ok") != 0)
        ferr = !strcmp(code, "not_found")  ? FLEET_NOT_FOUND
               : !strcmp(code, "conflict") ? FLEET_CONFLICT
                                           : FLEET_INVALID;
    bool has_json = ferr == FLEET_OK && !pg_is_null(result, 0, 1);
    done(arg, ferr, has_json ? pg_value(result, 0, 1) : NULL, result && *code ? pg_value(result, 0, 2) : "");
}

static void on_answer(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct answer_wait wait = *(struct answer_wait *)arg;
    free(arg);
    product_firmware_answer(err, result, wait.done, wait.arg);
}

void fleet_list_product_firmware(struct fleet *f, int product_id, product_firmware_fn *done, void *arg)
{
    struct fleet_number product;
    pg_exec(f->bulk, &list_firmware, (struct pg_param[]){fleet_int(&product, product_id)},
            fleet_patience_ms(f), PG_RETRY, on_answer, wait_new(done, arg));
}

void fleet_get_product_firmware(struct fleet *f, int product_id, int version, product_firmware_fn *done,
                                void *arg)
{
    struct fleet_number product, which;
    struct pg_param params[] = {fleet_int(&product, product_id), fleet_int(&which, version)};
    pg_exec(f->bulk, &get_firmware, params, fleet_patience_ms(f), PG_RETRY, on_answer, wait_new(done, arg));
}

void fleet_edit_product_firmware(struct fleet *f, const struct fleet_actor *actor,
                                 const struct product_firmware_edit *edit, product_firmware_fn *done,
                                 void *arg)
{
    struct fleet_number product, which;
    char title[PRODUCT_FIRMWARE_TITLE_MAX + 1], description[PRODUCT_FIRMWARE_DESCRIPTION_MAX + 1];
    struct pg_param params[] = {
        pg_text(actor->user_name),
        fleet_int(&product, edit->product_id),
        fleet_int(&which, edit->version),
        pg_text(edit->title ? utf8_clean(title, sizeof title, edit->title, strlen(edit->title)) : NULL),
        pg_text(edit->description ? utf8_clean(description, sizeof description, edit->description,
                                               strlen(edit->description))
                                  : NULL),
        edit->has_mandatory ? fleet_bool(edit->is_mandatory) : pg_text(NULL),
    };
    pg_exec(f->pg, &edit_firmware, params, fleet_patience_ms(f), PG_AGAIN, on_answer, wait_new(done, arg));
}

void fleet_delete_product_firmware(struct fleet *f, const struct fleet_actor *actor, int product_id,
                                   int version, product_firmware_fn *done, void *arg)
{
    struct fleet_number product, which;
    struct pg_param params[] = {pg_text(actor->user_name), fleet_int(&product, product_id),
                                fleet_int(&which, version)};
    pg_exec(f->pg, &delete_firmware, params, fleet_patience_ms(f), PG_AGAIN, on_answer, wait_new(done, arg));
}

/* The names of a release: its groups, and "" for the default. */
static const char *names_of(struct sql_array *names, const struct product_firmware_release *release)
{
    sql_array_init(names);
    if (release->is_default)
        sql_array_text(names, "");
    for (size_t i = 0; i < release->group_count; i++)
        sql_array_text(names, release->groups[i]);
    return sql_array_end(names);
}

void fleet_release_product_firmware(struct fleet *f, const struct fleet_actor *actor,
                                    const struct product_firmware_release *release, product_firmware_fn *done,
                                    void *arg)
{
    struct fleet_number user, product, which;
    struct sql_array names;
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        pg_text(actor->user_name),
        fleet_int(&product, release->product_id),
        fleet_int(&which, release->version),
        pg_text(names_of(&names, release)),
        fleet_bool(release->at_once),
        fleet_bool(f->settings.release_needs_proof),
    };
    pg_exec(f->pg, &release_firmware, params, fleet_patience_ms(f), PG_AGAIN, on_answer, wait_new(done, arg));
    sql_array_deinit(&names);
}

void fleet_preview_product_firmware(struct fleet *f, const struct product_firmware_release *release,
                                    product_firmware_fn *done, void *arg)
{
    struct fleet_number product, which;
    struct sql_array names;
    struct pg_param params[] = {fleet_int(&product, release->product_id), fleet_int(&which, release->version),
                                pg_text(names_of(&names, release))};
    pg_exec(f->bulk, &preview_firmware, params, fleet_patience_ms(f), PG_RETRY, on_answer,
            wait_new(done, arg));
    sql_array_deinit(&names);
}

/* --- its bytes --- */

struct binary_wait {
    product_binary_fn *done;
    void *arg;
};

static void on_binary(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct binary_wait wait = *(struct binary_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "find_product_binary");
    free(arg);
    if (ferr == FLEET_OK && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    if (ferr != FLEET_OK)
        wait.done(wait.arg, ferr, 0, "");
    else
        wait.done(wait.arg, FLEET_OK, pg_int(result, 0, 0), pg_value(result, 0, 1));
}

void fleet_find_product_binary(struct fleet *f, int product_id, int version, product_binary_fn *done,
                               void *arg)
{
    struct binary_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number product, which;
    struct pg_param params[] = {fleet_int(&product, product_id), fleet_int(&which, version)};
    *wait = (struct binary_wait){.done = done, .arg = arg};
    pg_exec(f->pg, &find_binary, params, fleet_patience_ms(f), PG_RETRY, on_binary, wait);
}
