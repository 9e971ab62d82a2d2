/* device_change.c: rename, notes, claim, unclaim, keys: each one statement, then the device is read again for
 * the answer. */
#include "fleet/device_change.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fleet/device_get.h"
#include "fleet/room.h"
#include "fleet/utf8.h"

#define NOTES_MAX 4096

static const struct pg_statement change_device = {
    .name = "change_device",
    .sql = "SELECT code, id, detail FROM change_device($1::bigint, $2::text, $3::boolean, $4::text, "
           "$5::text, $6::text)",
    .params = 6,
};
static const struct pg_statement force_updates = {
    .name = "force_device_updates",
    .sql = "SELECT code, id, detail FROM force_device_updates($1::bigint, $2::text, $3::boolean, $4::text, "
           "$5::boolean)",
    .params = 5,
};
static const struct pg_statement claim_device = {
    .name = "claim_device",
    .sql = "SELECT code, id, detail FROM claim_device($1::bigint, $2::text, $3::boolean, $4::bytea)",
    .params = 4,
};
static const struct pg_statement unclaim_device = {
    .name = "unclaim_device",
    .sql = "SELECT code, id, detail FROM unclaim_device($1::bigint, $2::text, $3::boolean, $4::text)",
    .params = 4,
};
static const struct pg_statement provision_device = {
    .name = "provision_device",
    .sql = "SELECT code, id, detail FROM provision_product_device($1::bigint, $2::text, $3::text, $4::bytea, "
           "$5::text, $6::bytea,"
           " $7::integer, $8::text, $9::boolean)",
    .params = 9,
};

struct change_wait {
    struct fleet *f;
    fleet_change_fn *done;
    void *arg;
    const char *conflict_why; /* static text */
    struct device_id key_of;  /* when is_key: the device that gets a key */
    bool is_key;
    enum fleet_err err; /* of answer_now */
    const char *why;
};

static struct change_wait *wait_new(struct fleet *f, const char *conflict_why, fleet_change_fn *done,
                                    void *arg)
{
    struct change_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct change_wait){.f = f, .done = done, .arg = arg, .conflict_why = conflict_why};
    return wait;
}

static void answer_now(void *ctx)
{
    struct change_wait wait = *(struct change_wait *)ctx;
    free(ctx);
    wait.done(wait.arg, wait.err, NULL, wait.why);
}

static void refuse(struct change_wait *wait, enum fleet_err err, const char *why)
{
    wait->err = err;
    wait->why = why;
    later_push(&wait->f->later, answer_now, wait);
}

static void on_read(void *arg, enum fleet_err err, const struct fleet_device *device)
{
    struct change_wait wait = *(struct change_wait *)arg;
    free(arg);
    wait.done(wait.arg, err, device, "");
}

static const char *why_of(const struct change_wait *wait, const char *code)
{
    if (!strcmp(code, "conflict"))
        return wait->conflict_why;
    if (!strcmp(code, "ambiguous"))
        return "several owners have a device of this name: use its id";
    return "";
}

static void on_changed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct change_wait *wait = arg;
    enum fleet_err ferr = fleet_err_of(err, result, "device_change");
    const char *why = "";
    if (err == PG_UNKNOWN && wait->is_key) /* it may have retired the key of the session that is open now */
        fleet_end_sessions(wait->f, &wait->key_of);
    if (!ferr) {
        ferr = device_get_code(pg_value(result, 0, 0));
        why = why_of(wait, pg_value(result, 0, 0));
    }
    if (ferr) {
        struct change_wait copy = *wait;
        free(wait);
        copy.done(copy.arg, ferr, NULL, why);
        return;
    }
    struct device_id id;
    size_t id_len;
    must(pg_bytea(result, 0, 1, &id, sizeof id, &id_len) && id_len == sizeof id);
    if (!strcmp(pg_value(result, 0, 2), "end session"))
        fleet_end_sessions(wait->f, &id);
    device_get_known(wait->f, &id, on_read, wait);
}

const char *fleet_device_name_flaw(const char *name)
{
    struct device_id id;
    if (!device_get_is_name(name))
        return "a name has 1 to 64 letters, digits, `_` or `-`";
    if (device_id_parse(&id, name, strlen(name)))
        return "a name must not look like a device id";
    return NULL;
}

void fleet_update_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                         const char *name, const char *notes, fleet_change_fn *done, void *arg)
{
    struct change_wait *wait = wait_new(f, "another device of its owner has this name", done, arg);
    struct fleet_number user;
    char clean[NOTES_MAX + 1];
    const char *flaw = name ? fleet_device_name_flaw(name) : NULL;
    if (notes && strlen(notes) > NOTES_MAX)
        flaw = "notes have at most 4096 bytes";
    if (flaw) {
        refuse(wait, FLEET_INVALID, flaw);
        return;
    }
    if (!device_get_plausible(which)) {
        refuse(wait, FLEET_NOT_FOUND, "");
        return;
    }
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        pg_text(actor->user_name),
        fleet_bool(device_get_sees_all(actor)),
        pg_text(which),
        pg_text(name),
        pg_text(notes ? utf8_clean(clean, sizeof clean, notes, strlen(notes)) : NULL),
    };
    pg_exec(f->pg, &change_device, params, fleet_patience_ms(f), PG_AGAIN, on_changed, wait);
}

void fleet_force_updates(struct fleet *f, const struct fleet_actor *actor, const char *which, bool forced,
                         fleet_change_fn *done, void *arg)
{
    struct change_wait *wait = wait_new(f, "", done, arg);
    struct fleet_number user;
    if (!device_get_plausible(which)) {
        refuse(wait, FLEET_NOT_FOUND, "");
        return;
    }
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        pg_text(actor->user_name),
        fleet_bool(device_get_sees_all(actor)),
        pg_text(which),
        fleet_bool(forced),
    };
    pg_exec(f->pg, &force_updates, params, fleet_patience_ms(f), PG_AGAIN, on_changed, wait);
}

void fleet_claim_device(struct fleet *f, const struct fleet_actor *actor, const struct device_id *id,
                        fleet_change_fn *done, void *arg)
{
    struct fleet_number user;
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        pg_text(actor->user_name),
        fleet_bool(device_get_sees_all(actor)),
        fleet_id(id),
    };
    pg_exec(f->pg, &claim_device, params, fleet_patience_ms(f), PG_AGAIN, on_changed,
            wait_new(f, "", done, arg));
}

void fleet_unclaim_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                          fleet_change_fn *done, void *arg)
{
    struct change_wait *wait = wait_new(f, "", done, arg);
    struct fleet_number user;
    if (!device_get_plausible(which)) {
        refuse(wait, FLEET_NOT_FOUND, "");
        return;
    }
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        pg_text(actor->user_name),
        fleet_bool(device_get_sees_all(actor)),
        pg_text(which),
    };
    pg_exec(f->pg, &unclaim_device, params, fleet_patience_ms(f), PG_AGAIN, on_changed, wait);
}

/* --- keys --- */

static const char *kind_name(enum fleet_key_kind kind)
{
    static const char *const names[] = {"p256", "rsa", "psk"};
    must((unsigned)kind < 3);
    return names[kind];
}

void fleet_provision_device(struct fleet *f, const struct fleet_actor *actor, const struct device_id *id,
                            const struct fleet_key *key, int product_id, fleet_change_fn *done, void *arg)
{
    struct change_wait *wait = wait_new(f, "this key belongs to another device", done, arg);
    struct fleet_number user, product;
    wait->is_key = true;
    wait->key_of = *id;
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id),
        pg_text(actor->user_name),
        pg_text(fleet_role_name(actor->role)),
        fleet_id(id),
        pg_text(kind_name(key->kind)),
        pg_bytes(key->data, key->data_len),
        product_id < 0 ? pg_text(NULL) : fleet_int(&product, product_id),
        pg_text(NULL),
        fleet_bool(actor->confined_to != 0),
    };
    pg_exec(f->pg, &provision_device, params, fleet_patience_ms(f), PG_AGAIN, on_changed, wait);
}

int fleet_provision_sync(struct pg_sync *s, const struct device_id *id, const struct fleet_key *key,
                         const char *name, char *why, size_t why_size)
{
    const char *flaw = name ? fleet_device_name_flaw(name) : NULL;
    struct pg_result *result;
    if (flaw) {
        snprintf(why, why_size, "%s", flaw);
        return -1;
    }
    struct pg_param params[] = {
        pg_text(NULL),
        pg_text("command"),
        pg_text("command"),
        fleet_id(id),
        pg_text(kind_name(key->kind)),
        pg_bytes(key->data, key->data_len),
        pg_text(NULL),
        pg_text(name),
        fleet_bool(false),
    };
    if (pg_sync_exec(s, provision_device.sql, params, provision_device.params, &result, why, why_size) != 0)
        return -1;
    enum fleet_err err = device_get_code(pg_value(result, 0, 0));
    pg_sync_free(result);
    if (err == FLEET_OK)
        return 0;
    snprintf(why, why_size, "the key belongs to another device, or another device has this name");
    return -1;
}
