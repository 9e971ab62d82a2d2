/* fleet.c: the registry object: made of its parts, started, drained, freed. */
#include "fleet/fleet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/account_sweep.h"
#include "fleet/admission.h"
#include "fleet/attempts.h"
#include "fleet/attendance.h"
#include "fleet/device_action.h"
#include "fleet/device_list.h"
#include "fleet/event_queue.h"
#include "fleet/event_tail.h"
#include "fleet/firmware_cache.h"
#include "fleet/firmware_get.h"
#include "fleet/lost_nodes.h"
#include "fleet/password_queue.h"
#include "fleet/planner.h"
#include "fleet/psk.h"
#include "fleet/reach.h"
#include "fleet/refusals.h"
#include "fleet/retention.h"
#include "fleet/room.h"
#include "fleet/said.h"
#include "fleet/token_cache.h"
#include "fleet/token_news.h"

#define RESTART_AGAIN_MS 1000
#define START_TIMEOUT_MS 60000
#define DRAIN_MS 2000
#define PATIENCE_MS 5000
#define PATIENCE_AWAY_MS 300
#define PATIENCE_BULK_MS 30000 /* statements on the bulk connections wait for each other */

static const struct pg_statement node_offline = {
    .name = "node_offline",
    .sql = "SELECT store_node_offline($1::integer, $2::text, $3::integer)",
    .params = 3,
};

static void publish(struct devices *devices, const struct device_id *id, const char *name, const char *data)
{
    struct device *device = devices ? devices_find(devices, id) : NULL;
    if (device)
        device_publish(device, name, data);
}

static enum relay_delivery deliver(struct devices *devices, const struct device_id *id,
                                   const struct device_event *event)
{
    struct device *device = devices ? devices_find(devices, id) : NULL;
    if (!device)
        return RELAY_NOT_HERE;
    return device_deliver(device, event) ? RELAY_DELIVERED : RELAY_LOST;
}

static bool end_session(struct devices *devices, const struct device_id *id)
{
    return devices && devices_revoke(devices, id);
}

struct fleet *fleet_new(uv_loop_t *loop, struct pg *pg, struct deadlines *deadlines, struct metrics *metrics,
                        const struct fleet_settings *settings)
{
    struct fleet *f = mem_alloc(sizeof *f);
    f->loop = loop;
    f->pg = f->bulk = pg;
    f->deadlines = deadlines;
    f->settings = *settings;
    f->below = (struct fleet_below){.revoke = end_session,
                                    .publish = publish,
                                    .deliver = deliver,
                                    .answer_psk = dtls_psk_answer,
                                    .psk_away = dtls_psk_away};
    f->ops = (struct device_ops){
        .ctx = f,
        .find_psk = psk_find,
        .authorise = admission_authorise,
        .hello = said_hello,
        .describe = said_describe,
        .event = event_queue_push,
        .subscription = said_subscription,
        .online = attendance_online,
        .heard = attendance_heard,
        .offline = attendance_offline,
        .attempted = attempts_push,
    };
    later_init(&f->later, deadlines);
    f->events = event_queue_new(f, metrics);
    f->tail = event_tail_new(f, metrics);
    f->system_events_lost = metrics_add(metrics, METRIC_COUNTER, "cyan_system_events_lost_total", NULL,
                                        "events of the server itself that could not be stored");
    f->attendance = attendance_new(f, metrics);
    f->attempts = attempts_new(f, metrics);
    f->retention = retention_new(f, metrics);
    f->reach = reach_new(deadlines, metrics);
    f->relay = relay_new(f, metrics);
    f->lost_nodes = lost_nodes_new(f);
    f->psk = psk_new(f);
    f->tokens = token_cache_new();
    f->planner = planner_new(metrics);
    f->firmware = firmware_cache_new(f, metrics);
    f->passwords = password_queue_new(loop, metrics);
    f->refusals = refusals_new(f, metrics);
    f->account_sweep = account_sweep_new(f, metrics);
    f->lists = device_lists_new(f, metrics);
    f->actions = device_actions_new(f, metrics);
    return f;
}

void fleet_free(struct fleet *f)
{
    deadline_cancel(f->deadlines, &f->restart);
    deadline_cancel(f->deadlines, &f->drain_limit);
    later_deinit(&f->later);
    event_queue_free(f->events);
    event_tail_free(f->tail);
    attendance_free(f->attendance);
    attempts_free(f->attempts);
    retention_free(f->retention);
    reach_free(f->reach);
    relay_free(f->relay);
    lost_nodes_free(f->lost_nodes);
    psk_free(f->psk);
    token_cache_free(f->tokens);
    planner_free(f->planner);
    firmware_cache_free(f->firmware);
    password_queue_free(f->passwords);
    refusals_free(f->refusals);
    account_sweep_free(f->account_sweep);
    device_lists_free(f->lists);
    device_actions_free(f->actions);
    free(f);
}

void fleet_reload(struct fleet *f, const struct fleet_settings *settings)
{
    uint32_t node_id = f->settings.node_id;
    f->settings = *settings;
    f->settings.node_id = node_id;
}

const struct device_ops *fleet_device_ops(struct fleet *f)
{
    return &f->ops;
}

void fleet_set_devices(struct fleet *f, struct devices *devices)
{
    f->devices = devices;
    reach_set_devices(f->reach, devices);
}

void fleet_set_nodes(struct fleet *f, struct nodes *nodes, struct session_store *sessions)
{
    f->nodes = nodes;
    f->sessions = sessions;
    reach_set_nodes(f->reach, nodes, sessions);
    relay_set_nodes(f->relay, nodes);
    token_news_set_nodes(f, nodes);
}

void fleet_set_bulk(struct fleet *f, struct pg *bulk)
{
    f->bulk = bulk;
}

struct nodes *fleet_nodes(const struct fleet *f)
{
    return f->nodes;
}

uint32_t fleet_node_id(const struct fleet *f)
{
    return f->settings.node_id;
}

struct reach *fleet_reach(struct fleet *f)
{
    return f->reach;
}

struct firmware_cache *fleet_firmware_cache(struct fleet *f)
{
    return f->firmware;
}

void fleet_end_sessions(struct fleet *f, const struct device_id *id)
{
    f->below.revoke(f->devices, id);
    reach_revoke(f->reach, id);
}

bool fleet_is_up(const struct fleet *f)
{
    return pg_is_up(f->pg);
}

bool fleet_is_idle(const struct fleet *f)
{
    return event_queue_is_empty(f->events) && f->held_count == 0 && !f->later.calls &&
           planner_is_idle(f->planner);
}

/* Devices are marked offline in slices: of a large fleet at once would take longer than a statement may. */
void fleet_mark_offline(struct fleet *f, uint32_t node, const char *why, uint32_t timeout_ms,
                        pg_done_fn *done, void *arg)
{
    struct fleet_number id, limit;
    struct pg_param params[] = {fleet_int(&id, node), pg_text(why), fleet_int(&limit, FLEET_OFFLINE_SLICE)};
    pg_exec(f->pg, &node_offline, params, timeout_ms, PG_RETRY, done, arg);
}

bool fleet_is_last_slice(const struct pg_result *result)
{
    return pg_int(result, 0, 0) < FLEET_OFFLINE_SLICE;
}

static void mark_offline(struct fleet *f, const char *why, uint32_t timeout_ms, pg_done_fn *done)
{
    fleet_mark_offline(f, f->settings.node_id, why, timeout_ms, done, f);
}

/* --- start: nobody is online yet --- */

static void on_restart(struct deadline *restart, uint64_t now_ms);

static void on_started(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct fleet *f = arg;
    if (err == PG_REFUSED)
        log_error("fleet.start_refused sqlstate=%s", pg_sqlstate(result));
    if (f->stopped)
        return;
    if (err != PG_OK) {
        deadline_set(f->deadlines, &f->restart, clock_ms() + RESTART_AGAIN_MS, on_restart);
        return;
    }
    if (!fleet_is_last_slice(result)) {
        mark_offline(f, "restart", START_TIMEOUT_MS, on_started);
        return;
    }
    f->started = true;
    attendance_wake(f->attendance);
    retention_start(f->retention);
    account_sweep_start(f->account_sweep);
    device_actions_start(f->actions);
}

static void on_restart(struct deadline *restart, uint64_t now_ms)
{
    struct fleet *f = (struct fleet *)((char *)restart - offsetof(struct fleet, restart));
    (void)now_ms;
    mark_offline(f, "restart", START_TIMEOUT_MS, on_started);
}

void fleet_start(struct fleet *f)
{
    deadline_set(f->deadlines, &f->restart, clock_ms(), on_restart);
}

/* --- drain --- */

static void finish_drain(struct fleet *f)
{
    void (*done)(void *arg) = f->drained;
    void *arg = f->drained_arg;
    if (!done)
        return;
    f->drained = NULL;
    f->stopped = true;
    deadline_cancel(f->deadlines, &f->drain_limit);
    deadline_cancel(f->deadlines, &f->restart);
    attendance_stop(f->attendance);
    attempts_stop(f->attempts);
    retention_stop(f->retention);
    lost_nodes_stop(f->lost_nodes);
    reach_stop(f->reach);
    relay_stop(f->relay);
    event_queue_stop(f->events);
    event_tail_stop(f->tail);
    firmware_cache_stop(f->firmware);
    firmware_upload_stop(f);
    password_queue_stop(f->passwords);
    refusals_stop(f->refusals);
    account_sweep_stop(f->account_sweep);
    device_actions_stop(f->actions);
    done(arg);
}

static void on_marked_offline(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct fleet *f = arg;
    if (!f->drained)
        return;
    if (err == PG_OK && !fleet_is_last_slice(result)) {
        mark_offline(f, "shutdown", DRAIN_MS, on_marked_offline);
        return;
    }
    if (err != PG_OK)
        log_warn("fleet.drain_incomplete why=%s", pg_err_text(err));
    finish_drain(f);
}

static void on_presence_written(void *arg)
{
    struct fleet *f = arg;
    if (f->drained)
        mark_offline(f, "shutdown", DRAIN_MS, on_marked_offline);
}

static void on_drain_limit(struct deadline *limit, uint64_t now_ms)
{
    struct fleet *f = (struct fleet *)((char *)limit - offsetof(struct fleet, drain_limit));
    (void)now_ms;
    log_warn("fleet.drain_incomplete why=late");
    finish_drain(f);
}

void fleet_drain(struct fleet *f, void (*done)(void *arg), void *arg)
{
    must(!f->drained);
    f->drained = done;
    f->drained_arg = arg;
    deadline_set(f->deadlines, &f->drain_limit, clock_ms() + DRAIN_MS, on_drain_limit);
    refusals_flush(f->refusals);
    attendance_drain(f->attendance, on_presence_written, f);
}

/* --- what every file of the room needs --- */

uint32_t fleet_patience_ms(const struct fleet *f)
{
    return pg_is_up(f->pg) ? PATIENCE_MS : PATIENCE_AWAY_MS;
}

uint32_t fleet_bulk_patience_ms(const struct fleet *f)
{
    return pg_is_up(f->bulk) ? PATIENCE_BULK_MS : PATIENCE_AWAY_MS;
}

enum fleet_err fleet_err_of(enum pg_err err, const struct pg_result *result, const char *what)
{
    switch (err) {
    case PG_OK:
        return FLEET_OK;
    case PG_REFUSED:
        log_error("fleet.statement_refused what=%s sqlstate=%s", what, pg_sqlstate(result));
        return FLEET_FAULT;
    default:
        return FLEET_AWAY;
    }
}

struct pg_param fleet_int(struct fleet_number *n, int64_t value)
{
    snprintf(n->text, sizeof n->text, "%" PRId64, value);
    return pg_text(n->text);
}

struct pg_param fleet_bool(bool value)
{
    return pg_text(value ? "t" : "f");
}

struct pg_param fleet_id(const struct device_id *id)
{
    return pg_bytes(id->bytes, sizeof id->bytes);
}

static const char *const role_names[] = {"owner", "operator", "admin"};

const char *fleet_role_name(enum fleet_role role)
{
    must((unsigned)role < 3);
    return role_names[role];
}

bool fleet_role_parse(enum fleet_role *role, const char *text)
{
    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(text, role_names[i])) {
            *role = (enum fleet_role)i;
            return true;
        }
    return false;
}
