/* device_action.h: the same done to all devices that fit a filter: asked what it would touch first, then in
 * the background, a few hundred devices in a transaction.
 *
 *   running --all looked at--> done      --stopped by a person--> stopped      --refused by Postgres-->
 * failed
 *
 * Everything an action is lies in Postgres: after a crash, or when its node is gone, any node goes on with
 * the device after the last one that was committed. Devices are taken in the order of their ids, each at the
 * moment of its step if it fits then. Loop thread only. */
#ifndef CYAN_FLEET_DEVICE_ACTION_H
#define CYAN_FLEET_DEVICE_ACTION_H

#include <jansson.h>

#include "fleet/device_query.h"

#define DEVICE_ACTION_SAMPLE 10
#define DEVICE_ACTION_GROUPS_MAX 20
#define DEVICE_ACTION_WHY_SIZE 200
#define DEVICE_ACTION_KEY_MAX 255

struct device_action_wish {
    int product_id;         /* 0: of the whole fleet, by operators */
    const json_t *filter;   /* as people write it, see device_filter.h */
    const char *action;     /* `groups`, `development`, `quarantine`, `unquarantine`, `remove` */
    const json_t *metadata; /* groups: {"add": [..], "remove": [..]}; development: {"development": true} */
    bool dry_run;
    int64_t expect, tolerance; /* unless dry_run: how many devices fit, give or take; refused otherwise */
    const char *key;           /* Idempotency-Key; NULL: none */
    const char *request;       /* what was sent, of which, with the product, the key is; its hash is kept */
};

enum device_action_code {
    DEVICE_ACTION_OK,            /* ordered; of a dry run: counted */
    DEVICE_ACTION_AGAIN,         /* was ordered before with this key */
    DEVICE_ACTION_KEY,           /* this key was used with something else */
    DEVICE_ACTION_EXPECTS,       /* another number of devices fits */
    DEVICE_ACTION_NO_QUARANTINE, /* the product keeps none */
    DEVICE_ACTION_MANY,          /* as many as may are running already */
    DEVICE_ACTION_GROUPS,        /* the product would have more than it may */
};
struct device_action_answer {
    enum device_action_code code;
    int64_t id;                     /* of OK and AGAIN, unless it is a dry run */
    int64_t devices;                /* that fit now */
    const struct device_id *sample; /* of a dry run: the first ones by id */
    size_t sample_count;
};
/* why: FLEET_INVALID: a sentence. answer: when err is FLEET_OK. */
typedef void device_action_fn(void *arg, enum fleet_err err, const struct device_action_answer *answer,
                              const char *why);
void fleet_order_action(struct fleet *f, const struct fleet_actor *actor,
                        const struct device_action_wish *wish, device_action_fn *done, void *arg);

/* text: {"action": {..}} as JSON. product_id: of whose it must be; 0: of the fleet; -1: any. */
typedef void device_action_text_fn(void *arg, enum fleet_err err, const char *text);
void fleet_read_action(struct fleet *f, int product_id, int64_t id, device_action_text_fn *done, void *arg);
/* FLEET_CONFLICT when it is over already. */
void fleet_stop_action(struct fleet *f, const struct fleet_actor *actor, int product_id, int64_t id,
                       device_action_text_fn *done, void *arg);

struct device_actions;
struct device_actions *device_actions_new(struct fleet *f, struct metrics *metrics);
void device_actions_start(struct device_actions *a);
void device_actions_stop(struct device_actions *a); /* nothing is asked any more */
void device_actions_free(struct device_actions *a);

#endif
