/* account_bench.h: what a fleet is asked for people: tokens, each call waited for, and refusals. Included by
 * the tests of accounts. */
#ifndef CYAN_TESTS_ACCOUNT_BENCH_H
#define CYAN_TESTS_ACCOUNT_BENCH_H

#include <string.h>

#include "fleet/grant.h"
#include "fleet/refusals.h"
#include "fleet_fixture.h"

#define HOME "192.0.2.1"

struct got {
    int calls;
    enum fleet_err err;
    char access[FLEET_TOKEN_TEXT_SIZE], refresh[FLEET_TOKEN_TEXT_SIZE];
};

static inline void on_granted(void *arg, enum fleet_err err, const struct granted *granted)
{
    struct got *g = arg;
    g->calls++;
    g->err = err;
    assert_true((err == FLEET_OK) == (granted != NULL));
    if (!granted)
        return;
    snprintf(g->access, sizeof g->access, "%s", granted->access_token);
    snprintf(g->refresh, sizeof g->refresh, "%s", granted->refresh_token);
}

static inline struct got grant(struct fleet_fixture *fx, const struct fleet_actor *actor,
                               struct grant_wish wish)
{
    struct got g = {0};
    fleet_grant_token(fx->fleet, actor, &wish, on_granted, &g);
    fleet_run_until(fx, g.calls);
    return g;
}

static inline struct got refresh(struct fleet_fixture *fx, const char *token, struct grant_wish wish)
{
    struct got g = {0};
    fleet_refresh_token(fx->fleet, token, NULL, &wish, on_granted, &g);
    fleet_run_until(fx, g.calls);
    return g;
}

struct checked {
    int calls;
    enum fleet_err err;
    struct fleet_actor actor;
};

static inline void on_checked(void *arg, enum fleet_err err, const struct fleet_actor *actor)
{
    struct checked *c = arg;
    c->calls++;
    c->err = err;
    if (actor)
        c->actor = *actor;
}

static inline struct checked check(struct fleet_fixture *fx, const char *token)
{
    struct checked c = {0};
    fleet_check_token(fx->fleet, token, on_checked, &c);
    fleet_run_until(fx, c.calls);
    return c;
}

static inline void refuse(struct fleet_fixture *fx, const char *actor, const char *address, unsigned status)
{
    fleet_refused(fx->fleet, &(struct refusal){.actor = actor,
                                               .address = address,
                                               .route = "GET /v1/devices/:device",
                                               .status = status,
                                               .why = "Permission Denied",
                                               .device = "kitchen"});
}

#endif
