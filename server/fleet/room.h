/* room.h: struct fleet as the files of this room share it. Private to this room and to its tests.
 *
 * Ownership: fleet.c makes and frees it with all its parts. Loop thread only. */
#ifndef CYAN_FLEET_ROOM_H
#define CYAN_FLEET_ROOM_H

#include "fleet/device_query.h"
#include "fleet/later.h"
#include "fleet/relay.h"
#include "fleet/token.h"

#define FLEET_OFFLINE_SLICE 2000 /* devices marked offline in one statement */

/* What this room asks of the rooms below, in one place, so that tests can stand in for them. */
struct fleet_below {
    bool (*revoke)(struct devices *devices, const struct device_id *id);
    void (*publish)(struct devices *devices, const struct device_id *id, const char *name, const char *data);
    enum relay_delivery (*deliver)(struct devices *devices, const struct device_id *id,
                                   const struct device_event *event);
    void (*answer_psk)(struct dtls_psk_query *query, const uint8_t *psk, size_t psk_len);
    void (*psk_away)(struct dtls_psk_query *query);
};

struct event_queue;
struct event_tail;
struct firmware_upload;
struct attendance;
struct attempts;
struct retention;
struct lost_nodes;
struct psk;
struct token_cache;
struct planner;
struct password_queue;
struct refusals;
struct account_sweep;
struct device_lists;
struct device_actions;

struct fleet {
    uv_loop_t *loop;             /* borrowed */
    struct pg *pg;               /* borrowed: closed before this is freed */
    struct pg *bulk;             /* borrowed: pg itself, or connections for what takes long */
    struct deadlines *deadlines; /* borrowed: outlives this */
    struct devices *devices;     /* borrowed, NULL until fleet_set_devices */
    struct nodes *nodes;         /* borrowed, NULL without Redis, as sessions */
    struct session_store *sessions;
    struct fleet_settings settings;
    struct fleet_below below;
    struct device_ops ops;
    struct later later;
    struct event_queue *events; /* ours, as all below */
    struct event_tail *tail;
    struct metric *system_events_lost;
    struct attendance *attendance;
    struct attempts *attempts;
    struct retention *retention;
    struct reach *reach;
    struct relay *relay;
    struct lost_nodes *lost_nodes;
    struct psk *psk;
    struct token_cache *tokens;
    struct planner *planner;
    struct firmware_cache *firmware;
    struct password_queue *passwords;
    struct refusals *refusals;
    struct account_sweep *account_sweep;
    struct device_lists *lists;
    struct device_actions *actions;
    struct firmware_upload *uploads; /* being looked at on a thread */
    size_t held_count;               /* Hellos and describes whose verdict is not given yet */
    bool stopped;                    /* drained: Postgres is not asked any more */
    bool started;                    /* what an earlier process left online has been marked offline */
    struct deadline restart;         /* asks again */
    void (*drained)(void *arg);      /* NULL unless draining */
    void *drained_arg;
    struct deadline drain_limit;
};

/* How long a question of a person may wait for Postgres. While it is away people are told soon. */
uint32_t fleet_patience_ms(const struct fleet *f);
uint32_t fleet_bulk_patience_ms(const struct fleet *f); /* the same of f->bulk */
/* Errors of the store that leave no room for interpretation; a refusal is logged here. */
enum fleet_err fleet_err_of(enum pg_err err, const struct pg_result *result, const char *what);

/* Parameters as text in the caller's buffer. */
struct fleet_number {
    char text[24];
};
struct pg_param fleet_int(struct fleet_number *n, int64_t value);
struct pg_param fleet_bool(bool value);
struct pg_param fleet_id(const struct device_id *id);

/* Ends the sessions of a device on this node and on all others. */
void fleet_end_sessions(struct fleet *f, const struct device_id *id);
/* Marks up to FLEET_OFFLINE_SLICE devices of a node offline; the answer says how many they were. */
void fleet_mark_offline(struct fleet *f, uint32_t node, const char *why, uint32_t timeout_ms,
                        pg_done_fn *done, void *arg);
bool fleet_is_last_slice(const struct pg_result *result);

#endif
