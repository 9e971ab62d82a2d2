/* said_hello.c: Hello into the registry (device-protocol 4.1). */
#include <jansson.h>
#include <stdlib.h>

#include "fleet/said.h"
#include "fleet/said_answer.h"

static const struct pg_statement store_hello = {
    .name = "store_hello",
    .sql = "SELECT CASE WHEN EXISTS (SELECT FROM device WHERE id = $1::bytea AND denied) THEN 'denied' ELSE"
           " store_hello($1::bytea, $2::text, $3::bigint, $4::bytea, $5::text, $6::jsonb) END",
    .params = 6,
};

static void set_stated(json_t *object, const char *key, json_int_t value)
{
    if (value) /* 0: a device this old does not say */
        json_object_set_new(object, key, json_integer(value));
}

static char *hello_json(const struct hello *hello)
{
    json_t *object = json_object();
    json_object_set_new(object, "platform_id", json_integer(hello->platform_id));
    json_object_set_new(object, "product_id", json_integer(hello->product_id));
    json_object_set_new(object, "product_version", json_integer(hello->product_version));
    json_object_set_new(object, "flags", json_integer(hello->flags));
    set_stated(object, "system_version", hello->system_version);
    set_stated(object, "max_message_bytes", hello->max_message_bytes);
    set_stated(object, "max_binary_bytes", hello->max_binary_bytes);
    set_stated(object, "chunk_bytes", hello->chunk_bytes);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

void said_hello(void *ctx, const struct device_facts *facts, const struct hello *hello, bool enrol,
                const uint8_t *spki, size_t spki_len, device_done_fn *done, void *arg)
{
    struct fleet *f = ctx;
    struct fleet_number session;
    char ip[NET_ADDRESS_TEXT_SIZE];
    char *text = hello_json(hello);
    bool binds = spki_len > 0 && (enrol || facts->quarantined);
    struct pg_param params[] = {
        fleet_id(&facts->id),
        pg_text(facts->quarantined ? "quarantine"
                : enrol            ? "enrol"
                                   : "known"),
        fleet_int(&session, (int64_t)facts->session_id),
        binds ? pg_bytes(spki, spki_len) : pg_text(NULL),
        pg_text(net_path_format_ip(ip, &facts->path)),
        pg_text(text),
    };
    pg_exec(f->pg, &store_hello, params, f->settings.hold_ms, PG_RETRY, said_answer_give,
            said_answer_hold(f, said_answer_new(facts, "hello", done, arg)));
    free(text);
}
