/* device_get.c: one device in full. */
#include "fleet/device_get.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_row.h"
#include "fleet/room.h"

static const struct pg_statement device_get = {
    .name = "device_get",
    .sql = "SELECT r.code, d.functions, d.variables, t.explain, " DEVICE_COLUMNS
           ", " DEVICE_PRODUCT_COLUMNS("d.in_product") " FROM find_device($1::bigint, $2::boolean, $3::text) "
                                                       "r LEFT JOIN device d ON d.id = r.id"
                                                       " LEFT JOIN users u ON u.id = d.owner_id LEFT JOIN "
                                                       "transition_rule t ON t.code = d.deep_update_rule",
    .params = 3,
};

bool device_get_sees_all(const struct fleet_actor *actor)
{
    return actor->role != FLEET_OWNER;
}

bool device_get_is_name(const char *text)
{
    size_t text_len = strlen(text);
    return text_len >= 1 && text_len <= 64 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == text_len;
}

bool device_get_plausible(const char *which)
{
    size_t product_len = strspn(which, "0123456789");
    if (product_len >= 1 && product_len <= 5 && which[product_len] == '/')
        which += product_len + 1;
    return device_get_is_name(which);
}

enum fleet_err device_get_code(const char *code)
{
    if (!strcmp(code, "ok"))
        return FLEET_OK;
    if (!strcmp(code, "forbidden"))
        return FLEET_FORBIDDEN;
    if (!strcmp(code, "conflict") || !strcmp(code, "ambiguous"))
        return FLEET_CONFLICT;
    if (!strcmp(code, "invalid"))
        return FLEET_INVALID;
    return FLEET_NOT_FOUND;
}

struct get_wait {
    struct fleet *f;
    fleet_device_fn *done;
    void *arg;
};

struct detail { /* what the lists of a device point into */
    json_t *functions, *variables;
    const char **names;
    struct fleet_name_type *types;
};

static void detail_init(struct detail *detail, struct fleet_device *device, const struct pg_result *result)
{
    size_t i, n = 0;
    json_t *value;
    const char *key;
    detail->functions = json_loads(pg_value(result, 0, 1), 0, NULL); /* NULL before the first describe */
    detail->variables = json_loads(pg_value(result, 0, 2), 0, NULL);
    detail->names = mem_array(json_array_size(detail->functions) + 1, sizeof *detail->names);
    detail->types = mem_array(json_object_size(detail->variables) + 1, sizeof *detail->types);
    json_array_foreach (detail->functions, i, value)
        if (json_is_string(value))
            detail->names[n++] = json_string_value(value);
    device->functions = detail->names;
    device->function_count = n;
    n = 0;
    json_object_foreach (detail->variables, key, value)
        if (json_is_string(value))
            detail->types[n++] = (struct fleet_name_type){.name = key, .type = json_string_value(value)};
    device->variables = detail->types;
    device->variable_count = n;
}

static void detail_deinit(struct detail *detail)
{
    json_decref(detail->functions);
    json_decref(detail->variables);
    free(detail->names);
    free(detail->types);
}

static void on_device(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct get_wait wait = *(struct get_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "device_get");
    free(arg);
    if (!ferr)
        ferr = device_get_code(pg_value(result, 0, 0));
    if (!ferr && pg_is_null(result, 0, 4)) /* gone between two glances */
        ferr = FLEET_NOT_FOUND;
    if (ferr) {
        wait.done(wait.arg, ferr, NULL);
        return;
    }
    struct fleet_device device;
    struct detail detail;
    char release[16];
    device_row_read(&device, result, 0, 4, release);
    device_row_read_product(&device, result, 0, 4 + DEVICE_COLUMN_COUNT);
    device.deep_update_reason = pg_is_null(result, 0, 3) ? NULL : pg_value(result, 0, 3);
    detail_init(&detail, &device, result);
    wait.done(wait.arg, FLEET_OK, &device);
    detail_deinit(&detail);
}

static void ask(struct fleet *f, int64_t user_id, bool sees_all, const char *which, fleet_device_fn *done,
                void *arg)
{
    struct get_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number user;
    *wait = (struct get_wait){.f = f, .done = done, .arg = arg};
    pg_exec(f->pg, &device_get,
            (struct pg_param[]){fleet_int(&user, user_id), fleet_bool(sees_all), pg_text(which)},
            fleet_patience_ms(f), PG_RETRY, on_device, wait);
}

static void answer_not_found(void *ctx)
{
    struct get_wait wait = *(struct get_wait *)ctx;
    free(ctx);
    wait.done(wait.arg, FLEET_NOT_FOUND, NULL);
}

void fleet_get_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                      fleet_device_fn *done, void *arg)
{
    if (device_get_plausible(which)) {
        ask(f, actor->user_id, device_get_sees_all(actor), which, done, arg);
        return;
    }
    struct get_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct get_wait){.f = f, .done = done, .arg = arg};
    later_push(&f->later, answer_not_found, wait);
}

void device_get_known(struct fleet *f, const struct device_id *id, fleet_device_fn *done, void *arg)
{
    char text[DEVICE_ID_TEXT_SIZE];
    device_id_format(text, id);
    ask(f, 0, true, text, done, arg);
}
