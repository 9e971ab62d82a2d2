/* api_fake_fleet.h: the fleet and device rooms as the API's test sees them: a few devices, tokens and answers
 * that come from the loop, held back while the test wants that. Included by one test program, whose symbols
 * these are. */
#ifndef CYAN_TESTS_API_FAKE_FLEET_H
#define CYAN_TESTS_API_FAKE_FLEET_H

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "api_fake_plans.h"
#include "base/mem.h"
#include "fleet/device_change.h"
#include "fleet/person_event.h"
#include "fleet/product.h"
#include "fleet/reach.h"
#include "fleet/refusals.h"
#include "fleet/token.h"

#define CORE_ID "51ff69065067545755380687"
#define ADMIN_TOKEN "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OWNER_TOKEN "0000000000000000000000000000000000000001"

struct pending {
    struct pending *next;
    void (*deliver)(struct fleet *f, const struct pending *p);
    void *arg;
    char which[128];
    struct fleet_actor actor;
    bool with_history;
    fleet_devices_fn *on_devices;
    fleet_slice_fn *on_slice;
    struct device_export *export;
    fleet_device_fn *on_device;
    fleet_modules_fn *on_modules;
    fleet_change_fn *on_change;
    fleet_actor_fn *on_actor;
    fleet_tokens_fn *on_tokens;
    fleet_revoke_fn *on_revoke;
    reach_done_fn *on_reached;
    fleet_published_fn *on_published;
    product_found_fn *on_product;
    enum product_need need;
};
struct fleet {
    uv_idle_t idle;
    uv_async_t wake;
    struct pending *first, **last;
    atomic_bool hold, away, device_online;
    atomic_int held;
    enum fleet_err change_err; /* of the next change */
    struct fleet_filter filter;
    uint64_t total; /* 0: one */
    /* of an export: how many devices, each a slice; freed; Postgres is away when so many are left, 0 = never
     */
    unsigned slices, slices_away;
    atomic_uint exports_freed;
    char filter_name[64], name[80], notes[80], revoked[140];
    struct fleet_key key;
    int product_id;
    /* what a device was asked, and what it answers unless it is not online */
    struct reach_question asked;
    char asked_name[80], asked_argument[1100];
    char event[1200];  /* `public|private name=data` of the newest */
    char refused[160]; /* `actor status route` of the newest refusal */
    atomic_int refusals;
    struct device_answer answer;
};
struct devices {
    struct fleet *fleet;
};

static void on_idle(uv_idle_t *idle)
{
    struct fleet *f = idle->data;
    struct pending *p = f->first;

    if (atomic_load(&f->hold) || p == NULL) {
        uv_idle_stop(idle);
        return;
    }
    f->first = p->next;
    if (f->first == NULL)
        f->last = &f->first;
    atomic_fetch_sub(&f->held, 1);
    p->deliver(f, p);
    free(p);
}

static void on_wake(uv_async_t *wake)
{
    struct fleet *f = wake->data;

    uv_idle_start(&f->idle, on_idle);
}

static struct pending *pending_new(struct fleet *f, void (*deliver)(struct fleet *, const struct pending *),
                                   void *arg)
{
    struct pending *p = mem_alloc(sizeof(*p));

    p->deliver = deliver;
    p->arg = arg;
    *f->last = p;
    f->last = &p->next;
    atomic_fetch_add(&f->held, 1);
    uv_idle_start(&f->idle, on_idle);
    return p;
}

static void fake_fleet_init(struct fleet *f, uv_loop_t *loop)
{
    memset(f, 0, sizeof(*f));
    f->last = &f->first;
    uv_idle_init(loop, &f->idle);
    uv_async_init(loop, &f->wake, on_wake);
    f->idle.data = f->wake.data = f;
}

static struct fleet_device fake_device(void)
{
    static const char *const functions[] = {"digitalread"};
    static const struct fleet_name_type variables[] = {
        {"temperature", "double"}, {"count", "int32"}, {"on", "bool"}, {"text", "string"}};
    struct fleet_device d = {.name = "joe_prod_core2", .connected = true, .platform_id = 0, .product_id = -1};

    (void)device_id_parse(&d.id, CORE_ID, 24);
    d.product_version = d.updates_enabled = d.updates_forced = -1;
    d.last_heard_ms = 1404342900409;
    d.requires_deep_update = true;
    d.cc3000_patch_version = "1.23";
    d.status = "normal";
    d.functions = functions;
    d.function_count = 1;
    d.variables = variables;
    d.variable_count = 4;
    return d;
}

static enum fleet_err fake_find(struct fleet *f, const char *which)
{
    if (atomic_load(&f->away))
        return FLEET_AWAY;
    if (strcmp(which, "foreign") == 0)
        return FLEET_FORBIDDEN;
    if (strcmp(which, CORE_ID) == 0 || strcmp(which, "joe_prod_core2") == 0 ||
        strcmp(which, "1000/" CORE_ID) == 0 || strcmp(which, "1000/joe_prod_core2") == 0)
        return FLEET_OK;
    return FLEET_NOT_FOUND;
}

static void deliver_devices(struct fleet *f, const struct pending *p)
{
    struct fleet_device d = fake_device();
    bool away = atomic_load(&f->away);

    struct fleet_page page = {.rows = &d,
                              .count = 1,
                              .total = f->total ? f->total : 1,
                              .counted_ms = f->total ? 1404342900409 : 0,
                              .next = f->total ? CORE_ID "31" : NULL};

    p->on_devices(p->arg, away ? FLEET_AWAY : FLEET_OK, &page);
}
struct device_export {
    struct fleet *f;
    struct pending *asked; /* NULL: nothing is under way */
};
static void deliver_nothing(struct fleet *f, const struct pending *p)
{
    (void)f, (void)p;
}
static void deliver_slice(struct fleet *f, const struct pending *p)
{
    struct fleet_device d = fake_device();
    bool away = atomic_load(&f->away) || (f->slices_away != 0 && f->slices == f->slices_away);

    p->export->asked = NULL;
    f->slices = away ? 0 : f->slices - 1;
    p->on_slice(p->arg, away ? FLEET_AWAY : FLEET_OK, &d, away ? 0 : 1, f->slices == 0);
}
static void deliver_device(struct fleet *f, const struct pending *p)
{
    struct fleet_device d = fake_device();
    enum fleet_err err = fake_find(f, p->which);

    p->on_device(p->arg, err, err == FLEET_OK ? &d : NULL);
}
static void deliver_modules(struct fleet *f, const struct pending *p)
{
    static const struct fleet_module modules[] = {{.function = 's',
                                                   .index = 1,
                                                   .version = 2302,
                                                   .valid = true,
                                                   .dependencies = "[{\"f\":\"b\",\"n\":\"0\",\"v\":501}]",
                                                   .seen_ms = 1404342900409}};
    static const struct fleet_module_change history[] = {
        {.function = 'c', .old_version = 3, .new_version = 5, .cause = "describe", .at_ms = 1404342900409}};
    struct fleet_device d = fake_device();

    p->on_modules(p->arg, fake_find(f, p->which), &d.id, modules, 1, history, p->with_history ? 1 : 0);
}
static void deliver_change(struct fleet *f, const struct pending *p)
{
    struct fleet_device d = fake_device();
    enum fleet_err err = f->change_err != FLEET_OK ? f->change_err : fake_find(f, p->which);

    f->change_err = FLEET_OK;
    p->on_change(p->arg, err, err == FLEET_OK ? &d : NULL, err == FLEET_CONFLICT ? "That is taken." : "");
}
static void deliver_actor(struct fleet *f, const struct pending *p)
{
    struct fleet_actor actor = {.user_id = 7, .user_name = "joe", .token_id = 70, .role = FLEET_OWNER};

    if (strcmp(p->which, ADMIN_TOKEN) == 0)
        actor.role = FLEET_ADMIN;
    else if (strcmp(p->which, OWNER_TOKEN) != 0) {
        p->on_actor(p->arg, FLEET_NOT_FOUND, NULL);
        return;
    }
    p->on_actor(p->arg, atomic_load(&f->away) ? FLEET_AWAY : FLEET_OK, &actor);
}
static void deliver_tokens(struct fleet *f, const struct pending *p)
{
    static const struct fleet_token_row rows[] = {
        {.id = 69, .prefix = "abcdef", .user = "joe", .client = "cli", .role = FLEET_OWNER},
        {.id = 70, .prefix = "aaaaaa", .user = "joe", .role = FLEET_ADMIN, .expires_ms = 1404342900409}};

    (void)f;
    p->on_tokens(p->arg, FLEET_OK, rows, 2);
}
static void deliver_revoke(struct fleet *f, const struct pending *p)
{
    (void)f;
    p->on_revoke(p->arg, strcmp(p->which, "nosuchtoken") == 0 ? FLEET_NOT_FOUND : FLEET_OK, 1);
}
static void deliver_reached(struct fleet *f, const struct pending *p)
{
    static const struct device_answer gone = {.ask = DEVICE_NOT_CONNECTED};

    p->on_reached(p->arg, atomic_load(&f->device_online) ? &f->answer : &gone);
}

static void deliver_published(struct fleet *f, const struct pending *p)
{
    enum fleet_err err = f->change_err;

    f->change_err = FLEET_OK;
    p->on_published(p->arg, err, err == FLEET_INVALID ? "name is not acceptable." : "");
}

/* Product 1000, `kitchen`, is the actor's to look at; to manage for the admin. */
static void deliver_product(struct fleet *f, const struct pending *p)
{
    enum fleet_err err = FLEET_NOT_FOUND;

    if (atomic_load(&f->away))
        err = FLEET_AWAY;
    else if (strcmp(p->which, "1000") == 0 || strcmp(p->which, "kitchen") == 0)
        err = p->need == PRODUCT_VIEW || p->actor.role == FLEET_ADMIN ? FLEET_OK : FLEET_FORBIDDEN;
    p->on_product(p->arg, err, err == FLEET_OK ? 1000 : 0);
}

static void set_which(struct pending *p, const char *which)
{
    snprintf(p->which, sizeof(p->which), "%s", which);
}

bool fleet_is_up(const struct fleet *f)
{
    return !atomic_load(&f->away);
}
const char *fleet_role_name(enum fleet_role role)
{
    static const char *const names[] = {"owner", "operator", "admin"};

    return names[role];
}
void fleet_list_devices(struct fleet *f, const struct fleet_actor *actor, const struct fleet_filter *filter,
                        fleet_devices_fn *done, void *arg)
{
    (void)actor;
    f->filter = *filter;
    snprintf(f->filter_name, sizeof(f->filter_name), "%s", filter->name != NULL ? filter->name : "");
    pending_new(f, deliver_devices, arg)->on_devices = done;
}
struct device_export *fleet_export_devices(struct fleet *f, const struct fleet_actor *actor,
                                           const struct fleet_filter *filter)
{
    struct device_export *e = mem_alloc(sizeof(*e));

    (void)actor;
    e->f = f;
    f->filter = *filter;
    f->slices = f->total ? (unsigned)f->total : 1;
    return e;
}
int64_t fleet_export_total(const struct device_export *e)
{
    return e->f->total ? -1 : 1;
}
void fleet_export_next(struct device_export *e, fleet_slice_fn *done, void *arg)
{
    e->asked = pending_new(e->f, deliver_slice, arg);
    e->asked->on_slice = done;
    e->asked->export = e;
}
void fleet_export_free(struct device_export *e)
{
    e->f->exports_freed++;
    if (e->asked != NULL)
        e->asked->deliver = deliver_nothing;
    free(e);
}
void fleet_get_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                      fleet_device_fn *done, void *arg)
{
    struct pending *p = pending_new(f, deliver_device, arg);

    (void)actor;
    set_which(p, which);
    p->on_device = done;
}
void fleet_get_modules(struct fleet *f, const struct fleet_actor *actor, const char *which, bool with_history,
                       fleet_modules_fn *done, void *arg)
{
    struct pending *p = pending_new(f, deliver_modules, arg);

    (void)actor;
    set_which(p, which);
    p->with_history = with_history;
    p->on_modules = done;
}
static void change(struct fleet *f, const char *which, fleet_change_fn *done, void *arg)
{
    struct pending *p = pending_new(f, deliver_change, arg);

    set_which(p, which);
    p->on_change = done;
}
void fleet_update_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                         const char *name, const char *notes, fleet_change_fn *done, void *arg)
{
    (void)actor;
    snprintf(f->name, sizeof(f->name), "%s", name != NULL ? name : "(left)");
    snprintf(f->notes, sizeof(f->notes), "%s", notes != NULL ? notes : "(left)");
    change(f, which, done, arg);
}
void fleet_claim_device(struct fleet *f, const struct fleet_actor *actor, const struct device_id *id,
                        fleet_change_fn *done, void *arg)
{
    char text[DEVICE_ID_TEXT_SIZE];

    (void)actor;
    device_id_format(text, id);
    change(f, text, done, arg);
}
void fleet_unclaim_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                          fleet_change_fn *done, void *arg)
{
    (void)actor;
    change(f, which, done, arg);
}
bool fleet_key_from_pem(struct fleet_key *key, const char *pem, size_t pem_len, const char **why)
{
    *why = "That is not a public key.";
    key->kind = FLEET_KEY_P256;
    key->data_len = pem_len;
    memcpy(key->data, pem, pem_len < sizeof(key->data) ? pem_len : sizeof(key->data));
    return strstr(pem, "BEGIN PUBLIC KEY") != NULL;
}
bool fleet_key_from_hex(struct fleet_key *key, const char *hex, const char **why)
{
    *why = "That is not hex.";
    key->kind = FLEET_KEY_PSK;
    key->data_len = strlen(hex) / 2;
    return strspn(hex, "0123456789abcdef") == strlen(hex);
}
void fleet_provision_device(struct fleet *f, const struct fleet_actor *actor, const struct device_id *id,
                            const struct fleet_key *key, int product_id, fleet_change_fn *done, void *arg)
{
    char text[DEVICE_ID_TEXT_SIZE];

    (void)actor;
    f->key = *key;
    f->product_id = product_id;
    device_id_format(text, id);
    change(f, text, done, arg);
}
void fleet_check_token(struct fleet *f, const char *token, fleet_actor_fn *done, void *arg)
{
    struct pending *p = pending_new(f, deliver_actor, arg);

    set_which(p, token);
    p->on_actor = done;
}
void fleet_list_tokens(struct fleet *f, const struct fleet_actor *actor, fleet_tokens_fn *done, void *arg)
{
    (void)actor;
    pending_new(f, deliver_tokens, arg)->on_tokens = done;
}
void fleet_revoke_token(struct fleet *f, const char *token, fleet_revoke_fn *done, void *arg)
{
    struct pending *p = pending_new(f, deliver_revoke, arg);

    snprintf(f->revoked, sizeof(f->revoked), "%s", token);
    set_which(p, token);
    p->on_revoke = done;
}
void fleet_revoke_all_tokens(struct fleet *f, const struct fleet_actor *actor, fleet_revoke_fn *done,
                             void *arg)
{
    struct pending *p = pending_new(f, deliver_revoke, arg);

    (void)actor;
    snprintf(f->revoked, sizeof(f->revoked), "all");
    p->on_revoke = done;
}

void fleet_refused(struct fleet *f, const struct refusal *refusal)
{
    snprintf(f->refused, sizeof(f->refused), "%s %u %s", refusal->actor != NULL ? refusal->actor : "-",
             refusal->status, refusal->route);
    atomic_fetch_add(&f->refusals, 1);
}

void fleet_find_product(struct fleet *f, const struct fleet_actor *actor, const char *which,
                        enum product_need need, product_found_fn *done, void *arg)
{
    struct pending *p = pending_new(f, deliver_product, arg);

    p->actor = *actor;
    set_which(p, which);
    p->need = need;
    p->on_product = done;
}

size_t devices_online_count(const struct devices *all)
{
    return atomic_load(&all->fleet->device_online) ? 1 : 0;
}
struct nodes *fleet_nodes(const struct fleet *f)
{
    (void)f;
    return NULL;
}
uint32_t fleet_node_id(const struct fleet *f)
{
    (void)f;
    return 3;
}
void fleet_publish(struct fleet *f, const struct fleet_actor *actor, const struct person_event *event,
                   fleet_published_fn *done, void *arg)
{
    (void)actor;
    snprintf(f->event, sizeof(f->event), "%s %s=%s", event->is_public ? "public" : "private", event->name,
             event->data);
    pending_new(f, deliver_published, arg)->on_published = done;
}
struct reach *fleet_reach(struct fleet *f)
{
    return (struct reach *)f; /* never looked into */
}
void reach_ask(struct reach *reach, const struct device_id *id, const struct reach_question *question,
               reach_done_fn *done, void *arg)
{
    struct fleet *f = (struct fleet *)reach;

    (void)id;
    f->asked = *question;
    snprintf(f->asked_name, sizeof(f->asked_name), "%s", question->name != NULL ? question->name : "");
    snprintf(f->asked_argument, sizeof(f->asked_argument), "%s",
             question->argument != NULL ? question->argument : "");
    pending_new(f, deliver_reached, arg)->on_reached = done;
}

#endif
