/* fleet.h: the registry of devices in Postgres: the object the other files of this room work on, and its
 * answers to the device room (struct device_ops).
 *
 * Ownership: made by main; borrows pg, deadlines and metrics, which outlive it. Loop thread only. */
#ifndef CYAN_FLEET_FLEET_H
#define CYAN_FLEET_FLEET_H

#include <uv.h>

#include "base/deadline.h"
#include "base/metrics.h"
#include "device/devices.h"
#include "store/pg.h"

enum fleet_policy { FLEET_REFUSE, FLEET_QUARANTINE, FLEET_ENROL };

struct fleet_settings {
    uint64_t claim_code_valid_ms, transfer_valid_ms;
    enum fleet_policy unknown;
    uint32_t hold_ms;              /* how long an acknowledgement may wait for Postgres (store.hold_s) */
    uint64_t events_keep_s;        /* older events are deleted, in small batches */
    uint64_t update_events_keep_s; /* and so are older moves of updates and campaigns */
    uint32_t event_name_max, event_data_max; /* bytes of what people publish */
    uint32_t node_id;                        /* which of the nodes this is; stays as it was at the start */
    bool release_needs_proof; /* a product's firmware is released once one of its devices has run it */
    uint32_t argon2_memory_kib, argon2_iterations; /* of passwords that are set from now on */
    uint64_t refusals_keep_s, refusals_max;        /* rows of the audit trail that tell of refusals */
};

struct firmware_cache;
struct fleet;
struct nodes;
struct reach;
struct session_store;

struct fleet *fleet_new(uv_loop_t *loop, struct pg *pg, struct deadlines *deadlines, struct metrics *metrics,
                        const struct fleet_settings *settings);
void fleet_reload(struct fleet *f, const struct fleet_settings *settings);
/* The ops to hand to devices_new; ctx is f. */
const struct device_ops *fleet_device_ops(struct fleet *f);
/* Set once after devices_new: claim answers, revocation and pings go through it. */
void fleet_set_devices(struct fleet *f, struct devices *devices);
/* Set once, before fleet_start, when there is a Redis: devices are reached on other nodes too. Both are freed
 * after fleet_drain is done and before fleet_free, with every callback of theirs. */
void fleet_set_nodes(struct fleet *f, struct nodes *nodes, struct session_store *sessions);
/* Set once, before fleet_start: connections of their own for statements over many devices, which would hold
 * up what is sent behind them. Closed before pg. Without them pg serves. */
void fleet_set_bulk(struct fleet *f, struct pg *bulk);
struct nodes *fleet_nodes(const struct fleet *f); /* NULL without Redis */
uint32_t fleet_node_id(const struct fleet *f);
struct reach *fleet_reach(struct fleet *f);                   /* to ask devices */
struct firmware_cache *fleet_firmware_cache(struct fleet *f); /* to send module binaries */
/* A node's lease ran out: marks its devices offline (reason `node_lost`), tried again until Postgres is
 * there, then nodes_forget. As often as it comes; nothing while that node is alive or being marked already.
 */
void fleet_node_lost(struct fleet *f, uint32_t id);
/* At start: marks every device of this node offline (reason `restart`) that an earlier process left online;
 * retried until Postgres is there. */
void fleet_start(struct fleet *f);
/* When no device and no person is served any more: writes the pending presence batch, marks devices offline
 * with reason `shutdown`, then calls done; at most 2 s. From then on nothing is asked of Postgres: pg_close
 * may follow, which ends what is still under way, then fleet_free. */
void fleet_drain(struct fleet *f, void (*done)(void *arg), void *arg);
void fleet_free(struct fleet *f);
bool fleet_is_up(const struct fleet *f); /* Postgres reachable */
/* No event is waiting or in flight, no Hello or describe is held for its acknowledgement, nothing is planned.
 * What only writes behind (presence, attempts) does not count. For a clean end pg_unanswered must be 0 as
 * well. */
bool fleet_is_idle(const struct fleet *f);

/* What went wrong with a request, for the API to put into words. */
enum fleet_err {
    FLEET_OK = 0,
    FLEET_AWAY,      /* Postgres cannot be asked now: 503 */
    FLEET_NOT_FOUND, /* no such device, token, ... */
    FLEET_FORBIDDEN, /* exists, belongs to someone else */
    FLEET_CONFLICT,  /* name taken and the like */
    FLEET_INVALID,   /* a value is not acceptable; why says which */
    FLEET_FAULT,     /* the statement failed for a reason of ours; logged */
};

enum fleet_role { FLEET_OWNER, FLEET_OPERATOR, FLEET_ADMIN };
const char *fleet_role_name(enum fleet_role role);
bool fleet_role_parse(enum fleet_role *role, const char *text);

#define FLEET_SCOPES_SIZE 1025
/* Who asks. Operators and admins see every device, owners their own. Unclaim, rename of foreign devices:
 * operator and admin; provisioning and tokens of others: admin only (provisioning a not yet known device:
 * operator too). */
struct fleet_actor {
    int64_t user_id;
    char user_name[65];
    enum fleet_role role;
    int64_t token_id; /* 0: by password */
    /* What of it the token is good for (scope.h), and the only product it is good for, 0 = no such limit. */
    bool has_scopes;
    char scopes[FLEET_SCOPES_SIZE]; /* separated by spaces */
    int32_t confined_to;
};

#endif
