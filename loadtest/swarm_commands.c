#include "swarm_commands.h"
#include "swarm_scenario.h"
#include "swarm_talk.h"
#include "swarm_truth.h"
#include <string.h>

/* NULL = done, else why not. d is NULL where a command needs no device. */
typedef const char *command_fn(struct swarm_commands *c, struct swarm_device *d, json_t *command);

static const char *text_of(json_t *command, const char *key)
{
    return json_string_value(json_object_get(command, key));
}

static const char *do_event(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    const char *name = text_of(command, "name"), *data = text_of(command, "data");

    (void)c;
    if (!name || strlen(name) > 64 || (data && strlen(data) > 622))
        return "name missing, or name or data too long";
    if (!swarm_device_publish(d, name, data ? data : ""))
        return "the device is not connected";
    /* From here on the device has this patch, and says so at each connection. */
    if (strcmp(name, "spark/cc3000-patch-version") == 0 && data && strlen(data) < SWARM_CC3000_SIZE)
        memcpy(d->model->firmware.cc3000, data, strlen(data) + 1);
    return NULL;
}

static const char *do_module(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    const char *f = text_of(command, "f"), *n = text_of(command, "n");
    json_t *v = json_object_get(command, "v");

    (void)c;
    if (!f || strlen(f) != 1 || !n || strlen(n) != 1 || !json_is_integer(v) || json_integer_value(v) < 0 ||
        json_integer_value(v) > 65535)
        return "f, n and v are needed";
    if (!swarm_firmware_set(&d->model->firmware, d->model->platform, f[0], n[0],
                            (uint16_t)json_integer_value(v)))
        return "no room for another module";
    swarm_truth_tell_modules(d);
    d->changed = true;
    return NULL;
}

/* Which of its updates go wrong, and how. */
static const char *do_defects(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    static char why[128]; /* until the answer is printed */

    (void)c;
    if (!swarm_defects_read(swarm_model_defects(d->model), json_object_get(command, "set"), why, sizeof(why)))
        return why;
    return NULL;
}

/* Its application wants updates, or none (device-protocol 5.6). */
static const char *do_updates(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    json_t *enabled = json_object_get(command, "enabled");

    (void)c;
    if (!json_is_boolean(enabled))
        return "enabled is needed";
    swarm_model_defects(d->model)->updates_disabled = json_is_false(enabled);
    (void)!swarm_device_publish(d, "particle/device/updates/enabled",
                                json_is_true(enabled) ? "true" : "false");
    return NULL;
}

static const char *do_reboot(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    (void)c;
    (void)command;
    swarm_device_reboot(d);
    return NULL;
}

static const char *do_cold_boot(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    (void)c;
    (void)command;
    swarm_device_cold_boot(d);
    return NULL;
}

/* An eavesdropper sends again what the device has sent, from another address; all devices without "device".
 */
static const char *do_replay(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    if (c->loop->env.replay.percent <= 0)
        return "--replay is needed: without it nothing is kept";
    if (!d && text_of(command, "device"))
        return "no such device";
    for (size_t i = 0; i < c->device_count; i++)
        if (!d || d == &c->devices[i])
            swarm_session_replay(&c->devices[i].session);
    return NULL;
}

static const char *do_describe(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    json_t *flags = json_object_get(command, "flags");
    json_int_t value = json_is_integer(flags) ? json_integer_value(flags) : SWARM_DESCRIBE_SYSTEM;

    (void)c;
    if (value != SWARM_DESCRIBE_SYSTEM && value != SWARM_DESCRIBE_APP && value != SWARM_DESCRIBE_METRICS)
        return "flags must be 1, 2 or 4";
    if (d->state != SWARM_DEVICE_ONLINE && d->state != SWARM_DEVICE_SETTLING)
        return "the device is not connected";
    if (value == SWARM_DESCRIBE_SYSTEM)
        d->changed = false;
    swarm_talk_describe(d, (unsigned int)value, false);
    return NULL;
}

static const char *do_rebind(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    (void)c;
    (void)command;
    return swarm_device_rebind(d) ? NULL : "no session, or none that can move";
}

static const char *do_resume(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    (void)c;
    (void)command;
    return swarm_device_resume(d) ? NULL : "the device is not online, or its session cannot be resumed";
}

static const char *do_goodbye(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    json_t *sleep_s = json_object_get(command, "sleep_s");
    double seconds = json_is_number(sleep_s) ? json_number_value(sleep_s) : 0;

    (void)c;
    if (seconds < 0 || seconds > 1e6)
        return "sleep_s out of range";
    return swarm_device_goodbye(d, (uint64_t)(seconds * 1000)) ? NULL : "the device is not online";
}

static const char *do_ping(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    (void)c;
    (void)command;
    if (d->state != SWARM_DEVICE_ONLINE || d->pinged_ms)
        return "the device is not online, or a ping is under way";
    swarm_talk_ping(d);
    return NULL;
}

static json_t *device_status(const struct swarm_device *d)
{
    return json_pack("{s:s,s:s,s:s,s:i,s:i,s:I,s:I}", "id", d->model->id_text, "name", d->model->name,
                     "state", swarm_device_state_name(d->state), "platform", (int)d->model->platform->id,
                     "handshakes", (int)d->handshakes, "unacknowledged", (json_int_t)d->exchange.con_count,
                     "last_event", (json_int_t)d->event_counter);
}

static const char *do_status(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    json_t *devices = json_array();
    size_t online = 0;

    (void)d;
    (void)command;
    for (size_t i = 0; i < c->device_count; i++) {
        online += c->devices[i].state == SWARM_DEVICE_ONLINE;
        json_array_append_new(devices, device_status(&c->devices[i]));
    }
    swarm_control_print(json_pack("{s:s,s:I,s:o,s:o}", "event", "status", "online", (json_int_t)online,
                                  "devices", devices, "stats",
                                  swarm_stats_json(&c->devices[0].world->stats)));
    return NULL;
}

/* Counts and percentiles begin anew. */
static const char *do_clear(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    (void)d;
    (void)command;
    swarm_stats_clear(&c->devices[0].world->stats);
    return NULL;
}

static const char *do_go(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    (void)d;
    (void)command;
    return c->scenario && swarm_scenario_go(c->scenario) ? NULL : "no step awaits it";
}

static const char *do_quit(struct swarm_commands *c, struct swarm_device *d, json_t *command)
{
    (void)d;
    (void)command;
    swarm_loop_end(c->loop);
    return NULL;
}

static const struct {
    const char *name;
    command_fn *run;
    bool needs_device;
} table[] = {
    {"clear", do_clear, false},      {"cold_boot", do_cold_boot, true}, {"defects", do_defects, true},
    {"describe", do_describe, true}, {"event", do_event, true},         {"go", do_go, false},
    {"goodbye", do_goodbye, true},   {"module", do_module, true},       {"ping", do_ping, true},
    {"quit", do_quit, false},        {"reboot", do_reboot, true},       {"rebind", do_rebind, true},
    {"replay", do_replay, false},    {"resume", do_resume, true},       {"status", do_status, false},
    {"updates", do_updates, true}};

static struct swarm_device *find(const struct swarm_commands *c, const char *id)
{
    for (size_t i = 0; id && i < c->device_count; i++)
        if (strcmp(c->devices[i].model->id_text, id) == 0 || strcmp(c->devices[i].model->name, id) == 0)
            return &c->devices[i];
    return NULL;
}

static const char *dispatch(struct swarm_commands *c, const char *name, json_t *command)
{
    struct swarm_device *d = find(c, text_of(command, "device"));

    for (size_t i = 0; name && i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i].name, name) != 0)
            continue;
        if (table[i].needs_device && !d)
            return "no such device";
        return table[i].run(c, d, command);
    }
    return "unknown command";
}

static void on_command(void *owner, json_t *command)
{
    const char *name = text_of(command, "cmd");
    const char *why = dispatch(owner, name, command);
    json_t *answer = json_pack("{s:s,s:s}", "event", why ? "error" : "ok", "cmd", name ? name : "");

    if (text_of(command, "device"))
        json_object_set(answer, "device", json_object_get(command, "device"));
    if (why)
        json_object_set_new(answer, "reason", json_string(why));
    swarm_control_print(answer);
}

static void on_ended(void *owner)
{
    struct swarm_commands *c = owner;

    swarm_loop_end(c->loop);
}

const struct swarm_control_ops swarm_commands_ops = {.command = on_command, .ended = on_ended};
