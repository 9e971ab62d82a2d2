#include "fleet/team.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "fleet/answer_text.h"
#include "fleet/scope.h"
#include "fleet/slug.h"
#include "fleet/sql_array.h"
#include "fleet/token.h"
#include "fleet/token_news.h"

static const struct pg_statement list_team = {
    .name = "team_list",
    .sql = "SELECT team_json($1::integer)",
    .params = 1,
};
static const struct pg_statement set_member = {
    .name = "team_set",
    .sql = "SELECT team_set($1::bigint, $2::text, $3::boolean, $4::integer, $5::text, $6::text)",
    .params = 6,
};
static const struct pg_statement remove_member = {
    .name = "team_remove",
    .sql = "SELECT team_remove($1::bigint, $2::text, $3::boolean, $4::integer, $5::text)",
    .params = 5,
};
static const struct pg_statement add_api_user = {
    .name = "team_add_api_user",
    .sql = "SELECT team_add_api_user($1::bigint, $2::text, $3::boolean, $4::integer, $5::text, $6::text,"
           " $7::text[], $8::text, $9::bytea, $10::text)",
    .params = 10,
};

struct team_wait {
    struct fleet *f;
    team_list_fn *on_list;
    team_change_fn *on_change;
    team_api_user_fn *on_api_user;
    void *arg;
    char username[SLUG_SIZE + 4], token[FLEET_TOKEN_TEXT_SIZE];
};

static struct team_wait *wait_new(struct fleet *f, void *arg)
{
    struct team_wait *wait = mem_alloc(sizeof *wait);
    wait->f = f;
    wait->arg = arg;
    return wait;
}

static bool sees_all(const struct fleet_actor *actor)
{
    return actor->role != FLEET_OWNER;
}

static void on_listed(void *arg, enum fleet_err err, const char *text)
{
    struct team_wait wait = *(struct team_wait *)arg;
    free(arg);
    wait.on_list(wait.arg, err, text);
}

void fleet_list_team(struct fleet *f, int32_t product, team_list_fn *done, void *arg)
{
    struct team_wait *wait = wait_new(f, arg);
    struct fleet_number which;
    wait->on_list = done;
    answer_text(f, &list_team, (struct pg_param[]){fleet_int(&which, product)}, PG_RETRY, on_listed, wait);
}

static enum fleet_err err_of(enum fleet_err err, const char *code, const char **why)
{
    *why = "";
    if (err || !strcmp(code, "ok"))
        return err;
    if (!strcmp(code, "forbidden")) {
        *why = "The team of a product is its owner's to change.";
        return FLEET_FORBIDDEN;
    }
    if (!strcmp(code, "owner")) {
        *why = "That is the owner of the product.";
        return FLEET_CONFLICT;
    }
    if (!strcmp(code, "full")) {
        *why = "A team has at most 1000 members.";
        return FLEET_CONFLICT;
    }
    *why = "There is no such user.";
    return FLEET_NOT_FOUND;
}

static void on_changed(void *arg, enum fleet_err err, const char *text)
{
    struct team_wait wait = *(struct team_wait *)arg;
    const char *why;
    free(arg);
    token_news_all(wait.f);
    err = err_of(err, text, &why);
    wait.on_change(wait.arg, err, why);
}

void fleet_add_member(struct fleet *f, const struct fleet_actor *actor, int32_t product, const char *username,
                      bool manages, team_change_fn *done, void *arg)
{
    struct team_wait *wait = wait_new(f, arg);
    struct fleet_number user, which;
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id), pg_text(actor->user_name), fleet_bool(sees_all(actor)),
        fleet_int(&which, product),       pg_text(username),         pg_text(manages ? "manage" : "view")};
    wait->on_change = done;
    answer_text(f, &set_member, params, PG_AGAIN, on_changed, wait);
}

void fleet_remove_member(struct fleet *f, const struct fleet_actor *actor, int32_t product,
                         const char *username, team_change_fn *done, void *arg)
{
    struct team_wait *wait = wait_new(f, arg);
    struct fleet_number user, which;
    struct pg_param params[] = {fleet_int(&user, actor->user_id), pg_text(actor->user_name),
                                fleet_bool(sees_all(actor)), fleet_int(&which, product), pg_text(username)};
    wait->on_change = done;
    answer_text(f, &remove_member, params, PG_AGAIN, on_changed, wait);
}

static void on_api_user(void *arg, enum fleet_err err, const char *text)
{
    struct team_wait *wait = arg;
    struct api_user user = {.username = wait->username, .token = wait->token};
    const char *why;
    err = err_of(err, text, &why);
    wait->on_api_user(wait->arg, err, err ? NULL : &user, why);
    bytes_wipe(wait, sizeof *wait);
    free(wait);
}

void fleet_add_api_user(struct fleet *f, const struct fleet_actor *actor, int32_t product,
                        const char *friendly_name, const char *scopes, team_api_user_fn *done, void *arg)
{
    struct team_wait *wait = wait_new(f, arg);
    struct fleet_number user, which;
    char slug[SLUG_SIZE], prefix[TOKEN_PREFIX_SIZE];
    uint8_t sum[32];
    struct sql_array list;
    slug_with_random(slug, friendly_name, "user");
    snprintf(wait->username, sizeof wait->username, "%s@api", slug);
    token_make(wait->token, sum, prefix);
    sql_array_init(&list);
    sql_array_words(&list, scopes);
    struct pg_param params[] = {
        fleet_int(&user, actor->user_id), pg_text(actor->user_name),
        fleet_bool(sees_all(actor)),      fleet_int(&which, product),
        pg_text(wait->username),          pg_text(friendly_name),
        pg_text(sql_array_end(&list)),    pg_text(scope_only_reads(scopes) ? "view" : "manage"),
        pg_bytes(sum, sizeof sum),        pg_text(prefix),
    };
    wait->on_api_user = done;
    answer_text(f, &add_api_user, params, PG_AGAIN, on_api_user, wait);
    sql_array_deinit(&list);
}
