#include "fleet_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "fleet/migrate.h"

struct private_postgres fleet_postgres;
static struct fleet_fixture *current; /* whom the stand-ins below report to */

const char *fleet_sql(const char *sql)
{
    static char text[512];
    char why[200];
    struct pg_result *result;
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    assert_non_null(s);
    if (pg_sync_exec(s, sql, NULL, 0, &result, why, sizeof why) != 0)
        fail_msg("%s", why);
    snprintf(text, sizeof text, "%s", pg_rows(result) ? pg_value(result, 0, 0) : "no row");
    pg_sync_free(result);
    pg_sync_close(s);
    return text;
}

void fleet_script(const char *sql)
{
    char why[200];
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    assert_non_null(s);
    if (pg_sync_script(s, sql, why, sizeof why) != 0)
        fail_msg("%s", why);
    pg_sync_close(s);
}

bool fleet_fixture_begin(void)
{
    char why[300];
    int applied;
    log_set_level(LOG_ERROR);
    if (!private_postgres_init(&fleet_postgres))
        return false;
    struct pg_sync *s = pg_sync_open(fleet_postgres.conninfo, why, sizeof why);
    if (!s || migrate_run(s, &applied, why, sizeof why) != 0) {
        fprintf(stderr, "%s\n", why);
        return false;
    }
    pg_sync_close(s);
    return true;
}

void fleet_fixture_end(void)
{
    private_postgres_deinit(&fleet_postgres);
}

static bool stand_in_revoke(struct devices *devices, const struct device_id *id)
{
    (void)devices;
    current->revoked++;
    current->revoked_id = *id;
    return true;
}

static void stand_in_publish(struct devices *devices, const struct device_id *id, const char *name,
                             const char *data)
{
    (void)devices;
    assert_true(*data != 0); /* device-protocol 4.9: never empty */
    current->published++;
    current->published_id = *id;
    snprintf(current->published_name, sizeof current->published_name, "%s", name);
}

static enum relay_delivery stand_in_deliver(struct devices *devices, const struct device_id *id,
                                            const struct device_event *event)
{
    (void)devices;
    assert_int_equal(event->kind, DEVICE_EVENT_USER);
    if (be32_load(id->bytes + 8) >= FLEET_FIRST_ELSEWHERE)
        return RELAY_NOT_HERE;
    size_t at = strlen(current->delivered);
    snprintf(current->delivered + at, sizeof current->delivered - at, "%u:%s=%.*s ", be32_load(id->bytes + 8),
             event->name, (int)event->data_len, (const char *)event->data);
    current->deliveries++;
    return RELAY_DELIVERED;
}

static void stand_in_answer_psk(struct dtls_psk_query *query, const uint8_t *psk, size_t psk_len)
{
    (void)query;
    current->psk_answers++;
    current->psk_len = psk_len;
    if (psk)
        memcpy(current->psk, psk, psk_len);
    if (current->on_psk_answer)
        current->on_psk_answer(current);
}

static void stand_in_psk_away(struct dtls_psk_query *query)
{
    (void)query;
    current->psk_aways++;
}

static void on_timer(uv_timer_t *timer)
{
    struct fleet_fixture *fx = timer->data;
    deadlines_run(&fx->deadlines, clock_ms());
}

static struct fleet_actor actor(const char *name, enum fleet_role role)
{
    struct fleet_actor a = {.role = role};
    char sql[200];
    snprintf(sql, sizeof sql, "INSERT INTO users (name, role) VALUES ('%s', '%s') RETURNING id", name,
             fleet_role_name(role));
    a.user_id = strtoll(fleet_sql(sql), NULL, 10);
    snprintf(a.user_name, sizeof a.user_name, "%s", name);
    return a;
}

int fleet_fixture_setup(void **state)
{
    struct fleet_fixture *fx = calloc(1, sizeof *fx);
    struct fleet_settings settings = {.unknown = FLEET_REFUSE,
                                      .hold_ms = 60000,
                                      .events_keep_s = 604800,
                                      .claim_code_valid_ms = 300000,
                                      .transfer_valid_ms = 604800000,
                                      .update_events_keep_s = 604800,
                                      .event_name_max = 64,
                                      .event_data_max = 1024,
                                      .argon2_memory_kib = 64,
                                      .argon2_iterations = 1,
                                      .refusals_keep_s = 86400,
                                      .refusals_max = 1000};
    current = fx;
    fleet_script("TRUNCATE device, device_key, device_module, device_module_history, device_vitals, "
                 "device_subscription,"
                 " device_connection, handshake_attempt, event, event_reader, claim_code, audit, "
                 "access_token, users, sign_in_failure CASCADE");
    fx->owner = actor("olive", FLEET_OWNER);
    fx->other_owner = actor("otto", FLEET_OWNER);
    fx->operator= actor("opal", FLEET_OPERATOR);
    fx->admin = actor("ada", FLEET_ADMIN);
    uv_loop_init(&fx->loop);
    deadlines_init(&fx->deadlines);
    uv_timer_init(&fx->loop, &fx->timer);
    fx->timer.data = fx;
    uv_timer_start(&fx->timer, on_timer, 1, 1);
    fx->metrics = metrics_new();
    fx->pg = pg_new(&fx->loop, fleet_postgres.conninfo, 2, fx->metrics);
    fx->fleet = fleet_new(&fx->loop, fx->pg, &fx->deadlines, fx->metrics, &settings);
    fx->fleet->below = (struct fleet_below){.revoke = stand_in_revoke,
                                            .publish = stand_in_publish,
                                            .deliver = stand_in_deliver,
                                            .answer_psk = stand_in_answer_psk,
                                            .psk_away = stand_in_psk_away};
    fx->ops = fleet_device_ops(fx->fleet);
    fleet_start(fx->fleet);
    fleet_run_until(fx, fx->fleet->started);
    *state = fx;
    return 0;
}

static void on_pg_closed(void *arg)
{
    struct fleet_fixture *fx = arg;
    fx->pg_closed = true;
}

int fleet_fixture_teardown(void **state)
{
    struct fleet_fixture *fx = *state;
    if (!fleet_postgres.pid)
        assert_true(private_postgres_start(&fleet_postgres));
    pg_close(fx->pg, on_pg_closed, fx);
    fleet_run_until(fx, fx->pg_closed);
    fleet_free(fx->fleet);
    uv_close((uv_handle_t *)&fx->timer, NULL);
    uv_run(&fx->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fx->loop), 0);
    deadlines_deinit(&fx->deadlines);
    metrics_free(fx->metrics);
    free(fx);
    return 0;
}

struct device_id fleet_test_id(unsigned n)
{
    struct device_id id = {{0xe0, 0x0f, 0xce, 0x68}};
    be32_store(id.bytes + 8, n);
    return id;
}

struct device_facts fleet_test_facts(unsigned n, uint64_t session_id)
{
    struct device_facts facts = {
        .id = fleet_test_id(n), .session_id = session_id, .profile = SESSION_DEVICE_OS};
    const uint8_t peer_ip[16] = {[10] = 0xff, 0xff, 192, 0, 2, (uint8_t)(n % 250)};
    memcpy(facts.path.peer_ip, peer_ip, sizeof peer_ip);
    facts.path.peer_port = 5684;
    return facts;
}

struct hello fleet_test_hello(unsigned n, uint16_t platform_id)
{
    return (struct hello){.id = fleet_test_id(n),
                          .has_id = true,
                          .product_id = platform_id,
                          .product_version = 3,
                          .flags = 0xf6,
                          .platform_id = platform_id,
                          .system_version = 6200,
                          .max_message_bytes = 1152,
                          .max_binary_bytes = 1536000,
                          .chunk_bytes = 512};
}

void fleet_on_verdict(void *arg, enum device_verdict verdict)
{
    struct fleet_verdict *v = arg;
    v->calls++;
    v->verdict = verdict;
}

static void copy_text(char *out, size_t out_size, const char *text)
{
    snprintf(out, out_size, "%s", text ? text : "");
}

static void append(char *out, size_t out_size, const char *text)
{
    size_t len = strlen(out);
    snprintf(out + len, out_size - len, "%s", text);
}

void fleet_on_device(void *arg, enum fleet_err err, const struct fleet_device *d)
{
    struct fleet_answer *a = arg;
    a->calls++;
    a->err = err;
    assert_true((err == FLEET_OK) == (d != NULL));
    if (!d)
        return;
    a->id = d->id;
    a->has_name = d->name != NULL;
    copy_text(a->name, sizeof a->name, d->name);
    copy_text(a->owner, sizeof a->owner, d->owner);
    copy_text(a->status, sizeof a->status, d->status);
    a->has_cc3000 = d->cc3000_patch_version != NULL;
    copy_text(a->cc3000, sizeof a->cc3000, d->cc3000_patch_version);
    a->requires_deep_update = d->requires_deep_update;
    a->has_reason = d->deep_update_reason != NULL;
    copy_text(a->reason, sizeof a->reason, d->deep_update_reason);
    a->connected = d->connected;
    a->quarantined = d->quarantined;
    a->platform_id = d->platform_id;
    a->product_id = d->product_id;
    a->last_heard_ms = d->last_heard_ms;
    a->last_handshake_ms = d->last_handshake_ms;
    a->updates_enabled = d->updates_enabled;
    a->updates_forced = d->updates_forced;
    copy_text(a->last_ip, sizeof a->last_ip, d->last_ip);
    copy_text(a->last_reset, sizeof a->last_reset, d->last_reset);
    copy_text(a->system_release, sizeof a->system_release, d->system_release);
    for (size_t i = 0; i < d->function_count; i++) {
        append(a->functions, sizeof a->functions, d->functions[i]);
        append(a->functions, sizeof a->functions, ";");
    }
    for (size_t i = 0; i < d->variable_count; i++) {
        append(a->variables, sizeof a->variables, d->variables[i].name);
        append(a->variables, sizeof a->variables, "=");
        append(a->variables, sizeof a->variables, d->variables[i].type);
        append(a->variables, sizeof a->variables, ";");
    }
}

void fleet_on_change(void *arg, enum fleet_err err, const struct fleet_device *device, const char *why)
{
    struct fleet_answer *a = arg;
    fleet_on_device(a, err, device);
    copy_text(a->why, sizeof a->why, why);
}

void fleet_enrol(struct fleet_fixture *fx, unsigned n)
{
    struct fleet_answer a = {0};
    struct fleet_key key;
    struct device_id id = fleet_test_id(n);
    const char *why;
    char hex[40];
    snprintf(hex, sizeof hex, "%032x", n + 1);
    assert_true(fleet_key_from_hex(&key, hex, &why));
    fleet_provision_device(fx->fleet, &fx->admin, &id, &key, -1, fleet_on_change, &a);
    fleet_run_until(fx, a.calls);
    assert_int_equal(a.err, FLEET_OK);
}

void fleet_say_hello(struct fleet_fixture *fx, unsigned n, uint16_t platform_id, uint64_t session_id)
{
    struct device_facts facts = fleet_test_facts(n, session_id);
    struct hello hello = fleet_test_hello(n, platform_id);
    struct fleet_verdict v = {0};
    fx->ops->hello(fx->ops->ctx, &facts, &hello, false, NULL, 0, fleet_on_verdict, &v);
    assert_int_equal(v.calls, 0);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_STORED);
}

void fleet_describe_module(struct fleet_fixture *fx, unsigned n, uint8_t function, uint8_t index,
                           uint16_t version)
{
    struct device_facts facts = fleet_test_facts(n, 1);
    struct module modules[2] = {
        {.function = function, .index = index, .version = version, .checked_flags = 30, .passed_flags = 30},
        {.function = MODULE_SYSTEM, .index = 1, .version = 6200, .checked_flags = 30, .passed_flags = 30},
    };
    struct describe d = {.parts = DESCRIBE_SYSTEM, .modules = modules, .module_count = 2, .platform_id = -1};
    struct fleet_verdict v = {0};
    fx->ops->describe(fx->ops->ctx, &facts, &d, fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_STORED);
}

void fleet_send_event(struct fleet_fixture *fx, unsigned n, enum device_event_kind kind, const char *name,
                      const char *data)
{
    static uint64_t sequence;
    struct device_facts facts = fleet_test_facts(n, 1);
    struct device_event event = {.kind = kind,
                                 .name = name,
                                 .data = (const uint8_t *)data,
                                 .data_len = strlen(data),
                                 .ttl_s = 60,
                                 .received_wall_ms = clock_wall_ms()};
    struct fleet_verdict v = {0};
    be64_store(event.key + 8, ++sequence);
    fx->ops->event(fx->ops->ctx, &facts, &event, fleet_on_verdict, &v);
    assert_int_equal(v.calls, 0);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_STORED);
}

struct fleet_answer fleet_get(struct fleet_fixture *fx, const struct fleet_actor *who, const char *which)
{
    struct fleet_answer a = {0};
    fleet_get_device(fx->fleet, who, which, fleet_on_device, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a;
}

struct fleet_answer fleet_get_id(struct fleet_fixture *fx, unsigned n)
{
    char text[DEVICE_ID_TEXT_SIZE];
    struct device_id id = fleet_test_id(n);
    device_id_format(text, &id);
    struct fleet_answer a = fleet_get(fx, &fx->admin, text);
    assert_int_equal(a.err, FLEET_OK);
    return a;
}
