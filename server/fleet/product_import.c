#include "fleet/product_import.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"
#include "fleet/utf8.h"

static const struct pg_statement import_words = {
    .name = "import_words",
    .sql = "SELECT import_words($1::text)",
    .params = 1,
};
static const struct pg_statement import_devices = {
    .name = "import_devices",
    .sql = "SELECT word, code, device, ends FROM import_devices($1::bigint, $2::text, $3::boolean, "
           "$4::integer, $5::text[])",
    .params = 5,
};

/* A JSON array of strings as it grows. */
struct list {
    char *text;
    size_t len, size, count;
};

struct import {
    struct fleet *f;
    struct fleet_actor actor;
    int product_id;
    char *words; /* ours: separated by single spaces; NULL while READING */
    char *next;  /* in words: not yet imported; NULL: all are */
    struct list updated, nonmembers, strangers;
    product_imported_fn *done;
    void *arg;
};

static void list_put(struct list *list, const char *text, size_t text_len)
{
    if (list->len + text_len + 1 > list->size) {
        list->size = 2 * (list->len + text_len + 1);
        list->text = mem_grow(list->text, list->size, 1);
    }
    memcpy(list->text + list->len, text, text_len);
    list->len += text_len;
    list->text[list->len] = 0;
}

static void list_add(struct list *list, const char *value)
{
    char cut[IMPORT_WORD_MAX + 1];
    json_t *string = json_string(utf8_clean(cut, sizeof cut, value, strlen(value)));
    char *quoted = json_dumps(string, JSON_ENCODE_ANY);
    list_put(list, list->count++ > 0 ? "," : "[", 1);
    list_put(list, quoted, strlen(quoted));
    free(quoted);
    json_decref(string);
}

static void import_end(struct import *import, enum fleet_err err)
{
    struct list *lists[] = {&import->updated, &import->nonmembers, &import->strangers};
    for (size_t i = 0; i < 3; i++)
        list_put(lists[i], lists[i]->count > 0 ? "]" : "[]", lists[i]->count > 0 ? 1 : 2);
    log_info("product.imported product=%d by=%lld devices=%zu nonmembers=%zu invalid=%zu%s",
             import->product_id, (long long)import->actor.user_id, import->updated.count,
             import->nonmembers.count, import->strangers.count, err ? " broke_off=1" : "");
    import->done(import->arg, err,
                 err ? NULL
                     : &(struct product_imported){.updated = import->updated.count,
                                                  .updated_ids = import->updated.text,
                                                  .nonmembers = import->nonmembers.text,
                                                  .strangers = import->strangers.text});
    for (size_t i = 0; i < 3; i++)
        free(lists[i]->text);
    free(import->words);
    free(import);
}

static void go_on(struct import *import);

static void take_row(struct import *import, const struct pg_result *result, int row)
{
    struct device_id id;
    char id_text[DEVICE_ID_TEXT_SIZE];
    size_t id_len;
    const char *code = pg_value(result, row, 1);
    if (!strcmp(code, "updated")) {
        must(pg_bytea(result, row, 2, &id, sizeof id, &id_len) && id_len == sizeof id);
        device_id_format(id_text, &id);
        list_add(&import->updated, id_text);
        if (pg_bool(result, row, 3))
            fleet_end_sessions(import->f, &id);
    } else
        list_add(!strcmp(code, "nonmember") ? &import->nonmembers : &import->strangers,
                 pg_value(result, row, 0));
}

static void on_slice(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct import *import = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "import_devices");
    if (ferr) {
        import_end(import, ferr);
        return;
    }
    for (int row = 0; row < pg_rows(result); row++)
        take_row(import, result, row);
    go_on(import);
}

/* The next IMPORT_SLICE words. */
static void go_on(struct import *import)
{
    struct sql_array words;
    struct fleet_number user, product;
    if (!import->next) {
        import_end(import, FLEET_OK);
        return;
    }
    sql_array_init(&words);
    for (size_t i = 0; import->next && i < IMPORT_SLICE; i++)
        sql_array_text(&words, strsep(&import->next, " "));
    /* a token of this product alone says nothing of what is outside it, whoever's it is */
    bool is_confined = import->actor.confined_to != 0;
    struct pg_param params[] = {is_confined ? pg_text(NULL) : fleet_int(&user, import->actor.user_id),
                                pg_text(import->actor.user_name),
                                fleet_bool(!is_confined && device_get_sees_all(&import->actor)),
                                fleet_int(&product, import->product_id), pg_text(sql_array_end(&words))};
    /* once more is the same again: who is in the product already is counted alike */
    pg_exec(import->f->pg, &import_devices, params, fleet_patience_ms(import->f), PG_RETRY | PG_AGAIN,
            on_slice, import);
    sql_array_deinit(&words);
}

static void on_words(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct import *import = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "import_words");
    if (ferr) {
        import_end(import, ferr);
        return;
    }
    import->words = mem_string(pg_value(result, 0, 0));
    import->next = *import->words ? import->words : NULL;
    go_on(import);
}

void fleet_import_devices(struct fleet *f, const struct fleet_actor *actor, int product_id, const void *said,
                          size_t said_len, product_imported_fn *done, void *arg)
{
    struct import *import = mem_alloc(sizeof *import);
    *import = (struct import){.f = f, .actor = *actor, .product_id = product_id, .done = done, .arg = arg};
    must(said_len <= IMPORT_FILE_MAX_BYTES);
    if (said_len >= 3 && !memcmp(said, "\xef\xbb\xbf", 3)) { /* a byte order mark */
        said = (const char *)said + 3;
        said_len -= 3;
    }
    char *text = mem_alloc(said_len + 1);
    utf8_clean(text, said_len + 1, said, said_len);
    pg_exec(f->pg, &import_words, (struct pg_param[]){pg_text(text)}, fleet_patience_ms(f), PG_RETRY,
            on_words, import);
    free(text);
}
