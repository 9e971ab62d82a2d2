/* hooks.h: webhooks: made and looked at by people, and delivered by every node, at least once.
 *
 *   delivery: waiting --claimed by a node--> sending --2xx--> delivered
 *             waiting <--failed, or the lease ran out-- sending --no use, or too often--> dead
 *
 * All state is in Postgres (migrations/0021); what is here is the requests under way. A node that dies leaves
 * rows with leases, which any other takes up; so a receiver may hear of one event twice, and tells by the
 * header X-Cyan-Delivery. docs/webhooks.md is the side of people.
 *
 * Ownership: made by node.c; borrows all it is given, which outlives it. Loop thread only. */
#ifndef CYAN_HOOK_HOOKS_H
#define CYAN_HOOK_HOOKS_H

#include <jansson.h>
#include <uv.h>

#include "fleet/fleet.h"
#include "hook/seal.h"

struct hook_settings {
    bool allow_private;       /* targets may be in closed networks */
    uint32_t in_flight;       /* requests of this node at the same time, at most */
    uint32_t per_host;        /* of these, to one host and port */
    uint32_t timeout_s;       /* of one request */
    uint32_t backoff_s;       /* from the first failure to the next attempt; doubles */
    uint32_t attempts_max;    /* then a delivery is dead */
    uint32_t backlog_max;     /* deliveries of one webhook that wait; older ones are dropped */
    uint64_t keep_s;          /* how long ended deliveries can be looked at */
    uint64_t disable_after_s; /* without a success while others failed: the webhook is disabled */
};

struct hooks;
/* conninfo: of the same database as pg; deliveries have a connection of their own, so that no device waits
 * for them. key: SEAL_KEY_BYTES that follow from the server's key; copied. */
struct hooks *hooks_new(uv_loop_t *loop, const char *conninfo, struct pg *pg, struct fleet *fleet,
                        struct deadlines *deadlines, struct metrics *metrics,
                        const struct hook_settings *settings, const uint8_t key[SEAL_KEY_BYTES]);
void hooks_start(struct hooks *h);
void hooks_reload(struct hooks *h, const struct hook_settings *settings);
/* Nothing is claimed any more; requests under way may end. */
void hooks_stop(struct hooks *h);
bool hooks_is_idle(const struct hooks *h);
/* When nobody asks any more, and before pg is closed: breaks off what is under way, gives it back, and calls
 * closed. */
void hooks_close(struct hooks *h, void (*closed)(void *arg), void *arg);
void hooks_free(struct hooks *h); /* after pg is closed: no callback can come any more */

/* --- for people; each answers exactly once, from the loop --- */

/* product: the product it is of; 0: the actor's own. */
struct hook_place {
    const struct fleet_actor *actor;
    int product;
    const char *which; /* id as it came; NULL where there is none */
};
/* why: a sentence when err is FLEET_CONFLICT, else "". json: text as REST shows it, valid
 * during the callback; NULL unless err is FLEET_OK. */
typedef void hook_text_fn(void *arg, enum fleet_err err, const char *json, const char *why);
void hooks_list(struct hooks *h, const struct hook_place *place, hook_text_fn *done, void *arg);
void hooks_get(struct hooks *h, const struct hook_place *place, hook_text_fn *done, void *arg);
/* fields: what was sent, as hook_spec.h reads it; what is wrong with it is returned, a static sentence, and
 * done never comes. NULL: it comes, and its json has the secret, this once. FLEET_NOT_FOUND and
 * FLEET_FORBIDDEN are said of the device. */
must_check const char *hooks_create(struct hooks *h, const struct hook_place *place, const json_t *fields,
                                    hook_text_fn *done, void *arg);
/* json "" of these. */
void hooks_delete(struct hooks *h, const struct hook_place *place, hook_text_fn *done, void *arg);
void hooks_set_enabled(struct hooks *h, const struct hook_place *place, bool enabled, hook_text_fn *done,
                       void *arg);
/* An event `test-event` for this webhook alone; it is on its way when done comes. */
void hooks_test(struct hooks *h, const struct hook_place *place, hook_text_fn *done, void *arg);

#endif
