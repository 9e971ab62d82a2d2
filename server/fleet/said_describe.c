/* said_describe.c: a describe and the deep-update flag that follows from it, in one transaction
 * (device-protocol 4.4). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "fleet/device_vitals.h"
#include "fleet/said.h"
#include "fleet/said_answer.h"
#include "fleet/utf8.h"

static const struct pg_statement store_describe = {
    .name = "store_describe",
    .sql = "SELECT store_describe($1::bytea, $2::jsonb)",
    .params = 2,
};

static json_t *clean_string(const char *text)
{
    char clean[256];
    return json_string(utf8_clean(clean, sizeof clean, text, strlen(text)));
}

static void set_stated(json_t *object, const char *key, const char *text)
{
    if (*text)
        json_object_set_new(object, key, clean_string(text));
}

static json_t *dependencies_json(const struct module *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->dependency_count; i++) {
        const struct module_dependency *d = &m->dependencies[i];
        char letter[2] = {module_function_letter(d->function), 0}, index[4];
        snprintf(index, sizeof index, "%u", (unsigned)d->index);
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:i}", "f", letter, "n", index, "v", (int)d->version));
    }
    return list;
}

static json_t *module_json(const struct module *m)
{
    json_t *object = json_pack("{s:i,s:i,s:i,s:i,s:I,s:I,s:I,s:o}", "store", (int)m->store, "func",
                               (int)m->function, "idx", (int)m->index, "version", (int)m->version, "max_size",
                               (json_int_t)m->max_size_bytes, "checked", (json_int_t)m->checked_flags,
                               "passed", (json_int_t)m->passed_flags, "deps", dependencies_json(m));
    if (m->has_hash) {
        char hex[2 * sizeof m->hash + 1];
        hex_encode(hex, m->hash, sizeof m->hash);
        json_object_set_new(object, "hash", json_string(hex));
    }
    return object;
}

static void set_system(json_t *said, const struct describe *d)
{
    json_t *modules = json_array();
    for (size_t i = 0; i < d->module_count; i++)
        json_array_append_new(modules, module_json(&d->modules[i]));
    json_object_set_new(said, "modules", modules);
    set_stated(said, "imei", d->imei);
    set_stated(said, "iccid", d->iccid);
    set_stated(said, "modem_version", d->modem_version);
    set_stated(said, "serial_number", d->serial_number);
}

static const char *type_name(uint8_t type)
{
    switch (type) {
    case VARIABLE_BOOL:
        return "bool";
    case VARIABLE_INT32:
        return "int32";
    case VARIABLE_DOUBLE:
        return "double";
    default:
        return "string";
    }
}

static void set_application(json_t *said, const struct describe *d)
{
    json_t *functions = json_array(), *variables = json_object();
    char clean[DESCRIBE_NAME_MAX + 1];
    for (size_t i = 0; i < d->function_count; i++)
        json_array_append_new(functions, clean_string(d->functions[i]));
    for (size_t i = 0; i < d->variable_count; i++)
        json_object_set_new(
            variables, utf8_clean(clean, sizeof clean, d->variables[i].name, strlen(d->variables[i].name)),
            json_string(type_name(d->variables[i].type)));
    json_object_set_new(said, "functions", functions);
    json_object_set_new(said, "variables", variables);
}

static void set_vitals(json_t *said, const struct describe *d, uint32_t rtt_ms)
{
    json_t *vitals = json_object();
    for (size_t i = 0; i < d->metric_count; i++) {
        const struct metric_value *m = &d->metrics[i];
        char id[8];
        snprintf(id, sizeof id, "%u", (unsigned)m->id);
        json_object_set_new(vitals, id,
                            m->is_error ? json_pack("{s:i}", "err", (int)m->value) : json_integer(m->value));
    }
    if (rtt_ms) /* the database puts it where it belongs */
        json_object_set_new(vitals, "round_trip_ms", json_integer((json_int_t)rtt_ms));
    json_object_set_new(said, "vitals", vitals);
    json_object_set_new(said, "vitals_ms", json_integer((json_int_t)clock_wall_ms()));
}

/* Vitals that are stored are told of in an event. */
struct vitals_answer {
    struct said_answer *answer;
    struct fleet *f;
    struct device_facts facts;
};

static void on_vitals_stored(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct vitals_answer v = *(struct vitals_answer *)arg;
    free(arg);
    if (err == PG_OK && pg_bool(result, 0, 0) && !v.facts.quarantined)
        device_vitals_announce(v.f, &v.facts);
    said_answer_give(v.answer, err, result);
}

static struct vitals_answer *vitals_answer_new(struct fleet *f, const struct device_facts *facts,
                                               struct said_answer *answer)
{
    struct vitals_answer *v = mem_alloc(sizeof *v);
    *v = (struct vitals_answer){.answer = answer, .f = f, .facts = *facts};
    return v;
}

void said_describe(void *ctx, const struct device_facts *facts, const struct describe *d,
                   device_done_fn *done, void *arg)
{
    struct fleet *f = ctx;
    json_t *said = json_object();
    if (d->parts & DESCRIBE_SYSTEM)
        set_system(said, d);
    if (d->parts & DESCRIBE_APPLICATION)
        set_application(said, d);
    if (d->parts & DESCRIBE_METRICS)
        set_vitals(said, d, facts->rtt_ms);
    char *text = json_dumps(said, JSON_COMPACT);
    must(text);
    json_decref(said);
    struct said_answer *answer = said_answer_hold(f, said_answer_new(facts, "describe", done, arg));
    bool has_vitals = d->parts & DESCRIBE_METRICS;
    pg_exec(f->pg, &store_describe, (struct pg_param[]){fleet_id(&facts->id), pg_text(text)},
            f->settings.hold_ms, PG_RETRY, has_vitals ? on_vitals_stored : said_answer_give,
            has_vitals ? (void *)vitals_answer_new(f, facts, answer) : answer);
    free(text);
}
