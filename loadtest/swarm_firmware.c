#include "swarm_firmware.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLATFORM_CORE 0
#define PLATFORM_ARGON 12
#define MCU_ESP32 0x21
#define DATA_CHANNEL_SINCE 3001 /* the system that cannot open one with an older co-processor */
#define DATA_CHANNEL_NCP 4

static const struct swarm_module *find(const struct swarm_firmware *fw, char f, char n)
{
    for (size_t i = 0; i < fw->module_count; i++)
        if (fw->modules[i].f == f && fw->modules[i].n == n)
            return &fw->modules[i];
    return NULL;
}

/* "1.28" is 128, as the version of the pseudo module that carries the patch. */
static uint16_t patch_number(const char *text)
{
    char *end;
    unsigned long major = strtoul(text, &end, 10), minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

    return (uint16_t)(major * 100 + minor);
}

static bool is_patch(const struct swarm_platform *p, char f, char n)
{
    return p->id == PLATFORM_CORE && f == 'r' && n == '0';
}

uint16_t swarm_firmware_version(const struct swarm_firmware *fw, char f, char n)
{
    const struct swarm_module *m = find(fw, f, n);

    if (f == 'r')
        return patch_number(fw->cc3000);
    return m ? m->v : 0;
}

/* --- what it takes --- */

static bool has_place(const struct swarm_firmware *fw, const struct swarm_platform *p,
                      const struct swarm_part *part)
{
    if (is_patch(p, part->f, part->n) || part->f == 'u')
        return true;
    return find(fw, part->f, part->n) != NULL && !(p->id == PLATFORM_CORE && part->f == 'b');
}

static bool is_met(const struct swarm_firmware *fw, const struct swarm_dependency *depends)
{
    return depends->f == 0 || swarm_firmware_version(fw, depends->f, depends->n) >= depends->v;
}

/* System parts need their dependencies met, and the other system parts still met by them. */
static bool depends_fit(const struct swarm_firmware *fw, const struct swarm_part *part)
{
    if (part->f == 'u') /* not asked for: it boots into safe mode until they are met */
        return true;
    if (!is_met(fw, &part->depends[0]) || !is_met(fw, &part->depends[1]))
        return false;
    for (size_t i = 0; part->f == 's' && i < fw->module_count; i++)
        for (size_t k = 0; fw->modules[i].f == 's' && k < 2; k++) {
            const struct swarm_dependency *other = &fw->modules[i].depends[k];

            if (other->f == 's' && other->n == part->n && fw->modules[i].n != part->n &&
                other->v > part->version)
                return false;
        }
    return true;
}

enum swarm_code swarm_firmware_judge(const struct swarm_firmware *fw, const struct swarm_platform *p,
                                     const struct swarm_part *part)
{
    if (part->platform != p->id)
        return SWARM_CODE_PLATFORM;
    if (!has_place(fw, p, part) || (part->f == 'c' && part->mcu != MCU_ESP32))
        return SWARM_CODE_UNSUPPORTED;
    if (part->flags & SWARM_BINARY_COMPRESSED && part->f != 'u' && part->f != 's')
        return SWARM_CODE_UNSUPPORTED;
    if (part->len > swarm_platform_slot_bytes(p, part->f))
        return SWARM_CODE_SIZE;
    return depends_fit(fw, part) ? SWARM_CODE_OK : SWARM_CODE_DEPENDENCY;
}

/* --- what it becomes --- */

static void set_patch(struct swarm_firmware *fw, uint16_t v)
{
    (void)snprintf(fw->cc3000, sizeof(fw->cc3000), "%u.%u", v / 100U, v % 100U);
}

/* The larger slot for applications takes the place of the older one. */
static void leave_other_slot(struct swarm_firmware *fw, char n)
{
    for (size_t i = 0; i < fw->module_count; i++)
        if (fw->modules[i].f == 'u' && fw->modules[i].n != n)
            fw->modules[i].n = n;
}

bool swarm_firmware_become(struct swarm_firmware *fw, const struct swarm_platform *p, char f, char n,
                           uint16_t v)
{
    if (is_patch(p, f, n)) {
        set_patch(fw, v);
        return true;
    }
    return swarm_firmware_set(fw, p, f, n, v);
}

bool swarm_firmware_install(struct swarm_firmware *fw, const struct swarm_platform *p,
                            const struct swarm_part *part)
{
    struct swarm_module *m;

    if (part->f == 'u')
        leave_other_slot(fw, part->n);
    if (!swarm_firmware_become(fw, p, part->f, part->n, part->version))
        return false;
    m = swarm_firmware_find(fw, part->f, part->n);
    if (!m)
        return true;
    memcpy(m->depends, part->depends, sizeof(m->depends));
    memcpy(m->hash, part->hash, sizeof(m->hash));
    m->has_hash = true;
    if (part->f == 'u' || part->f == 'm') {
        fw->product_id = part->product_id == 0xffff ? 0 : part->product_id;
        fw->product_version = part->product_version;
    }
    return true;
}

/* --- what follows from it --- */

bool swarm_firmware_meets(const struct swarm_firmware *fw, const struct swarm_module *m)
{
    return is_met(fw, &m->depends[0]) && is_met(fw, &m->depends[1]);
}

bool swarm_firmware_is_in_safe_mode(const struct swarm_firmware *fw)
{
    for (size_t i = 0; i < fw->module_count; i++)
        if (fw->modules[i].f == 'u' && !swarm_firmware_meets(fw, &fw->modules[i]))
            return true;
    return false;
}

bool swarm_firmware_can_connect(const struct swarm_firmware *fw, const struct swarm_platform *p)
{
    const struct swarm_module *ncp = find(fw, 'c', '0');

    return p->id != PLATFORM_ARGON || fw->system_version < DATA_CHANNEL_SINCE || !ncp || ncp->v == 0 ||
           ncp->v >= DATA_CHANNEL_NCP;
}
