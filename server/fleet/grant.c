#include "fleet/grant.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "fleet/room.h"
#include "fleet/sql_array.h"
#include "fleet/token_news.h"

static const struct pg_statement grant = {
    .name = "token_grant",
    .sql = "SELECT 'ok' FROM (SELECT token_grant($1::text, $2::bigint, $3::bytea, $4::text, $5::text, "
           "$6::text[],"
           " $7::bigint, NULL, $8::bytea, NULL)) t",
    .params = 8,
};
static const struct pg_statement refresh = {
    .name = "token_refresh",
    .sql = "SELECT token_refresh($1::bytea, $2::text, $3::bytea, $4::bytea, $5::text, $6::bigint, $7::bytea)",
    .params = 7,
};
static const struct pg_statement of_client = {
    .name = "token_of_client",
    .sql = "SELECT token_of_client($1::text, $2::bytea, $3::bytea, $4::text, $5::bigint, $6::bytea)",
    .params = 6,
};

struct grant_wait {
    struct fleet *f;
    grant_fn *done;
    void *arg;
    char access[FLEET_TOKEN_TEXT_SIZE], refresh[FLEET_TOKEN_TEXT_SIZE];
    uint8_t access_sha256[32], refresh_sha256[32];
    char prefix[TOKEN_PREFIX_SIZE];
    struct fleet_number expires;
};

static struct grant_wait *wait_new(struct fleet *f, grant_fn *done, void *arg)
{
    struct grant_wait *wait = mem_alloc(sizeof *wait);
    char prefix[TOKEN_PREFIX_SIZE];
    wait->f = f;
    wait->done = done;
    wait->arg = arg;
    token_make(wait->access, wait->access_sha256, wait->prefix);
    token_make(wait->refresh, wait->refresh_sha256, prefix);
    return wait;
}

static void on_granted(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct grant_wait *wait = arg;
    struct granted granted = {.access_token = wait->access, .refresh_token = wait->refresh};
    enum fleet_err ferr = fleet_err_of(err, result, "grant");
    const char *code = ferr ? "" : pg_value(result, 0, 0);
    if (!strcmp(code, "reused"))
        token_news_all(wait->f);
    if (!ferr && strcmp(code, "ok") != 0)
        ferr = FLEET_NOT_FOUND;
    wait->done(wait->arg, ferr, ferr ? NULL : &granted);
    bytes_wipe(wait, sizeof *wait);
    free(wait);
}

static struct pg_param expiry(struct grant_wait *wait, const struct grant_wish *wish)
{
    return wish->expires_s ? fleet_int(&wait->expires, (int64_t)wish->expires_s) : pg_text(NULL);
}

void fleet_grant_token(struct fleet *f, const struct fleet_actor *actor, const struct grant_wish *wish,
                       grant_fn *done, void *arg)
{
    struct grant_wait *wait = wait_new(f, done, arg);
    struct fleet_number user;
    struct sql_array scopes;
    sql_array_init(&scopes);
    sql_array_words(&scopes, wish->scopes ? wish->scopes : "");
    struct pg_param params[] = {
        pg_text(actor->user_name),
        fleet_int(&user, actor->user_id),
        pg_bytes(wait->access_sha256, sizeof wait->access_sha256),
        pg_text(wait->prefix),
        pg_text(wish->client),
        pg_text(wish->scopes ? sql_array_end(&scopes) : NULL),
        expiry(wait, wish),
        pg_bytes(wait->refresh_sha256, sizeof wait->refresh_sha256),
    };
    pg_exec(f->pg, &grant, params, fleet_patience_ms(f), PG_AGAIN, on_granted, wait);
    sql_array_deinit(&scopes);
}

void fleet_refresh_token(struct fleet *f, const char *refresh_token, const char *secret,
                         const struct grant_wish *wish, grant_fn *done, void *arg)
{
    struct grant_wait *wait = wait_new(f, done, arg);
    uint8_t old[32], sum[32];
    token_sum(old, refresh_token);
    token_sum(sum, secret ? secret : "");
    struct pg_param params[] = {
        pg_bytes(old, sizeof old),
        pg_text(wish->client),
        secret ? pg_bytes(sum, sizeof sum) : pg_text(NULL),
        pg_bytes(wait->access_sha256, sizeof wait->access_sha256),
        pg_text(wait->prefix),
        expiry(wait, wish),
        pg_bytes(wait->refresh_sha256, sizeof wait->refresh_sha256),
    };
    pg_exec(f->pg, &refresh, params, fleet_patience_ms(f), PG_AGAIN, on_granted, wait);
}

void fleet_grant_client_token(struct fleet *f, const char *client_id, const char *secret,
                              const struct grant_wish *wish, grant_fn *done, void *arg)
{
    struct grant_wait *wait = wait_new(f, done, arg);
    uint8_t sum[32];
    token_sum(sum, secret);
    struct pg_param params[] = {
        pg_text(client_id),
        pg_bytes(sum, sizeof sum),
        pg_bytes(wait->access_sha256, sizeof wait->access_sha256),
        pg_text(wait->prefix),
        expiry(wait, wish),
        pg_bytes(wait->refresh_sha256, sizeof wait->refresh_sha256),
    };
    pg_exec(f->pg, &of_client, params, fleet_patience_ms(f), PG_AGAIN, on_granted, wait);
}
