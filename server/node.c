#include "node.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "api/api.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "campaign/campaigns.h"
#include "campaign/update_engine.h"
#include "device/devices.h"
#include "fleet/fleet.h"
#include "fleet/migrate.h"
#include "handshake/dtls.h"
#include "handshake/server_key.h"
#include "handshake/session_file.h"
#include "handshake/session_store.h"
#include "hook/hooks.h"
#include "net/loop_watch.h"
#include "net/udp.h"
#include "store/nodes.h"
#include "store/pg.h"
#include "store/redis.h"

#define WHY_SIZE 512
#define HELLO_TIMEOUT_MS 60000
#define DRAIN_MAX_MS 3000
#define DEADLINES_A_TURN 256 /* thousands can be due at once: the rest after what has come meanwhile */
#define DRAIN_STEP_MS 20
#define FILES_BESIDES 1200 /* other connections of people, and our own */
#define BULK_CONNECTIONS 2 /* for statements over many devices */

enum node_state { NODE_STARTING, NODE_SERVING, NODE_DRAINING, NODE_CLOSING };

struct node {
    struct config *config; /* borrowed */
    uv_loop_t loop;
    uv_signal_t on_term, on_int, on_hup;
    uv_timer_t deadline_timer, drain_timer;
    uv_prepare_t prepare;
    struct deadlines deadlines;
    struct metrics *metrics;
    struct loop_watch watch;
    struct server_key *key;
    struct pg *pg, *bulk;
    struct metrics *bulk_metrics; /* shown to nobody */
    struct fleet *fleet;
    struct campaigns *campaigns;
    struct hooks *hooks;
    struct devices *devices;
    struct update_engine *updates;
    struct dtls *dtls;
    struct udp *udp;
    struct api *api;
    struct redis *redis; /* NULL when none is configured, as the next two */
    struct nodes *nodes;
    struct session_store *sessions;
    uint16_t coap_port;
    uint64_t started_ms, draining_ms;
    enum node_state state;
    struct deadline tell_online;
    bool api_closed, all_written;
    int exit_code;
};

static int refuse(const char *why)
{
    log_error("start.refused why=%s", why);
    return 1;
}

/* Every deadline of the process hangs on one timer, set again before the loop waits. */
static void on_deadline_timer(uv_timer_t *timer)
{
    struct node *n = timer->data;
    deadlines_run_some(&n->deadlines, clock_ms(), DEADLINES_A_TURN);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct node *n = prepare->data;
    uint64_t now_ms = clock_ms(), wait_ms = deadlines_next(&n->deadlines, now_ms);
    if (wait_ms == UINT64_MAX)
        (void)uv_timer_stop(&n->deadline_timer);
    else
        (void)uv_timer_start(&n->deadline_timer, on_deadline_timer, wait_ms, 0);
}

static struct fleet_settings fleet_settings(const struct config *c)
{
    static const enum fleet_policy policies[] = {
        [CONFIG_UNKNOWN_REFUSE] = FLEET_REFUSE,
        [CONFIG_UNKNOWN_QUARANTINE] = FLEET_QUARANTINE,
        [CONFIG_UNKNOWN_ENROL] = FLEET_ENROL,
    };
    return (struct fleet_settings){
        .unknown = policies[c->devices_unknown],
        .hold_ms = c->store_hold_s * 1000,
        .events_keep_s = c->events_keep_s,
        .claim_code_valid_ms = (uint64_t)c->claims_code_valid_s * 1000,
        .transfer_valid_ms = (uint64_t)c->claims_transfer_valid_s * 1000,
        .event_name_max = c->events_name_max,
        .event_data_max = c->events_data_max,
        .update_events_keep_s = c->update_events_keep_s,
        .node_id = c->node_id,
        .release_needs_proof = c->product_release_needs_proof != 0,
        .argon2_memory_kib = c->auth_argon2_memory_kib,
        .argon2_iterations = c->auth_argon2_iterations,
        .refusals_keep_s = c->audit_refusals_keep_s,
        .refusals_max = c->audit_refusals_max,
    };
}

static struct api_settings api_settings(const struct config *c)
{
    return (struct api_settings){
        .bind = c->http_bind,
        .port = (uint16_t)c->http_port,
        .tls_cert = c->http_tls_cert,
        .tls_key = c->http_tls_key,
        .streams = {.most = c->http_streams,
                    .per_address = c->http_streams_per_address,
                    .lag_bytes = c->http_stream_lag_kib * 1024,
                    .keepalive_ms = c->http_stream_keepalive_s * 1000},
        .trusted_proxy = c->http_trusted_proxy,
        .limits = {.per_token = c->http_rate_per_token,
                   .per_address = c->http_rate_per_address,
                   .logins = c->http_rate_logins},
        .signup_open = c->auth_signup != 0,
        .token_expires_s = c->auth_token_expires_s,
    };
}

static struct campaigns_settings campaigns_settings(const struct config *c)
{
    return (struct campaigns_settings){.single_operator = c->campaign_single_operator != 0};
}

static struct hook_settings hook_settings(const struct config *c)
{
    return (struct hook_settings){
        .allow_private = c->webhook_allow_private != 0,
        .in_flight = c->webhook_in_flight,
        .per_host = c->webhook_per_host,
        .timeout_s = c->webhook_timeout_s,
        .backoff_s = c->webhook_backoff_s,
        .attempts_max = c->webhook_attempts_max,
        .backlog_max = c->webhook_backlog_max,
        .keep_s = c->webhook_keep_s,
        .disable_after_s = c->webhook_disable_after_s,
    };
}

static struct dtls_settings dtls_settings(const struct config *c)
{
    return (struct dtls_settings){
        .max_in_flight = c->handshake_max_in_flight,
        .per_source = c->handshake_per_source,
        .handshake_timeout_ms = c->handshake_timeout_s * 1000,
        .max_sessions = c->session_max,
        .expiry_ms = (uint64_t)c->session_expiry_s * 1000,
        .ca_file = c->keys_ca_file,
    };
}

static struct update_settings update_settings(const struct config *c)
{
    return (struct update_settings){
        .start_delay_s = c->update_start_delay_s,
        .describe_again_s = c->update_describe_again_s,
        .describe_s = c->update_describe_s,
        .reboot_s = c->update_reboot_s,
        .ncp_reboot_s = c->update_ncp_reboot_s,
        .backoff_s = c->update_backoff_s,
        .offline_s = c->update_offline_s,
        .transfers_max = c->update_transfers_max,
    };
}

static void on_view(void *ctx, uint64_t *sessions, uint64_t *handshakes_in_flight, uint64_t *uptime_ms)
{
    const struct node *n = ctx;
    *sessions = dtls_session_count(n->dtls);
    *handshakes_in_flight = dtls_handshake_count(n->dtls);
    *uptime_ms = clock_ms() - n->started_ms;
}

static void on_setting_changed(void *arg, const char *key, bool applied)
{
    (void)arg;
    if (applied)
        log_info("config.changed key=%s", key);
    else
        log_warn("config.needs_restart key=%s", key);
}

static void on_hup(uv_signal_t *signal, int number)
{
    struct node *n = signal->data;
    char why[CONFIG_ERROR_SIZE];
    (void)number;
    if (n->state != NODE_SERVING)
        return;
    if (!config_reload(n->config, on_setting_changed, n, why)) {
        log_error("config.refused why=%s", why);
        return;
    }
    struct fleet_settings fleet = fleet_settings(n->config);
    struct api_settings api = api_settings(n->config);
    struct campaigns_settings campaigns = campaigns_settings(n->config);
    struct dtls_settings dtls = dtls_settings(n->config);
    struct hook_settings hooks = hook_settings(n->config);
    struct update_settings updates = update_settings(n->config);
    log_set_level(n->config->log_level);
    fleet_reload(n->fleet, &fleet);
    api_reload(n->api, &api);
    campaigns_reload(n->campaigns, &campaigns);
    hooks_reload(n->hooks, &hooks);
    dtls_reload(n->dtls, &dtls);
    update_engine_reload(n->updates, &updates);
    devices_set_offline_after(n->devices, (uint64_t)n->config->device_offline_after_s * 1000);
    log_info("config.reloaded");
}

/* --- shutdown: no new work, answers under way go out, sessions end in silence, presence is written --- */

static void on_udp_closed(void *arg)
{
    struct node *n = arg;
    uv_stop(&n->loop);
}

static void on_pg_closed(void *arg)
{
    struct node *n = arg;
    n->pg = NULL;
    udp_close(n->udp, on_udp_closed, n);
}

static void on_bulk_closed(void *arg)
{
    struct node *n = arg;
    n->bulk = NULL;
    pg_close(n->pg, on_pg_closed, n);
}

static void on_campaigns_closed(void *arg)
{
    struct node *n = arg;
    pg_close(n->bulk, on_bulk_closed, n);
}

static void on_hooks_closed(void *arg)
{
    struct node *n = arg;
    campaigns_close(n->campaigns, on_campaigns_closed, n);
}

static void close_postgres(struct node *n)
{
    hooks_close(n->hooks, on_hooks_closed, n);
}

static void on_redis_closed(void *arg)
{
    close_postgres(arg);
}

static void on_left(void *arg)
{
    struct node *n = arg;
    redis_close(n->redis, on_redis_closed, n); /* whatever is under way ends in this call */
    session_store_free(n->sessions);
    nodes_free(n->nodes);
}

static void on_fleet_drained(void *arg)
{
    struct node *n = arg;
    if (n->nodes)
        nodes_leave(n->nodes, n->all_written, on_left, n);
    else
        close_postgres(n);
}

/* Devices are told nothing: they keep their sessions (device-protocol 2.8). */
static void drop_sessions(struct node *n)
{
    update_engine_close(n->updates);
    dtls_free(n->dtls);
    n->dtls = NULL;
    fleet_drain(n->fleet, on_fleet_drained, n);
}

static void on_flushed(void *arg, bool all)
{
    struct node *n = arg;
    if (!all)
        log_warn("sessions.flush_incomplete why=redis_away");
    n->all_written = all;
    session_store_stop(n->sessions);
    drop_sessions(n);
}

static char *session_file(const struct config *c)
{
    return *c->session_file ? mem_string(c->session_file) : mem_printf("%s/sessions", c->keys_dir);
}

static void write_session_file(struct node *n)
{
    char why[WHY_SIZE], *path = session_file(n->config);
    long count = session_file_write(n->dtls, n->key, path, why, sizeof why);
    if (count < 0)
        log_error("sessions.not_kept why=%s", why);
    else
        log_info("sessions.kept count=%ld file=%s", count, path);
    free(path);
}

/* It may come back without what it had acknowledged. */
static void on_redis_lost(void *arg)
{
    struct node *n = arg;
    n->all_written = false;
}

static void close_sessions(struct node *n)
{
    n->state = NODE_CLOSING;
    (void)uv_timer_stop(&n->drain_timer);
    if (n->sessions) {
        session_store_flush(n->sessions, on_flushed, n);
        return;
    }
    write_session_file(n);
    drop_sessions(n);
}

static void on_drain_step(uv_timer_t *timer)
{
    struct node *n = timer->data;
    bool overdue = clock_ms() - n->draining_ms >= DRAIN_MAX_MS;
    if (n->state == NODE_DRAINING && n->api_closed &&
        ((pg_unanswered(n->pg) == 0 && fleet_is_idle(n->fleet) && update_engine_is_idle(n->updates) &&
          hooks_is_idle(n->hooks)) ||
         overdue))
        close_sessions(n);
}

static void on_api_closed(void *arg)
{
    struct node *n = arg;
    n->api_closed = true;
    n->api = NULL;
}

static void stop(struct node *n)
{
    n->state = NODE_DRAINING;
    n->draining_ms = clock_ms();
    udp_stop(n->udp);
    campaigns_stop(n->campaigns);
    update_engine_stop(n->updates);
    hooks_stop(n->hooks);
    api_close(n->api, on_api_closed, n);
    (void)uv_timer_start(&n->drain_timer, on_drain_step, DRAIN_STEP_MS, DRAIN_STEP_MS);
}

static void on_stop(uv_signal_t *signal, int number)
{
    struct node *n = signal->data;
    if (n->state != NODE_SERVING)
        return;
    log_info("stopping signal=%d sessions=%zu", number, dtls_session_count(n->dtls));
    stop(n);
}

/* --- the other nodes --- */

/* While our lease had lapsed others may have marked our devices offline. By now they see that we live, and
 * what they have taken is not here any more. */
static void on_tell_online(struct deadline *tell_online, uint64_t now_ms)
{
    struct node *n = (struct node *)((char *)tell_online - offsetof(struct node, tell_online));
    (void)now_ms;
    if (n->state == NODE_SERVING)
        devices_tell_online(n->devices);
}

static void on_joined(void *ctx, bool again)
{
    struct node *n = ctx;
    session_store_joined(n->sessions, again);
    if (again)
        deadline_set(&n->deadlines, &n->tell_online, clock_ms() + n->config->node_lease_s * 1000ull,
                     on_tell_online);
}

static void on_lost(void *ctx, uint32_t id)
{
    struct node *n = ctx;
    fleet_node_lost(n->fleet, id);
}

static void on_usurped(void *ctx)
{
    struct node *n = ctx;
    n->exit_code = 1;
    if (n->state == NODE_SERVING)
        stop(n);
}

static void on_describe(void *ctx, char *out, size_t out_size)
{
    const struct node *n = ctx;
    (void)snprintf(out, out_size,
                   "{\"version\":\"%s\",\"pid\":%d,\"coap_port\":%u,\"http_port\":%u,\"uptime_s\":%" PRIu64
                   ",\"sessions\":%zu,\"online\":%zu}",
                   CYAN_VERSION, (int)getpid(), n->coap_port, n->api ? api_port(n->api) : 0,
                   (clock_ms() - n->started_ms) / 1000, n->dtls ? dtls_session_count(n->dtls) : 0,
                   devices_online_count(n->devices));
}

/* --- start --- */

static int check_schema(const struct config *c)
{
    char why[WHY_SIZE];
    struct pg_sync *s = pg_sync_open(c->store_postgres, why, sizeof why);
    if (!s)
        return refuse(why);
    int err = migrate_check(s, why, sizeof why);
    pg_sync_close(s);
    return err == 0 ? 0 : refuse(why);
}

static int listen_port(struct node *n, uint16_t port, uint16_t *bound)
{
    char why[WHY_SIZE], *addresses = mem_string(n->config->coap_bind), *rest = addresses;
    int err = 0, opened = 0;
    *bound = port;
    for (char *address; err == 0 && (address = strsep(&rest, ", ")) != NULL;) {
        if (*address == '\0')
            continue;
        if (strcmp(address, "::") == 0 && !udp_has_family(address)) { /* the default names both families */
            log_warn("listen.skipped address=:: why=no_ipv6");
            continue;
        }
        uint16_t got = udp_listen(n->udp, address, *bound, why, sizeof why);
        if (got == 0)
            err = refuse(why);
        else {
            *bound = got;
            opened++;
        }
    }
    free(addresses);
    if (err == 0 && opened == 0)
        err = refuse("coap.bind names no address that can be listened on");
    return err;
}

static int listen_udp(struct node *n)
{
    uint16_t alternative;
    n->udp = udp_new(&n->loop, n->metrics, dtls_receive, n->dtls);
    if (n->config->coap_share_port)
        udp_share_ports(n->udp);
    dtls_set_udp(n->dtls, n->udp);
    udp_set_ahead(n->udp, dtls_ahead);
    udp_set_work(n->udp, dtls_work, n->dtls);
    if (listen_port(n, (uint16_t)n->config->coap_port, &n->coap_port) != 0)
        return 1;
    if (n->config->coap_port_alt == 0 || n->config->coap_port_alt == n->coap_port)
        return 0;
    return listen_port(n, (uint16_t)n->config->coap_port_alt, &alternative);
}

static int load_key(struct node *n)
{
    char why[WHY_SIZE], fingerprint[65];
    const char *dir = n->config->keys_dir;
    if (!server_key_exists(dir)) {
        if (server_key_make(dir, why, sizeof why) != 0)
            return refuse(why);
        log_info("server_key.made dir=%s", dir);
    }
    n->key = server_key_load(dir, why, sizeof why);
    if (!n->key)
        return refuse(why);
    server_key_fingerprint(n->key, fingerprint);
    log_info("server_key sha256=%s", fingerprint);
    return 0;
}

static void start_handles(struct node *n)
{
    must(uv_loop_init(&n->loop) == 0);
    loop_watch_init(&n->watch, &n->loop, n->metrics);
    must(uv_timer_init(&n->loop, &n->deadline_timer) == 0);
    must(uv_timer_init(&n->loop, &n->drain_timer) == 0);
    must(uv_prepare_init(&n->loop, &n->prepare) == 0);
    must(uv_signal_init(&n->loop, &n->on_term) == 0);
    must(uv_signal_init(&n->loop, &n->on_int) == 0);
    must(uv_signal_init(&n->loop, &n->on_hup) == 0);
    n->deadline_timer.data = n->drain_timer.data = n->prepare.data = n;
    n->on_term.data = n->on_int.data = n->on_hup.data = n;
    must(uv_prepare_start(&n->prepare, on_prepare) == 0);
}

static int join_others(struct node *n)
{
    const struct config *c = n->config;
    char why[WHY_SIZE];
    if (!*c->store_redis) {
        log_warn("sessions.durable=clean_stop why=no_redis: after a crash every device shakes hands again");
        return 0;
    }
    struct redis_settings redis = {.address = c->store_redis,
                                   .user = c->store_redis_user,
                                   .password = c->store_redis_password,
                                   .database = c->store_redis_database};
    n->redis = redis_new(&n->loop, &redis, n->metrics, why, sizeof why);
    if (!n->redis)
        return refuse(why);
    redis_on_down(n->redis, on_redis_lost, n);
    struct nodes_settings nodes = {
        .id = c->node_id, .lease_ms = c->node_lease_s * 1000, .prefix = c->store_redis_prefix};
    struct nodes_ops ops = {
        .ctx = n, .joined = on_joined, .lost = on_lost, .usurped = on_usurped, .describe = on_describe};
    n->nodes = nodes_new(n->redis, &n->deadlines, n->metrics, &nodes, &ops);
    n->sessions = session_store_new(n->dtls, n->key, n->redis, n->nodes, &n->deadlines, n->metrics,
                                    (uint64_t)c->session_expiry_s * 1000);
    fleet_set_nodes(n->fleet, n->nodes, n->sessions);
    return 0;
}

/* What the stop before this start left, if it had no Redis either. */
static void take_session_file(struct node *n)
{
    char why[WHY_SIZE], *path = session_file(n->config);
    long count = session_file_take(n->dtls, n->key, path, why, sizeof why);
    if (count < 0)
        log_error("sessions.not_taken why=%s", why);
    else if (count > 0)
        log_info("sessions.taken count=%ld file=%s", count, path);
    free(path);
}

static void make_hooks(struct node *n)
{
    struct hook_settings settings = hook_settings(n->config);
    uint8_t key[SEAL_KEY_BYTES];
    server_key_derive(n->key, SEAL_LABEL, key);
    n->hooks = hooks_new(&n->loop, n->config->store_postgres, n->pg, n->fleet, &n->deadlines, n->metrics,
                         &settings, key);
    bytes_wipe(key, sizeof key);
}

static int start_rooms(struct node *n)
{
    const struct config *c = n->config;
    char why[WHY_SIZE];
    struct fleet_settings fleet = fleet_settings(c);
    struct dtls_settings dtls = dtls_settings(c);
    struct devices_settings devices = {.offline_after_ms = (uint64_t)c->device_offline_after_s * 1000,
                                       .hello_timeout_ms = HELLO_TIMEOUT_MS};
    n->pg = pg_new(&n->loop, c->store_postgres, (int)c->store_pool_size, n->metrics);
    n->bulk_metrics = metrics_new();
    n->bulk = pg_new(&n->loop, c->store_postgres, BULK_CONNECTIONS, n->bulk_metrics);
    n->fleet = fleet_new(&n->loop, n->pg, &n->deadlines, n->metrics, &fleet);
    fleet_set_bulk(n->fleet, n->bulk);
    n->devices = devices_new(&n->deadlines, fleet_device_ops(n->fleet), n->metrics, &devices);
    fleet_set_devices(n->fleet, n->devices);
    struct campaigns_settings campaigns = campaigns_settings(c);
    n->campaigns =
        campaigns_new(&n->loop, c->store_postgres, n->pg, n->fleet, &n->deadlines, n->metrics, &campaigns);
    make_hooks(n);
    struct update_settings updates = update_settings(c);
    n->updates =
        update_engine_new(n->pg, n->fleet, n->devices, &n->deadlines, n->metrics, &updates, c->node_id);
    n->dtls =
        dtls_new(&dtls, n->key, &n->deadlines, n->metrics, &devices_dtls_ops, n->devices, why, sizeof why);
    if (!n->dtls)
        return refuse(why);
    if (join_others(n) != 0 || listen_udp(n) != 0)
        return 1;
    struct api_view view = {.ctx = n, .fill = on_view};
    struct api_settings api = api_settings(c);
    n->api = api_new(&n->loop, &api, n->fleet, n->devices, n->metrics, &view, why, sizeof why);
    if (!n->api)
        return refuse(why);
    api_set_campaigns(n->api, n->campaigns);
    api_set_hooks(n->api, n->hooks);
    take_session_file(n); /* nothing can refuse the start any more, and nothing has been said yet */
    fleet_start(n->fleet);
    campaigns_start(n->campaigns);
    update_engine_start(n->updates);
    hooks_start(n->hooks);
    return 0;
}

static void close_all_handles(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void finish(struct node *n)
{
    campaigns_free(n->campaigns);
    hooks_free(n->hooks);
    update_engine_free(n->updates);
    fleet_free(n->fleet);
    devices_free(n->devices);
    server_key_free(n->key);
    uv_walk(&n->loop, close_all_handles, NULL);
    (void)uv_run(&n->loop, UV_RUN_DEFAULT);
    must(uv_loop_close(&n->loop) == 0);
    deadlines_deinit(&n->deadlines);
    metrics_free(n->metrics);
    metrics_free(n->bulk_metrics);
}

/* Each connection of a person is a file: as many as the system allows this process. */
static void allow_files(const struct config *c)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < c->http_streams + FILES_BESIDES)
        log_warn("start.few_files allowed=%ju why=\"http.streams %u needs more\"", (uintmax_t)limit.rlim_max,
                 c->http_streams);
}

int node_run(struct config *config)
{
    struct node n = {.config = config, .started_ms = clock_ms(), .state = NODE_STARTING};
    log_set_level(config->log_level);
    (void)signal(SIGPIPE, SIG_IGN);
    allow_files(config);
    if (check_schema(config) != 0 || load_key(&n) != 0)
        return 1;
    deadlines_init(&n.deadlines);
    n.metrics = metrics_new();
    start_handles(&n);
    if (start_rooms(&n) != 0)
        exit(1); /* half-made rooms are not taken down one by one: the process ends here */
    must(uv_signal_start(&n.on_term, on_stop, SIGTERM) == 0);
    must(uv_signal_start(&n.on_int, on_stop, SIGINT) == 0);
    must(uv_signal_start(&n.on_hup, on_hup, SIGHUP) == 0);
    n.state = NODE_SERVING;
    log_info("ready coap=%u http=%u", n.coap_port, api_port(n.api));
    (void)uv_run(&n.loop, UV_RUN_DEFAULT);
    finish(&n);
    log_info("stopped");
    return n.exit_code;
}
