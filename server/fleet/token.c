/* token.c: access tokens in the registry. Only their SHA-256 is known here once they have been shown. */
#include "fleet/token.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "fleet/token_cache.h"
#include "fleet/token_news.h"

#define TOKEN_MAX 128 /* rest-api 0.3: any opaque text up to this */

/* last_used_at once a minute, so that reading does not become writing. */
static const struct pg_statement check_token = {
    .name = "check_token",
    .sql =
        "WITH t AS (SELECT t.id, t.user_id, u.name, u.role, to_ms(t.expires_at) - to_ms(now()) AS left_ms,"
        " t.scopes IS NOT NULL AS has_scopes, array_to_string(t.scopes, ' ') AS scopes,"
        " coalesce(u.api_user_of, t.product_id, 0) AS confined_to,"
        " t.revoked_at IS NOT NULL OR coalesce(t.expires_at <= now(), false) AS is_dead"
        " FROM access_token t JOIN users u ON u.id = t.user_id WHERE t.sha256 = $1::bytea),"
        " used AS (UPDATE access_token a SET last_used_at = now() FROM t WHERE a.id = t.id AND NOT t.is_dead"
        " AND (a.last_used_at IS NULL OR a.last_used_at < now() - interval '1 minute'))"
        " SELECT id, user_id, name, role, left_ms, has_scopes, scopes, confined_to, is_dead FROM t",
    .params = 1,
};
static const struct pg_statement list_tokens = {
    .name = "list_tokens",
    .sql = "SELECT t.id, t.prefix, u.name, t.client, u.role, to_ms(t.created_at), to_ms(t.expires_at),"
           " to_ms(t.last_used_at), array_to_string(t.scopes, ' ') FROM access_token t JOIN users u ON u.id "
           "= t.user_id WHERE t.revoked_at "
           "IS NULL"
           " AND (t.expires_at IS NULL OR t.expires_at > now()) AND ($2::boolean OR t.user_id = $1::bigint)"
           " ORDER BY t.id = $3::bigint DESC, t.id LIMIT 10000",
    .params = 3,
};
/* What would make new ones of it ends with it. */
#define AND_WHAT_FOLLOWS                                                                                     \
    "refresh AS (UPDATE refresh_token r SET revoked_at = now() FROM gone WHERE r.family = gone.family"       \
    " AND r.revoked_at IS NULL), said AS (INSERT INTO audit (actor, action, target)"                         \
    " SELECT name, 'token.revoke', 'token ' || id FROM gone) SELECT count(*) FROM gone"
static const struct pg_statement revoke_token = {
    .name = "revoke_token",
    .sql = "WITH gone AS (UPDATE access_token t SET revoked_at = now() FROM users u WHERE u.id = t.user_id"
           " AND t.sha256 = $1::bytea AND t.revoked_at IS NULL RETURNING t.id, t.family, "
           "u.name), " AND_WHAT_FOLLOWS,
    .params = 1,
};
static const struct pg_statement revoke_all = {
    .name = "revoke_all_tokens",
    .sql = "WITH gone AS (UPDATE access_token t SET revoked_at = now() FROM users u WHERE u.id = t.user_id"
           " AND t.user_id = $1::bigint AND t.revoked_at IS NULL RETURNING t.id, t.family, "
           "u.name), " AND_WHAT_FOLLOWS,
    .params = 1,
};

void token_sum(uint8_t sha256[32], const char *token)
{
    SHA256((const uint8_t *)token, strlen(token), sha256);
}

void token_make(char text[FLEET_TOKEN_TEXT_SIZE], uint8_t sha256[32], char prefix[TOKEN_PREFIX_SIZE])
{
    uint8_t random[20];
    random_bytes(random, sizeof random);
    hex_encode(text, random, sizeof random);
    bytes_wipe(random, sizeof random);
    token_sum(sha256, text);
    snprintf(prefix, TOKEN_PREFIX_SIZE, "%.6s", text);
}

/* --- check --- */

struct check {
    struct fleet *f;
    fleet_actor_fn *done;
    void *arg;
    uint8_t sha256[32];
    uint64_t generation;
    enum fleet_err err; /* of answer_now */
    struct fleet_actor actor;
};

static void answer_now(void *ctx)
{
    struct check check = *(struct check *)ctx;
    free(ctx);
    check.done(check.arg, check.err, check.err ? NULL : &check.actor);
}

static bool read_actor(struct fleet_actor *actor, const struct pg_result *result)
{
    actor->token_id = pg_int(result, 0, 0);
    actor->user_id = pg_int(result, 0, 1);
    snprintf(actor->user_name, sizeof actor->user_name, "%s", pg_value(result, 0, 2));
    actor->has_scopes = pg_bool(result, 0, 5);
    actor->confined_to = (int32_t)pg_int(result, 0, 7);
    if (strlen(pg_value(result, 0, 6)) >= sizeof actor->scopes) /* cut it would be another list */
        return false;
    snprintf(actor->scopes, sizeof actor->scopes, "%s", pg_value(result, 0, 6));
    return fleet_role_parse(&actor->role, pg_value(result, 0, 3));
}

static void on_checked(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct check check = *(struct check *)arg;
    bool is_known;
    free(arg);
    check.err = fleet_err_of(err, result, "check_token");
    is_known = check.err == FLEET_OK && pg_rows(result) > 0 && read_actor(&check.actor, result);
    if (check.err == FLEET_OK && (!is_known || pg_bool(result, 0, 8)))
        check.err = FLEET_NOT_FOUND;
    if (check.err == FLEET_OK && check.generation == token_cache_generation(check.f->tokens)) {
        uint64_t left_ms = pg_is_null(result, 0, 4) ? UINT64_MAX : (uint64_t)pg_int(result, 0, 4);
        token_cache_put(check.f->tokens, check.sha256, clock_ms(), left_ms, &check.actor);
    }
    check.done(check.arg, check.err, is_known ? &check.actor : NULL);
}

void fleet_check_token(struct fleet *f, const char *token, fleet_actor_fn *done, void *arg)
{
    struct check *check = mem_alloc(sizeof *check);
    check->f = f;
    check->done = done;
    check->arg = arg;
    if (!*token || strlen(token) > TOKEN_MAX) {
        check->err = FLEET_NOT_FOUND;
        later_push(&f->later, answer_now, check);
        return;
    }
    token_sum(check->sha256, token);
    if (token_cache_get(f->tokens, check->sha256, clock_ms(), &check->actor)) {
        later_push(&f->later, answer_now, check);
        return;
    }
    check->generation = token_cache_generation(f->tokens);
    pg_exec(f->pg, &check_token, (struct pg_param[]){pg_bytes(check->sha256, sizeof check->sha256)},
            fleet_patience_ms(f), PG_RETRY, on_checked, check);
}

/* --- list --- */

struct list_wait {
    fleet_tokens_fn *done;
    void *arg;
};

static void on_listed(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct list_wait wait = *(struct list_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "list_tokens");
    free(arg);
    if (ferr) {
        wait.done(wait.arg, ferr, NULL, 0);
        return;
    }
    size_t count = (size_t)pg_rows(result);
    struct fleet_token_row *rows = mem_array(count ? count : 1, sizeof *rows);
    for (int i = 0; i < (int)count; i++) {
        rows[i] = (struct fleet_token_row){
            .id = pg_int(result, i, 0),
            .prefix = pg_value(result, i, 1),
            .user = pg_value(result, i, 2),
            .client = pg_is_null(result, i, 3) ? NULL : pg_value(result, i, 3),
            .created_ms = (uint64_t)pg_int(result, i, 5),
            .expires_ms = (uint64_t)pg_int(result, i, 6),
            .last_used_ms = (uint64_t)pg_int(result, i, 7),
            .scopes = pg_is_null(result, i, 8) ? NULL : pg_value(result, i, 8),
        };
        must(fleet_role_parse(&rows[i].role, pg_value(result, i, 4)));
    }
    wait.done(wait.arg, FLEET_OK, rows, count);
    free(rows);
}

void fleet_list_tokens(struct fleet *f, const struct fleet_actor *actor, fleet_tokens_fn *done, void *arg)
{
    struct list_wait *wait = mem_alloc(sizeof *wait);
    struct fleet_number user, current;
    *wait = (struct list_wait){.done = done, .arg = arg};
    struct pg_param params[] = {fleet_int(&user, actor->user_id), fleet_bool(actor->role == FLEET_ADMIN),
                                fleet_int(&current, actor->token_id)};
    pg_exec(f->pg, &list_tokens, params, fleet_patience_ms(f), PG_RETRY, on_listed, wait);
}

/* --- revoke --- */

struct revoke_wait {
    struct fleet *f;
    fleet_revoke_fn *done;
    void *arg;
    bool is_one;
    uint8_t sha256[32]; /* when is_one */
};

static void on_revoked(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct revoke_wait wait = *(struct revoke_wait *)arg;
    enum fleet_err ferr = fleet_err_of(err, result, "revoke_token");
    free(arg);
    if (wait.is_one) /* also what was asked for meanwhile */
        token_news_one(wait.f, wait.sha256);
    else
        token_news_all(wait.f);
    wait.done(wait.arg, ferr, ferr ? 0 : (uint64_t)pg_int(result, 0, 0));
}

static struct revoke_wait *revoke_wait_new(struct fleet *f, fleet_revoke_fn *done, void *arg)
{
    struct revoke_wait *wait = mem_alloc(sizeof *wait);
    *wait = (struct revoke_wait){.f = f, .done = done, .arg = arg};
    return wait;
}

void fleet_revoke_token(struct fleet *f, const char *token, fleet_revoke_fn *done, void *arg)
{
    struct revoke_wait *wait = revoke_wait_new(f, done, arg);
    wait->is_one = true;
    token_sum(wait->sha256, token);
    token_cache_drop(f->tokens, wait->sha256);
    pg_exec(f->pg, &revoke_token, (struct pg_param[]){pg_bytes(wait->sha256, sizeof wait->sha256)},
            fleet_patience_ms(f), PG_AGAIN, on_revoked, wait);
}

void fleet_revoke_all_tokens(struct fleet *f, const struct fleet_actor *actor, fleet_revoke_fn *done,
                             void *arg)
{
    struct fleet_number user;
    token_cache_clear(f->tokens);
    pg_exec(f->pg, &revoke_all, (struct pg_param[]){fleet_int(&user, actor->user_id)}, fleet_patience_ms(f),
            PG_AGAIN, on_revoked, revoke_wait_new(f, done, arg));
}

/* --- create, before the loop runs --- */

int fleet_create_token_sync(struct pg_sync *s, const char *user, enum fleet_role role, uint64_t expires_s,
                            char text[FLEET_TOKEN_TEXT_SIZE], char *why, size_t why_size)
{
    static const char sql[] =
        "WITH who AS (INSERT INTO users (name, role) VALUES ($1::text, $2::text) ON CONFLICT (name) DO UPDATE"
        " SET role = excluded.role RETURNING id, name), made AS (INSERT INTO access_token (user_id, sha256, "
        "prefix, client,"
        " expires_at) SELECT id, $3::bytea, $4::text, 'cyand', now() + $5::bigint * interval '1 s' FROM who "
        "RETURNING id)"
        " INSERT INTO audit (actor, action, target, after) SELECT 'command', 'token.create', 'token ' || "
        "made.id,"
        " jsonb_build_object('user', who.name, 'role', $2::text) FROM made, who";
    uint8_t sha256[32];
    char prefix[TOKEN_PREFIX_SIZE];
    struct fleet_number expires;
    struct pg_result *result;
    if (!*user || strlen(user) > 64) {
        snprintf(why, why_size, "a user name has 1 to 64 bytes");
        return -1;
    }
    if (expires_s > 100ull * 366 * 86400) {
        snprintf(why, why_size, "a token lives at most 100 years; 0 means for ever");
        return -1;
    }
    token_make(text, sha256, prefix);
    struct pg_param params[] = {
        pg_text(user),
        pg_text(fleet_role_name(role)),
        pg_bytes(sha256, sizeof sha256),
        pg_text(prefix),
        expires_s ? fleet_int(&expires, (int64_t)expires_s) : pg_text(NULL),
    };
    if (pg_sync_exec(s, sql, params, 5, &result, why, why_size) != 0)
        return -1;
    pg_sync_free(result);
    return 0;
}
