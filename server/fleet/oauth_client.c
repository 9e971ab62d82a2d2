#include "fleet/oauth_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "fleet/answer_text.h"
#include "fleet/slug.h"
#include "fleet/sql_array.h"
#include "fleet/token.h"
#include "fleet/token_news.h"

static const struct pg_statement list_clients = {
    .name = "oauth_client_list",
    .sql = "SELECT coalesce(jsonb_agg(oauth_client_json(c) ORDER BY c.created_at, c.id), '[]') FROM "
           "oauth_client c"
           " WHERE CASE WHEN $2::integer IS NULL THEN c.user_id = $1::bigint AND c.product_id IS NULL"
           " ELSE c.product_id = $2::integer END",
    .params = 2,
};
static const struct pg_statement create_client = {
    .name = "oauth_client_create",
    .sql = "SELECT oauth_client_create($1::text, $2::bigint, $3::integer, $4::text, $5::text, $6::text,"
           " $7::text[], $8::text, $9::bytea)",
    .params = 9,
};
static const struct pg_statement delete_client = {
    .name = "oauth_client_delete",
    .sql = "SELECT nullif(oauth_client_delete($1::text, $2::bigint, $3::integer, $4::text), false)",
    .params = 4,
};

struct client_wait {
    struct fleet *f;
    oauth_clients_fn *on_list;
    oauth_client_fn *on_made;
    oauth_client_gone_fn *on_gone;
    void *arg;
    char secret[FLEET_TOKEN_TEXT_SIZE];
};

static struct client_wait *wait_new(struct fleet *f, void *arg)
{
    struct client_wait *wait = mem_alloc(sizeof *wait);
    wait->f = f;
    wait->arg = arg;
    return wait;
}

static struct pg_param product_of(struct fleet_number *n, int32_t product)
{
    return product ? fleet_int(n, product) : pg_text(NULL);
}

static void on_listed(void *arg, enum fleet_err err, const char *text)
{
    struct client_wait wait = *(struct client_wait *)arg;
    free(arg);
    wait.on_list(wait.arg, err, text);
}

void fleet_list_clients(struct fleet *f, const struct fleet_actor *actor, int32_t product,
                        oauth_clients_fn *done, void *arg)
{
    struct client_wait *wait = wait_new(f, arg);
    struct fleet_number user, which;
    struct pg_param params[] = {fleet_int(&user, actor->user_id), product_of(&which, product)};
    wait->on_list = done;
    answer_text(f, &list_clients, params, PG_RETRY, on_listed, wait);
}

static void on_made(void *arg, enum fleet_err err, const char *text)
{
    struct client_wait *wait = arg;
    wait->on_made(wait->arg, err == FLEET_NOT_FOUND ? FLEET_CONFLICT : err, text, err ? NULL : wait->secret);
    bytes_wipe(wait, sizeof *wait);
    free(wait);
}

void fleet_create_client(struct fleet *f, const struct fleet_actor *actor, int32_t product,
                         const struct oauth_client_wish *wish, oauth_client_fn *done, void *arg)
{
    struct client_wait *wait = wait_new(f, arg);
    struct fleet_number user, which;
    char id[SLUG_SIZE], prefix[TOKEN_PREFIX_SIZE];
    uint8_t sum[32];
    struct sql_array scopes;
    slug_with_random(id, wish->name, "client");
    token_make(wait->secret, sum, prefix);
    sql_array_init(&scopes);
    sql_array_words(&scopes, wish->scopes ? wish->scopes : "");
    struct pg_param params[] = {
        pg_text(actor->user_name),
        fleet_int(&user, actor->user_id),
        product_of(&which, product),
        pg_text(id),
        pg_text(wish->name),
        pg_text(wish->type),
        pg_text(wish->scopes ? sql_array_end(&scopes) : NULL),
        pg_text(wish->redirect_uri),
        pg_bytes(sum, sizeof sum),
    };
    wait->on_made = done;
    answer_text(f, &create_client, params, PG_AGAIN, on_made, wait);
    sql_array_deinit(&scopes);
}

static void on_deleted(void *arg, enum fleet_err err, const char *text)
{
    struct client_wait wait = *(struct client_wait *)arg;
    (void)text;
    free(arg);
    token_news_all(wait.f);
    wait.on_gone(wait.arg, err);
}

void fleet_delete_client(struct fleet *f, const struct fleet_actor *actor, int32_t product, const char *id,
                         oauth_client_gone_fn *done, void *arg)
{
    struct client_wait *wait = wait_new(f, arg);
    struct fleet_number user, which;
    struct pg_param params[] = {pg_text(actor->user_name), fleet_int(&user, actor->user_id),
                                product_of(&which, product), pg_text(id)};
    wait->on_gone = done;
    answer_text(f, &delete_client, params, PG_AGAIN, on_deleted, wait);
}
