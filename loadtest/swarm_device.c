#include "swarm_device.h"
#include "base/clock.h"
#include "swarm_answers.h"
#include "swarm_boot.h"
#include "swarm_device_private.h"
#include "swarm_requests.h"
#include "swarm_schedule.h"
#include "swarm_talk.h"
#include "swarm_update.h"
#include <stdio.h>
#include <string.h>

#define ACK_TIMEOUT_MS 4000
#define PING_WAIT_MS 30000
#define GOODBYE_WAIT_MS 30000
#define KEEPALIVE_WIFI_MS 25000
#define KEEPALIVE_CELLULAR_MS 1380000
#define RESUME_USES_MAX 3
#define BACK_OFF_MS 1000
#define BACK_OFF_DOUBLINGS_MAX 7

static const char *const state_names[] = {"offline",  "connecting", "greeting", "settling", "online",
                                          "resuming", "leaving",    "asleep",   "stopped",  "rebooting"};
#define BIT(state) (1U << SWARM_DEVICE_##state)
static const uint16_t may_enter[] = {
    [SWARM_DEVICE_OFFLINE] =
        BIT(CONNECTING) | BIT(RESUMING) | BIT(GREETING) | BIT(OFFLINE) | BIT(STOPPED) | BIT(REBOOTING),
    [SWARM_DEVICE_CONNECTING] = BIT(GREETING) | BIT(OFFLINE) | BIT(STOPPED) | BIT(REBOOTING),
    [SWARM_DEVICE_GREETING] = BIT(SETTLING) | BIT(OFFLINE) | BIT(STOPPED) | BIT(REBOOTING),
    [SWARM_DEVICE_SETTLING] = BIT(ONLINE) | BIT(OFFLINE) | BIT(STOPPED) | BIT(REBOOTING),
    [SWARM_DEVICE_ONLINE] = BIT(LEAVING) | BIT(OFFLINE) | BIT(STOPPED) | BIT(REBOOTING),
    [SWARM_DEVICE_RESUMING] = BIT(SETTLING) | BIT(OFFLINE) | BIT(STOPPED) | BIT(REBOOTING),
    [SWARM_DEVICE_LEAVING] = BIT(ASLEEP) | BIT(STOPPED) | BIT(OFFLINE) | BIT(REBOOTING),
    [SWARM_DEVICE_ASLEEP] = BIT(RESUMING) | BIT(GREETING) | BIT(OFFLINE) | BIT(STOPPED) | BIT(REBOOTING),
    [SWARM_DEVICE_STOPPED] = BIT(OFFLINE),
    [SWARM_DEVICE_REBOOTING] = BIT(OFFLINE) | BIT(STOPPED) | BIT(REBOOTING),
};

static void on_life(struct deadline *deadline, uint64_t now_ms);

#define DEVICE_OF(deadline, member)                                                                          \
    ((struct swarm_device *)(void *)((char *)(deadline)-offsetof(struct swarm_device, member)))

const char *swarm_device_state_name(enum swarm_device_state state)
{
    return state_names[state];
}

bool swarm_device_is_deviceos(const struct swarm_device *d)
{
    return d->model->profile == SWARM_PROFILE_DEVICEOS;
}

static struct deadlines *deadlines_of(struct swarm_device *d)
{
    return &d->world->loop.deadlines;
}

static uint64_t scaled(const struct swarm_device *d, uint64_t ms)
{
    return (uint64_t)((double)ms * d->world->time_scale);
}

void swarm_device_set_life(struct swarm_device *d, uint64_t after_ms)
{
    deadline_set(deadlines_of(d), &d->life, clock_ms() + after_ms, on_life);
}

void swarm_device_enter(struct swarm_device *d, enum swarm_device_state state)
{
    must(may_enter[d->state] >> state & 1);
    d->state = state;
}

void swarm_device_notice(const struct swarm_device *d, const char *event, json_t *fields)
{
    if (d->world->notice)
        d->world->notice(d->world, d, event, fields);
    else
        json_decref(fields);
}

void swarm_device_error(struct swarm_device *d, const char *what)
{
    swarm_reasons_add(&d->world->stats.protocol_errors, what);
    swarm_device_notice(d, "protocol_error", json_pack("{s:s}", "what", what));
}

uint64_t swarm_device_keepalive_ms(const struct swarm_device *d)
{
    if (d->world->keepalive_ms)
        return scaled(d, d->world->keepalive_ms);
    return scaled(d, d->model->platform->cellular ? KEEPALIVE_CELLULAR_MS : KEEPALIVE_WIFI_MS);
}

/* Everything that belongs to the link and not to the session. */
static void link_down(struct swarm_device *d)
{
    swarm_update_link_down(d);
    swarm_exchange_reset(&d->exchange);
    swarm_requests_forget(d);
    d->settle_left = 0;
    d->pinged_ms = 0;
}

/* device-protocol 7.5: 1 s five times, 2 s five times, ... 64 s five times, then 128 s. */
static void back_off(struct swarm_device *d)
{
    unsigned int doublings = d->failures / 5;

    if (d->failures < UINT8_MAX)
        d->failures++;
    if (doublings > BACK_OFF_DOUBLINGS_MAX)
        doublings = BACK_OFF_DOUBLINGS_MAX;
    swarm_device_set_life(d, scaled(d, (uint64_t)BACK_OFF_MS << doublings));
}

void swarm_device_went_offline(struct swarm_device *d, const char *reason)
{
    link_down(d);
    swarm_device_enter(d, SWARM_DEVICE_OFFLINE);
    back_off(d);
    swarm_device_notice(d, "offline", json_pack("{s:s}", "reason", reason));
}

/* The session is dead and nobody asked for it: full handshake next. */
void swarm_device_lose(struct swarm_device *d, const char *reason)
{
    swarm_reasons_add(&d->world->stats.sessions_lost, reason);
    swarm_session_drop(&d->session);
    swarm_device_went_offline(d, reason);
}

bool swarm_device_can_resume(const struct swarm_device *d)
{
    return swarm_session_can_move(&d->session) || swarm_device_is_deviceos(d);
}

/* The link is bad and the session may be good: resume over a new socket (device-protocol 2.8). */
void swarm_device_drop_link(struct swarm_device *d, const char *reason)
{
    if (!swarm_device_can_resume(d) || d->resume_uses >= RESUME_USES_MAX) {
        swarm_device_lose(d, swarm_session_lost_by_move(&d->session) ? "silent_after_move" : reason);
        return;
    }
    swarm_session_suspend(&d->session);
    swarm_device_went_offline(d, reason);
}

/* --- connecting --- */

static void greet(struct swarm_device *d)
{
    swarm_device_enter(d, SWARM_DEVICE_GREETING);
    swarm_talk_hello(d);
}

static void connect_anew(struct swarm_device *d)
{
    struct swarm_credentials credentials = swarm_model_credentials(d->model, d->world->server);

    swarm_device_enter(d, SWARM_DEVICE_CONNECTING);
    d->started_ms = clock_ms();
    d->resume_uses = 0;
    if (!swarm_session_open(&d->session, &credentials, clock_ms())) {
        swarm_reasons_add(&d->world->stats.handshakes_failed, "no_socket");
        swarm_device_went_offline(d, "no_socket");
    }
}

static void connect_again(struct swarm_device *d)
{
    if (!swarm_session_resume(&d->session)) {
        swarm_device_went_offline(d, "no_socket");
        return;
    }
    d->started_ms = clock_ms();
    d->resume_uses++;
    d->world->stats.resumes++;
    if (d->changed) { /* Hello inside the old session: device-protocol 4.2 */
        greet(d);
        return;
    }
    swarm_device_enter(d, SWARM_DEVICE_RESUMING);
    swarm_talk_ping(d);
    swarm_device_set_life(d, scaled(d, PING_WAIT_MS));
}

void swarm_device_vanish(struct swarm_device *d, const char *reason)
{
    link_down(d);
    swarm_session_drop(&d->session);
    deadline_cancel(deadlines_of(d), &d->life);
    swarm_device_enter(d, SWARM_DEVICE_STOPPED);
    swarm_truth_tell(d, "vanished", json_pack("{s:s}", "reason", reason));
    swarm_device_notice(d, "stopped", json_pack("{s:s}", "reason", reason));
}

void swarm_device_go_silent(struct swarm_device *d, const char *reason, uint64_t after_ms)
{
    link_down(d);
    if (d->session.state == SWARM_SESSION_UP && swarm_device_can_resume(d))
        swarm_session_suspend(&d->session);
    else if (d->session.state != SWARM_SESSION_SUSPENDED)
        swarm_session_drop(&d->session);
    swarm_device_enter(d, SWARM_DEVICE_REBOOTING);
    d->reset_reason = reason;
    swarm_device_set_life(d, after_ms);
    swarm_device_notice(d, "offline", json_pack("{s:s}", "reason", "rebooting"));
}

/* A session that was taken up three times in vain is not taken up again (device-protocol 2.7). */
static void connect_device(struct swarm_device *d)
{
    if (!swarm_firmware_can_connect(&d->model->firmware, d->model->platform)) {
        swarm_device_vanish(d, "unreachable");
        return;
    }
    if (d->session.state == SWARM_SESSION_SUSPENDED && d->resume_uses < RESUME_USES_MAX)
        connect_again(d);
    else
        connect_anew(d);
}

static void on_up(void *owner)
{
    struct swarm_device *d = owner;

    d->handshakes++;
    d->world->stats.handshakes_ok++;
    deadline_cancel(deadlines_of(d), &d->life);
    greet(d);
}

static void on_failed(void *owner, enum swarm_dtls_result result, uint8_t alert)
{
    struct swarm_device *d = owner;
    char reason[SWARM_REASON_SIZE];

    if (result == SWARM_DTLS_ALERT)
        (void)snprintf(reason, sizeof(reason), "alert_%u", alert);
    else
        (void)snprintf(reason, sizeof(reason), "%s", swarm_dtls_result_name(result));
    swarm_reasons_add(&d->world->stats.handshakes_failed, reason);
    swarm_device_notice(d, "failed", json_pack("{s:s}", "reason", reason));
    swarm_device_went_offline(d, reason);
}

/* An alert before Hello was acknowledged is the server's answer to who we are, and no death of a session. */
static void on_ended(void *owner, uint8_t alert)
{
    struct swarm_device *d = owner;
    char reason[SWARM_REASON_SIZE];

    (void)snprintf(reason, sizeof(reason), alert ? "ended_by_alert_%u" : "close_notify", alert);
    if (alert && d->state == SWARM_DEVICE_GREETING) {
        swarm_reasons_add(&d->world->stats.refusals, reason);
        swarm_device_notice(d, "failed", json_pack("{s:s}", "reason", reason));
    } else {
        swarm_reasons_add(&d->world->stats.sessions_lost, reason);
    }
    swarm_device_went_offline(d, reason);
}

static void became_online(struct swarm_device *d)
{
    swarm_device_enter(d, SWARM_DEVICE_ONLINE);
    d->failures = 0;
    swarm_samples_add(&d->world->stats.online_ms, clock_ms() - d->started_ms);
    swarm_device_set_life(d, swarm_device_keepalive_ms(d));
    swarm_device_notice(d, "online",
                        json_pack("{s:i,s:i,s:s}", "platform", (int)d->model->platform->id, "handshakes",
                                  (int)d->handshakes, "profile",
                                  swarm_device_is_deviceos(d) ? "deviceos" : "psk"));
    if (d->world->settled)
        d->world->settled(d->world, d);
}

void swarm_device_settle(struct swarm_device *d)
{
    if (d->state == SWARM_DEVICE_SETTLING && d->settle_left == 0)
        became_online(d);
}

/* --- what comes in --- */

static void on_message(void *owner, const uint8_t *data, size_t data_len)
{
    struct swarm_device *d = owner;

    d->resume_uses = 0;
    if (data_len > swarm_platform_max_message(d->model->platform, d->model->firmware.system_version))
        swarm_device_error(d, "message_too_long");
    if (d->state == SWARM_DEVICE_ONLINE && !d->pinged_ms) /* any message will do instead of a ping: 2.10 */
        swarm_device_set_life(d, swarm_device_keepalive_ms(d));
    swarm_exchange_receive(&d->exchange, data, data_len);
}
static const struct swarm_session_ops session_ops = {
    .up = on_up, .failed = on_failed, .ended = on_ended, .message = on_message};
/* What a boot does to memory. */
static void boot(struct swarm_device *d)
{
    swarm_update_power_lost(d);
    link_down(d);
    swarm_device_enter(d, SWARM_DEVICE_OFFLINE);
    d->told_reset = false;
    d->clock_valid = false;
    d->forced_updates = false;
    d->failures = 0;
    d->pins = 0;
    d->boot_ms = clock_ms();
    swarm_random(&d->exchange.token, sizeof(d->exchange.token));
    swarm_boot_came_up(d);
}

/* After the silence of an update. */
static void come_up(struct swarm_device *d)
{
    struct swarm_defects *defects = d->model->defects;

    d->world->stats.reboots++;
    boot(d);
    if (defects && swarm_defect_strikes(&defects->forget_session))
        swarm_session_drop(&d->session);
    connect_device(d);
}

/* --- deadlines --- */

static void fall_asleep(struct swarm_device *d)
{
    bool sleeps = d->sleep_for_ms > 0;

    link_down(d);
    swarm_device_enter(d, sleeps ? SWARM_DEVICE_ASLEEP : SWARM_DEVICE_STOPPED);
    if (swarm_device_can_resume(d))
        swarm_session_suspend(&d->session);
    else
        swarm_session_drop(&d->session);
    if (sleeps)
        swarm_device_set_life(d, d->sleep_for_ms);
    swarm_device_notice(d, sleeps ? "asleep" : "stopped", json_object());
}

void swarm_device_wake(struct swarm_device *d)
{
    must(d->state == SWARM_DEVICE_ASLEEP);
    swarm_schedule_awake(d);
    if (d->session.state != SWARM_SESSION_SUSPENDED)
        swarm_device_enter(d, SWARM_DEVICE_OFFLINE);
    connect_device(d);
}

static void on_life(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_device *d = DEVICE_OF(deadline, life);

    (void)now_ms;
    switch (d->state) {
    case SWARM_DEVICE_OFFLINE:
        connect_device(d);
        break;
    case SWARM_DEVICE_REBOOTING:
        come_up(d);
        break;
    case SWARM_DEVICE_ASLEEP:
        swarm_device_wake(d);
        break;
    case SWARM_DEVICE_LEAVING:
        fall_asleep(d);
        break;
    case SWARM_DEVICE_RESUMING:
        swarm_device_drop_link(d, "resume_unanswered");
        break;
    case SWARM_DEVICE_ONLINE:
        if (swarm_update_is_busy(d)) { /* chunks keep the link alive */
            swarm_device_set_life(d, swarm_device_keepalive_ms(d));
            break;
        }
        if (d->pinged_ms) {
            swarm_device_drop_link(d, "ping_unanswered");
            break;
        }
        swarm_talk_ping(d);
        swarm_device_set_life(d, scaled(d, PING_WAIT_MS));
        break;
    default:
        break;
    }
}

/* --- from outside --- */

bool swarm_device_publish(struct swarm_device *d, const char *name, const char *data)
{
    if ((d->state != SWARM_DEVICE_ONLINE && d->state != SWARM_DEVICE_SETTLING) || swarm_update_is_busy(d))
        return false;
    swarm_talk_event(d, name, data, false);
    return true;
}

bool swarm_device_rebind(struct swarm_device *d)
{
    if (d->session.state != SWARM_SESSION_UP || !swarm_session_can_move(&d->session) ||
        d->state == SWARM_DEVICE_LEAVING || !swarm_session_rebind(&d->session))
        return false;
    d->world->stats.rebinds++;
    return true;
}

bool swarm_device_resume(struct swarm_device *d)
{
    if (d->state != SWARM_DEVICE_ONLINE || !swarm_device_can_resume(d))
        return false;
    swarm_session_suspend(&d->session);
    link_down(d);
    swarm_device_enter(d, SWARM_DEVICE_OFFLINE);
    connect_again(d);
    return true;
}

bool swarm_device_goodbye(struct swarm_device *d, uint64_t sleep_ms)
{
    if (d->state != SWARM_DEVICE_ONLINE)
        return false;
    swarm_device_enter(d, SWARM_DEVICE_LEAVING);
    d->sleep_for_ms = sleep_ms;
    swarm_device_set_life(d, scaled(d, GOODBYE_WAIT_MS));
    swarm_talk_goodbye(d, (uint32_t)((sleep_ms + 999) / 1000));
    return true;
}

void swarm_device_cold_boot(struct swarm_device *d)
{
    d->world->stats.cold_boots++;
    d->reset_reason = "power_down";
    boot(d);
    if (d->session.state == SWARM_SESSION_UP && swarm_device_can_resume(d))
        swarm_session_suspend(&d->session);
    else if (d->session.state != SWARM_SESSION_SUSPENDED)
        swarm_session_drop(&d->session);
    swarm_device_notice(d, "offline",
                        json_pack("{s:s,s:i}", "reason", "cold_boot", "resume_uses", (int)d->resume_uses));
    swarm_device_set_life(d, 0);
}

void swarm_device_reboot(struct swarm_device *d)
{
    d->world->stats.reboots++;
    boot(d);
    swarm_session_drop(&d->session);
    swarm_device_notice(d, "offline", json_pack("{s:s}", "reason", "reboot"));
    swarm_device_set_life(d, 0);
}

void swarm_device_init(struct swarm_device *d, struct swarm_world *world, struct swarm_model *model)
{
    memset(d, 0, sizeof(*d));
    d->world = world;
    d->model = model;
    d->boot_ms = clock_ms();
    d->reset_reason = "power_down";
    d->event_counter = clock_wall_ms(); /* so that data is never used twice, whatever ended the run before */
    swarm_session_init(&d->session, &world->loop.env, &session_ops, d);
    d->session.device_id = model->profile == SWARM_PROFILE_DEVICEOS ? model->id.bytes : NULL;
    swarm_exchange_init(&d->exchange, &world->loop.deadlines, (uint32_t)scaled(d, ACK_TIMEOUT_MS));
    d->exchange.ops = &swarm_answers_ops;
    d->exchange.owner = d;
}

void swarm_device_deinit(struct swarm_device *d)
{
    link_down(d);
    swarm_update_free(d);
    swarm_exchange_deinit(&d->exchange);
    swarm_session_drop(&d->session);
    deadline_cancel(deadlines_of(d), &d->life);
    swarm_schedule_stop(d);
}

void swarm_device_start(struct swarm_device *d, uint64_t after_ms)
{
    swarm_device_set_life(d, after_ms);
    swarm_schedule_start(d, clock_ms() + after_ms);
}
