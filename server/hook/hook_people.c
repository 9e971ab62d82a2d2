/* hook_people.c: what people do with webhooks: each one statement, with its audit row. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"
#include "hook/hook_spec.h"
#include "hook/hooks_inner.h"

#define WEBHOOKS_MAX 100 /* of one person, or one product */

static const struct pg_statement list = {
    .name = "list_webhooks",
    .sql = "SELECT list_webhooks($1::bigint, $2::integer)",
    .params = 2,
};
static const struct pg_statement get = {
    .name = "get_webhook",
    .sql = "SELECT webhook_detail(w) FROM find_webhook($1::bigint, $2::boolean, $3::integer, $4::text) w",
    .params = 4,
};
static const struct pg_statement create = {
    .name = "create_webhook",
    .sql = "SELECT code, webhook FROM create_webhook($1::bigint, $2::text, $3::integer, $4::text, $5::text, "
           "$6::text,"
           " $7::jsonb, $8::bytea, $9::integer)",
    .params = 9,
};
static const struct pg_statement delete = {
    .name = "delete_webhook",
    .sql = "SELECT delete_webhook($1::bigint, $2::text, $3::boolean, $4::integer, $5::text)",
    .params = 5,
};
static const struct pg_statement disable = {
    .name = "disable_webhook",
    .sql = "SELECT disable_webhook($1::bigint, $2::text, $3::boolean, $4::integer, $5::text, $6::text)",
    .params = 6,
};
static const struct pg_statement test = {
    .name = "test_webhook",
    .sql = "SELECT test_webhook($1::bigint, $2::boolean, $3::integer, $4::text)",
    .params = 4,
};

struct people_wait {
    struct hooks *h;
    hook_text_fn *done;
    void *arg;
    char *secret; /* ours: of a new webhook */
};

static struct people_wait *wait_new(struct hooks *h, hook_text_fn *done, void *arg)
{
    struct people_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct people_wait){.h = h, .done = done, .arg = arg};
    return wait;
}

/* Frees wait, calls out last. */
static void answer(struct people_wait *wait, enum fleet_err err, const char *json, const char *why)
{
    struct people_wait w = *wait;
    free(wait);
    if (w.secret)
        bytes_wipe(w.secret, strlen(w.secret));
    free(w.secret);
    w.done(w.arg, err, err == FLEET_OK ? json : NULL, why);
}

static enum fleet_err err_of(enum pg_err err, const struct pg_result *result, const char *what)
{
    if (err == PG_REFUSED)
        log_error("webhook.statement_refused what=%s sqlstate=%s", what, pg_sqlstate(result));
    return err == PG_OK ? FLEET_OK : err == PG_REFUSED ? FLEET_FAULT : FLEET_AWAY;
}

/* What find_device says of the device that a webhook is for. */
static enum fleet_err device_err(const char *code)
{
    return !strcmp(code, "forbidden") ? FLEET_FORBIDDEN : FLEET_NOT_FOUND;
}

static struct pg_param sees_all(const struct hook_place *place)
{
    return pg_text(place->actor->role != FLEET_OWNER ? "t" : "f");
}

static struct pg_param product_of(struct hooks_number *n, const struct hook_place *place)
{
    return place->product ? hooks_int(n, place->product) : pg_text(NULL);
}

/* --- reading --- */

static void on_text(void *arg, enum pg_err err, const struct pg_result *result)
{
    enum fleet_err ferr = err_of(err, result, "webhook_read");
    if (ferr == FLEET_OK && pg_rows(result) == 0)
        ferr = FLEET_NOT_FOUND;
    answer(arg, ferr, ferr == FLEET_OK ? pg_value(result, 0, 0) : NULL, "");
}

void hooks_list(struct hooks *h, const struct hook_place *place, hook_text_fn *done, void *arg)
{
    struct hooks_number user, product;
    pg_exec(h->pg, &list,
            (struct pg_param[]){hooks_int(&user, place->actor->user_id), product_of(&product, place)},
            HOOKS_STATEMENT_MS, PG_RETRY, on_text, wait_new(h, done, arg));
}

void hooks_get(struct hooks *h, const struct hook_place *place, hook_text_fn *done, void *arg)
{
    struct hooks_number user, product;
    pg_exec(h->pg, &get,
            (struct pg_param[]){hooks_int(&user, place->actor->user_id), sees_all(place),
                                product_of(&product, place), pg_text(place->which)},
            HOOKS_STATEMENT_MS, PG_RETRY, on_text, wait_new(h, done, arg));
}

/* --- a new one --- */

static void on_created(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct people_wait *wait = arg;
    enum fleet_err ferr = err_of(err, result, "create_webhook");
    const char *code = ferr == FLEET_OK ? pg_value(result, 0, 0) : "";
    if (ferr != FLEET_OK) {
        answer(wait, ferr, NULL, "");
    } else if (!strcmp(code, "full")) {
        answer(wait, FLEET_CONFLICT, NULL, "There are 100 webhooks already: delete one first.");
    } else if (strcmp(code, "ok") != 0) {
        answer(wait, device_err(code), NULL, "");
    } else {
        json_t *webhook = json_loads(pg_value(result, 0, 1), 0, NULL);
        must(webhook != NULL);
        (void)json_object_set_new(webhook, "ok", json_true());
        (void)json_object_set_new(webhook, "secret", json_string(wait->secret));
        char *text = json_dumps(webhook, JSON_COMPACT);
        json_decref(webhook);
        answer(wait, FLEET_OK, text, "");
        bytes_wipe(text, strlen(text));
        free(text);
    }
}

const char *hooks_create(struct hooks *h, const struct hook_place *place, const json_t *fields,
                         hook_text_fn *done, void *arg)
{
    struct hooks_number user, product, most;
    struct hook_spec spec;
    const char *flaw = hook_spec_read(&spec, fields, h->settings.allow_private);
    if (flaw)
        return flaw;
    struct people_wait *wait = wait_new(h, done, arg);
    wait->secret = mem_string(hook_spec_secret(spec.secrets));
    char *shown = json_dumps(spec.shown, JSON_COMPACT), *secrets = json_dumps(spec.secrets, JSON_COMPACT);
    uint8_t *sealed = seal_close(h->key, secrets, strlen(secrets));
    pg_exec(h->pg, &create,
            (struct pg_param[]){hooks_int(&user, place->actor->user_id), pg_text(place->actor->user_name),
                                product_of(&product, place), pg_text(spec.device), pg_text(spec.event),
                                pg_text(spec.host), pg_text(shown),
                                pg_bytes(sealed, strlen(secrets) + SEAL_MORE_BYTES),
                                hooks_int(&most, WEBHOOKS_MAX)},
            HOOKS_STATEMENT_MS, PG_AGAIN, on_created, wait);
    bytes_wipe(secrets, strlen(secrets));
    free(secrets);
    free(shown);
    free(sealed);
    hook_spec_deinit(&spec);
    return NULL;
}

/* --- changing --- */

static void on_changed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct people_wait *wait = arg;
    enum fleet_err ferr = err_of(err, result, "webhook_change");
    if (ferr == FLEET_OK && !pg_bool(result, 0, 0))
        ferr = FLEET_NOT_FOUND;
    hooks_wake(wait->h);
    answer(wait, ferr, "", "");
}

void hooks_delete(struct hooks *h, const struct hook_place *place, hook_text_fn *done, void *arg)
{
    struct hooks_number user, product;
    pg_exec(h->pg, &delete,
            (struct pg_param[]){hooks_int(&user, place->actor->user_id), pg_text(place->actor->user_name),
                                sees_all(place), product_of(&product, place), pg_text(place->which)},
            HOOKS_STATEMENT_MS, PG_AGAIN, on_changed, wait_new(h, done, arg));
}

void hooks_set_enabled(struct hooks *h, const struct hook_place *place, bool enabled, hook_text_fn *done,
                       void *arg)
{
    struct hooks_number user, product;
    pg_exec(h->pg, &disable,
            (struct pg_param[]){hooks_int(&user, place->actor->user_id), pg_text(place->actor->user_name),
                                sees_all(place), product_of(&product, place), pg_text(place->which),
                                pg_text(enabled ? NULL : "Disabled by a person.")},
            HOOKS_STATEMENT_MS, PG_RETRY, on_changed, wait_new(h, done, arg));
}

static void on_tested(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct people_wait *wait = arg;
    enum fleet_err ferr = err_of(err, result, "test_webhook");
    const char *code = ferr == FLEET_OK ? pg_value(result, 0, 0) : "";
    hooks_wake(wait->h);
    if (!strcmp(code, "disabled"))
        answer(wait, FLEET_CONFLICT, NULL, "This webhook is disabled.");
    else
        answer(wait, ferr == FLEET_OK && strcmp(code, "ok") != 0 ? FLEET_NOT_FOUND : ferr, "", "");
}

void hooks_test(struct hooks *h, const struct hook_place *place, hook_text_fn *done, void *arg)
{
    struct hooks_number user, product;
    pg_exec(h->pg, &test,
            (struct pg_param[]){hooks_int(&user, place->actor->user_id), sees_all(place),
                                product_of(&product, place), pg_text(place->which)},
            HOOKS_STATEMENT_MS, PG_AGAIN, on_tested, wait_new(h, done, arg));
}
