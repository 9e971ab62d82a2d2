#include "fleet/person_event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/relay.h"
#include "fleet/room.h"

/* The key makes writing it twice writing it once. */
static const struct pg_statement store_person_event = {
    .name = "store_person_event",
    .sql = "INSERT INTO event (key, user_id, name, data, content_format, ttl_s, is_public, is_system, "
           "received_at)"
           " VALUES ($1::bytea, $2::bigint, $3::text, $4::bytea, 0, $5::bigint, $6::boolean, false, now())"
           " ON CONFLICT (key) DO NOTHING",
    .params = 6,
};

static const struct pg_statement publish_to_product = {
    .name = "publish_to_product",
    .sql = "SELECT code, product_id FROM publish_to_product($1::bigint, $2::boolean, $3::text, $4::bytea, "
           "$5::text,"
           " $6::bytea, $7::bigint, $8::boolean)",
    .params = 8,
};

struct publish_wait {
    struct fleet *f;
    fleet_published_fn *done;
    void *arg;
    int64_t user_id;
    uint32_t ttl_s;
    bool is_public, to_product;
    uint8_t key[16];
    enum fleet_err flaw_err;
    char flaw[96]; /* of one that is not stored */
    char name[DEVICE_EVENT_NAME_MAX + 1];
    char data[DEVICE_EVENT_DATA_MAX + 1];
};

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

/* FLEET_OK, or with a sentence in flaw. */
static enum fleet_err check(struct fleet *f, const struct person_event *event, char flaw[96])
{
    size_t name_len = strlen(event->name);
    flaw[0] = '\0';
    if (event->product && !device_get_plausible(event->product))
        return FLEET_NOT_FOUND;
    if (name_len == 0 || name_len > f->settings.event_name_max || has_control(event->name))
        snprintf(flaw, 96, "name must be 1 to %u bytes without control characters.",
                 f->settings.event_name_max);
    else if (!strncmp(event->name, "spark", 5) || !strncmp(event->name, "particle", 8))
        snprintf(flaw, 96, "name must not begin with spark or particle: these are the system's.");
    else if (strlen(event->data) > f->settings.event_data_max)
        snprintf(flaw, 96, "data must be at most %u bytes.", f->settings.event_data_max);
    return flaw[0] ? FLEET_INVALID : FLEET_OK;
}

static void refuse(void *ctx)
{
    struct publish_wait wait = *(struct publish_wait *)ctx;
    free(ctx);
    wait.done(wait.arg, wait.flaw_err, wait.flaw);
}

static void on_stored(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct publish_wait *wait = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "publish");
    fleet_published_fn *done = wait->done;
    void *done_arg = wait->arg;
    int32_t product_id = 0;
    if (ferr == FLEET_OK && wait->to_product) {
        ferr = device_get_code(pg_value(result, 0, 0));
        product_id = (int32_t)pg_int(result, 0, 1);
    }
    if (ferr == FLEET_OK)
        relay_push(wait->f->relay, &(struct relay_source){.user_id = wait->user_id, .product_id = product_id},
                   &(struct device_event){.kind = DEVICE_EVENT_USER,
                                          .name = wait->name,
                                          .data = (const uint8_t *)wait->data,
                                          .data_len = strlen(wait->data),
                                          .ttl_s = wait->ttl_s,
                                          .is_public = wait->is_public});
    free(wait);
    done(done_arg, ferr, "");
}

static void store(struct publish_wait *wait, const struct fleet_actor *actor, const char *product)
{
    struct fleet *f = wait->f;
    struct fleet_number user, ttl;
    if (product) {
        struct pg_param params[] = {
            fleet_int(&user, actor->user_id),
            fleet_bool(device_get_sees_all(actor)),
            pg_text(product),
            pg_bytes(wait->key, sizeof wait->key),
            pg_text(wait->name),
            pg_bytes(wait->data, strlen(wait->data)),
            fleet_int(&ttl, wait->ttl_s),
            fleet_bool(wait->is_public),
        };
        pg_exec(f->pg, &publish_to_product, params, fleet_patience_ms(f), PG_RETRY, on_stored, wait);
        return;
    }
    struct pg_param params[] = {
        pg_bytes(wait->key, sizeof wait->key),
        fleet_int(&user, actor->user_id),
        pg_text(wait->name),
        pg_bytes(wait->data, strlen(wait->data)),
        fleet_int(&ttl, wait->ttl_s),
        fleet_bool(wait->is_public),
    };
    pg_exec(f->pg, &store_person_event, params, fleet_patience_ms(f), PG_RETRY, on_stored, wait);
}

void fleet_publish(struct fleet *f, const struct fleet_actor *actor, const struct person_event *event,
                   fleet_published_fn *done, void *arg)
{
    struct publish_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct publish_wait){.f = f,
                                  .done = done,
                                  .arg = arg,
                                  .user_id = actor->user_id,
                                  .ttl_s = event->ttl_s,
                                  .is_public = event->is_public,
                                  .to_product = event->product != NULL};
    wait->flaw_err = check(f, event, wait->flaw);
    if (wait->flaw_err != FLEET_OK) {
        later_push(&f->later, refuse, wait);
        return;
    }
    if (event->key)
        memcpy(wait->key, event->key, sizeof wait->key);
    else
        must(getrandom(wait->key, sizeof wait->key, 0) == sizeof wait->key);
    snprintf(wait->name, sizeof wait->name, "%s", event->name);
    snprintf(wait->data, sizeof wait->data, "%s", event->data);
    store(wait, actor, event->product);
}
