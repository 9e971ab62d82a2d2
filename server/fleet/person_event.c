#include "fleet/person_event.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "fleet/relay.h"
#include "fleet/room.h"

#define TTL_S 60

/* The key makes writing it twice writing it once. */
static const struct pg_statement store_person_event = {
    .name = "store_person_event",
    .sql = "INSERT INTO event (key, user_id, name, data, content_format, ttl_s, is_public, is_system, "
           "received_at)"
           " VALUES ($1::bytea, $2::bigint, $3::text, $4::bytea, 0, $5::bigint, $6::boolean, false, now())"
           " ON CONFLICT (key) DO NOTHING",
    .params = 6,
};

struct publish_wait {
    struct fleet *f;
    fleet_published_fn *done;
    void *arg;
    int64_t user_id;
    const char *flaw; /* static; NULL when it is under way */
    bool is_public;
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

static const char *flaw_of(const char *name, const char *data)
{
    size_t name_len = strlen(name);
    if (name_len == 0 || name_len > DEVICE_EVENT_NAME_MAX || has_control(name))
        return "name must be 1 to 64 bytes without control characters.";
    if (!strncmp(name, "spark", 5) || !strncmp(name, "particle", 8))
        return "name must not begin with spark or particle: these are the system's.";
    if (strlen(data) > DEVICE_EVENT_DATA_MAX)
        return "data must be at most 1024 bytes.";
    return NULL;
}

static void refuse(void *ctx)
{
    struct publish_wait wait = *(struct publish_wait *)ctx;
    free(ctx);
    wait.done(wait.arg, FLEET_INVALID, wait.flaw);
}

static void on_stored(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct publish_wait *wait = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "publish");
    fleet_published_fn *done = wait->done;
    void *done_arg = wait->arg;
    if (ferr == FLEET_OK)
        relay_push(wait->f->relay, NULL, wait->user_id,
                   &(struct device_event){.kind = DEVICE_EVENT_USER,
                                          .name = wait->name,
                                          .data = (const uint8_t *)wait->data,
                                          .data_len = strlen(wait->data),
                                          .ttl_s = TTL_S,
                                          .is_public = wait->is_public});
    free(wait);
    done(done_arg, ferr, "");
}

void fleet_publish(struct fleet *f, const struct fleet_actor *actor, const char *name, const char *data,
                   bool is_public, fleet_published_fn *done, void *arg)
{
    struct publish_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number user, ttl;
    uint8_t key[16];
    *wait = (struct publish_wait){.f = f, .done = done, .arg = arg, .user_id = actor->user_id};
    wait->is_public = is_public;
    wait->flaw = flaw_of(name, data);
    if (wait->flaw) {
        later_push(&f->later, refuse, wait);
        return;
    }
    snprintf(wait->name, sizeof wait->name, "%s", name);
    snprintf(wait->data, sizeof wait->data, "%s", data);
    must(getrandom(key, sizeof key, 0) == sizeof key);
    struct pg_param params[] = {
        pg_bytes(key, sizeof key),    fleet_int(&user, actor->user_id), pg_text(name),
        pg_bytes(data, strlen(data)), fleet_int(&ttl, TTL_S),           fleet_bool(is_public),
    };
    pg_exec(f->pg, &store_person_event, params, fleet_patience_ms(f), PG_RETRY, on_stored, wait);
}
