#include "fleet/device_vitals.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "fleet/device_get.h"
#include "fleet/event_queue.h"
#include "fleet/room.h"
#include "fleet/vitals_tree.h"

#define EVENT_NAME "spark/device/diagnostics/update"
#define TTL_S 60

static const struct pg_statement device_vitals = {
    .name = "device_vitals",
    .sql =
        "SELECT r.code, r.id, to_ms(v.at), v.vitals, v.service"
        " FROM find_device($1::bigint, $2::boolean, $3::text) r LEFT JOIN LATERAL ("
        "SELECT n.at, n.vitals, n.service FROM device_vitals n WHERE n.device_id = r.id"
        " AND n.at >= coalesce(from_ms($4::bigint), '-infinity') AND n.at <= coalesce(from_ms($5::bigint), "
        "'infinity')"
        " ORDER BY n.at DESC LIMIT $6::bigint) v ON true ORDER BY v.at",
    .params = 6,
};

struct vitals_wait {
    fleet_vitals_fn *done;
    void *arg;
};

static json_t *payload_of(const struct pg_result *result, int row, int column)
{
    json_t *vitals = json_loads(pg_value(result, row, column), 0, NULL);
    json_t *service = json_loads(pg_value(result, row, column + 1), 0, NULL);
    json_t *payload = vitals_tree(vitals, service);
    json_decref(vitals);
    json_decref(service);
    return payload;
}

static void on_vitals(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct vitals_wait wait = *(struct vitals_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "device_vitals");
    struct device_id id;
    size_t id_len, count = 0;
    free(arg);
    if (!ferr)
        ferr = device_get_code(pg_value(result, 0, 0));
    if (ferr) {
        wait.done(wait.arg, ferr, NULL, NULL, 0);
        return;
    }
    must(pg_bytea(result, 0, 1, &id, sizeof id, &id_len) && id_len == sizeof id);
    struct fleet_vitals *rows = mem_array((size_t)pg_rows(result) + 1, sizeof *rows);
    for (int row = 0; row < pg_rows(result); row++)
        if (!pg_is_null(result, row, 2))
            rows[count++] = (struct fleet_vitals){.at_ms = (uint64_t)pg_int(result, row, 2),
                                                  .payload = payload_of(result, row, 3)};
    wait.done(wait.arg, FLEET_OK, &id, rows, count);
    for (size_t i = 0; i < count; i++)
        json_decref(rows[i].payload);
    free(rows);
}

static void answer_not_found(void *ctx)
{
    struct vitals_wait wait = *(struct vitals_wait *)ctx;
    free(ctx);
    wait.done(wait.arg, FLEET_NOT_FOUND, NULL, NULL, 0);
}

static struct pg_param time_param(struct fleet_number *n, uint64_t wall_ms)
{
    return wall_ms ? fleet_int(n, (int64_t)wall_ms) : pg_text(NULL);
}

void fleet_get_vitals(struct fleet *f, const struct fleet_actor *actor,
                      const struct fleet_vitals_query *query, fleet_vitals_fn *done, void *arg)
{
    struct vitals_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number user, from, to, most;
    *wait = (struct vitals_wait){.done = done, .arg = arg};
    if (!device_get_plausible(query->which)) {
        later_push(&f->later, answer_not_found, wait);
        return;
    }
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        fleet_bool(device_get_sees_all(actor)),
        pg_text(query->which),
        time_param(&from, query->from_ms),
        time_param(&to, query->to_ms),
        fleet_int(&most, query->only_last ? 1 : DEVICE_VITALS_KEPT),
    };
    pg_exec(f->pg, &device_vitals, params, fleet_patience_ms(f), PG_RETRY, on_vitals, wait);
}

/* --- the event --- */

struct announcement {
    struct fleet *f;
    struct device_facts facts;
};

static void on_announced(void *arg, enum device_verdict verdict)
{
    (void)arg;
    (void)verdict;
}

static void on_newest(void *arg, enum fleet_err err, const struct device_id *id,
                      const struct fleet_vitals *rows, size_t count)
{
    struct announcement a = *(struct announcement *)arg;
    free(arg);
    (void)id;
    if (err != FLEET_OK || count == 0)
        return;
    char *text = json_dumps(rows[0].payload, JSON_COMPACT | JSON_REAL_PRECISION(15));
    must(text != NULL);
    struct device_event event = {.kind = DEVICE_EVENT_SYSTEM_OTHER,
                                 .name = EVENT_NAME,
                                 .data = (const uint8_t *)text,
                                 .data_len = strlen(text),
                                 .ttl_s = TTL_S,
                                 .received_wall_ms = clock_wall_ms()};
    random_bytes(event.key, sizeof event.key);
    event_queue_push(a.f, &a.facts, &event, on_announced, NULL);
    free(text);
}

void device_vitals_announce(struct fleet *f, const struct device_facts *facts)
{
    const struct fleet_actor server = {.role = FLEET_ADMIN};
    char id[DEVICE_ID_TEXT_SIZE];
    if (f->stopped)
        return;
    struct announcement *a = mem_alloc(sizeof *a);
    *a = (struct announcement){.f = f, .facts = *facts};
    device_id_format(id, &facts->id);
    fleet_get_vitals(f, &server, &(struct fleet_vitals_query){.which = id, .only_last = true}, on_newest, a);
}
