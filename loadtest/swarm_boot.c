#include "swarm_boot.h"
#include "base/clock.h"
#include "swarm_device_private.h"
#include "swarm_update_private.h"
#include <string.h>

#define REBOOT_MS 10000 /* the bootloader copies the image: device-protocol 5.3 */
#define BETWEEN_MS 8000 /* up, and writing to the co-processor */
#define NCP_REBOOTS 3

static struct deadlines *deadlines_of(const struct swarm_update *u)
{
    return &u->device->world->loop.deadlines;
}

static uint64_t silence_ms(const struct swarm_update *u)
{
    const struct swarm_defects *defects = u->device->model->defects;

    if (defects && defects->reboot_s)
        return (uint64_t)defects->reboot_s * 1000;
    return swarm_update_scaled(u, REBOOT_MS);
}

void swarm_boot_stop(struct swarm_update *u)
{
    deadline_cancel(deadlines_of(u), &u->boots.next);
    deadline_cancel(deadlines_of(u), &u->boots.ncp_says);
    u->boots.left = 0;
}

static void on_next(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_update *u = SWARM_UPDATE_OF(deadline, boots.next);

    (void)now_ms;
    swarm_device_go_silent(u->device, "update", silence_ms(u));
}

/* --- applying --- */

static bool strikes(struct swarm_update *u, size_t offset)
{
    struct swarm_defects *defects = u->device->model->defects;
    int32_t times;
    bool happens;

    if (!defects)
        return false;
    memcpy(&times, (char *)defects + offset, sizeof(times));
    happens = swarm_defect_strikes(&times);
    memcpy((char *)defects + offset, &times, sizeof(times));
    return happens;
}
#define STRIKES(u, name) strikes(u, offsetof(struct swarm_defects, name))

/* What will run: parts that the device takes. Old protocols say nothing of those it does not. */
static void choose_parts(struct swarm_update *u)
{
    const struct swarm_model *m = u->device->model;
    const struct swarm_binary *binary = &u->image->binary;

    u->boots.part_count = 0;
    u->boots.writes_ncp = false;
    if (swarm_image_check(u->image) != SWARM_CODE_OK)
        return;
    for (size_t i = 0; i < binary->part_count; i++) {
        if (swarm_firmware_judge(&m->firmware, m->platform, &binary->parts[i]) != SWARM_CODE_OK)
            continue;
        u->boots.parts[u->boots.part_count++] = binary->parts[i];
        u->boots.writes_ncp = u->boots.writes_ncp || binary->parts[i].f == 'c';
    }
}

static uint32_t reboots_of(const struct swarm_update *u)
{
    const struct swarm_defects *defects = u->device->model->defects;

    if (!u->boots.writes_ncp)
        return 1;
    return defects && defects->ncp_reboots ? (uint32_t)defects->ncp_reboots : NCP_REBOOTS;
}

void swarm_boot_apply(struct swarm_update *u, bool is_judged)
{
    struct swarm_device *d = u->device;

    if (is_judged && STRIKES(u, apply_fails)) {
        swarm_update_fail(u, "apply_fails", SWARM_CODE_RESUMED_FAILED);
        swarm_update_throw_away(u, 0);
        swarm_device_drop_link(d, "apply_failed");
        return;
    }
    deadline_cancel(deadlines_of(u), &u->boots.next); /* no more falling back to what was before */
    swarm_update_quiet(u);
    u->state = SWARM_UPDATE_APPLYING;
    u->boots.key = u->key;
    choose_parts(u);
    if (STRIKES(u, lie)) {
        swarm_truth_tell(d, "lied", json_object());
        u->boots.part_count = 0;
        u->boots.writes_ncp = false;
    }
    u->boots.left = reboots_of(u);
    u->boots.was_noticed = !STRIKES(u, cached_describe);
    swarm_update_throw_away(u, 0);
    if (STRIKES(u, never_back)) {
        swarm_boot_stop(u);
        swarm_device_vanish(d, "never_back");
        return;
    }
    swarm_device_go_silent(d, "update", silence_ms(u));
}

/* --- what it runs then --- */

static void install(struct swarm_update *u, const struct swarm_part *part)
{
    struct swarm_model *m = u->device->model;
    uint16_t was = swarm_firmware_version(&m->firmware, part->f, part->n);
    struct swarm_told_module *told = swarm_told_module(&u->told, part->f, part->n, part->version);
    json_t *fields;

    if (!swarm_firmware_install(&m->firmware, m->platform, part))
        return;
    told->applied++;
    told->redundant += was == part->version;
    u->device->world->stats.updates_applied++;
    fields = json_pack("{s:s%,s:s%,s:i,s:i}", "f", &part->f, (size_t)1, "n", &part->n, (size_t)1, "v",
                       (int)part->version, "from", (int)was);
    swarm_truth_tell(u->device, "applied", json_deep_copy(fields));
    swarm_device_notice(u->device, "update_applied", fields);
}

static void move_bystander(struct swarm_update *u)
{
    struct swarm_model *m = u->device->model;
    struct swarm_dependency collateral =
        m->defects ? m->defects->collateral : (struct swarm_dependency){.f = 0};

    if (!u->boots.writes_ncp || collateral.f == 0 ||
        !swarm_firmware_become(&m->firmware, m->platform, collateral.f, collateral.n, collateral.v))
        return;
    m->defects->collateral.f = 0;
    swarm_truth_tell(u->device, "moved_in_passing",
                     json_pack("{s:s%,s:s%,s:i}", "f", &collateral.f, (size_t)1, "n", &collateral.n,
                               (size_t)1, "v", (int)collateral.v));
}

static void on_ncp_says(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_update *u = SWARM_UPDATE_OF(deadline, boots.ncp_says);

    (void)now_ms;
    u->device->model->firmware.ncp_silent = false;
}

static void on_fall_back(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_update *u = SWARM_UPDATE_OF(deadline, boots.next);
    struct swarm_device *d = u->device;

    (void)now_ms;
    d->model->firmware = u->boots.before;
    d->changed = true;
    u->told.fall_backs++;
    swarm_truth_tell(d, "fell_back", json_object());
    swarm_device_notice(d, "fell_back", json_object());
    swarm_device_go_silent(d, "update", silence_ms(u));
}

static void arm_defects(struct swarm_update *u, uint64_t now_ms)
{
    struct swarm_defects *defects = u->device->model->defects;

    if (!defects || u->boots.part_count == 0)
        return;
    if (defects->fall_back_s > 0)
        deadline_set(deadlines_of(u), &u->boots.next, now_ms + (uint64_t)defects->fall_back_s * 1000,
                     on_fall_back);
    defects->fall_back_s = 0;
    if (u->boots.writes_ncp && defects->ncp_unknown_s > 0) {
        u->device->model->firmware.ncp_silent = true;
        deadline_set(deadlines_of(u), &u->boots.ncp_says, now_ms + (uint64_t)defects->ncp_unknown_s * 1000,
                     on_ncp_says);
    }
}

static void finish(struct swarm_update *u, uint64_t now_ms)
{
    struct swarm_device *d = u->device;

    d->model->firmware.ncp_silent = false;
    u->boots.before = d->model->firmware;
    for (size_t i = 0; i < u->boots.part_count; i++)
        install(u, &u->boots.parts[i]);
    if (u->boots.part_count > 0) {
        swarm_told_file(&u->told, &u->boots.key)->applied++;
        d->model->update_applied = true;
        d->changed = u->boots.was_noticed;
        move_bystander(u);
    }
    u->state = SWARM_UPDATE_NONE;
    arm_defects(u, now_ms);
}

static void come_closer(struct swarm_update *u, uint64_t now_ms)
{
    struct swarm_device *d = u->device;

    u->boots.left--;
    if (u->boots.left == 1 && u->boots.writes_ncp) {
        d->model->firmware.ncp_silent = true;
        d->changed = true;
    }
    if (u->boots.left > 0)
        deadline_set(deadlines_of(u), &u->boots.next, now_ms + swarm_update_scaled(u, BETWEEN_MS), on_next);
    else
        finish(u, now_ms);
}

void swarm_boot_came_up(struct swarm_device *d)
{
    struct swarm_update *u = d->update;

    if (u)
        u->told.reboots++;
    if (u && u->state == SWARM_UPDATE_APPLYING && u->boots.left > 0)
        come_closer(u, clock_ms());
    swarm_truth_tell_modules(d);
}
