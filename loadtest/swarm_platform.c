#include "swarm_platform.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct swarm_platform platforms[] = {
    {.name = "core",
     .id = 0,
     .generation = 1,
     .id_prefix = {0x51, 0xff, 0x69, 0x06},
     .max_binary = 110592,
     .releases = {"9 1.23 m0:9", "105 1.28 m0:105", "1404 1.28 m0:1404"}},
    {.name = "photon",
     .id = 6,
     .generation = 2,
     .id_prefix = {0x2b, 0x00, 0x3a, 0x00},
     .max_binary = 262144,
     .releases = {"9 - b0:5 s1:9 s2:9 u1:2", "207 - b0:101 s1:207 s2:207 u1:3",
                  "1406 - b0:400 s1:1406 s2:1406 u1:5", "2302 - b0:1005 s1:2302 s2:2302 u1:5"}},
    {.name = "electron",
     .id = 10,
     .generation = 2,
     .cellular = true,
     .id_prefix = {0x1f, 0x00, 0x38, 0x00},
     .max_binary = 262144,
     .releases = {"110 - b0:11 s1:110 s2:110 s3:110 u1:3", "1406 - b0:400 s1:1406 s2:1406 s3:1406 u1:5",
                  "3302 - b0:1100 s1:3302 s2:3302 s3:3302 u1:6"}},
    {.name = "argon",
     .id = 12,
     .generation = 3,
     .id_prefix = {0xe0, 0x0f, 0xce, 0x68},
     .max_binary = 1536000,
     .releases = {"1406 - b0:501 s1:1406 u1:5 c0:3 a0:182", "2302 - b0:1005 s1:2302 u1:5 c0:4 a0:202",
                  "4200 - b0:1200 s1:4200 u1:6 c0:4 a0:202", "5501 - b0:2300 s1:5501 u1:6 c0:5 a0:202",
                  "6200 - b0:3100 s1:6200 u1:6 c0:5 a0:202"}},
    {.name = "boron",
     .id = 13,
     .generation = 3,
     .cellular = true,
     .id_prefix = {0xe0, 0x0f, 0xce, 0x68},
     .max_binary = 1536000,
     .releases = {"1404 - b0:501 s1:1404 u1:5 a0:182", "2302 - b0:1005 s1:2302 u1:5 a0:202",
                  "4003 - b0:1101 s1:4003 u1:6 a0:202", "6200 - b0:3100 s1:6200 u1:6 a0:202"}},
    {.name = "tracker",
     .id = 26,
     .generation = 3,
     .cellular = true,
     .id_prefix = {0xe0, 0x0f, 0xce, 0x68},
     .max_binary = 1536000,
     .releases = {"2011 - b0:1006 s1:2011 u1:5 c0:5 a0:202", "3302 - b0:1100 s1:3302 u1:6 c0:7 a0:202",
                  "6200 - b0:3100 s1:6200 u1:6 c0:7 a0:202"}},
    {.name = "p2",
     .id = 32,
     .generation = 4,
     .id_prefix = {0x0a, 0x10, 0xac, 0xed},
     .max_binary = 1572864,
     .releases = {"5002 - b0:2000 b1:1 b2:7 s1:5002 u1:6", "5802 - b0:2601 b1:1 b2:9 s1:5802 u1:6",
                  "6200 - b0:3100 b1:1 b2:9 s1:6200 u1:6"}},
};

const struct swarm_platform *swarm_platform_by_id(uint16_t id)
{
    for (size_t i = 0; i < sizeof(platforms) / sizeof(platforms[0]); i++)
        if (platforms[i].id == id)
            return &platforms[i];
    return NULL;
}

const struct swarm_platform *swarm_platform_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof(platforms) / sizeof(platforms[0]); i++)
        if (strcasecmp(platforms[i].name, name) == 0)
            return &platforms[i];
    return NULL;
}

size_t swarm_platform_releases(const struct swarm_platform *p)
{
    size_t count = 0;

    while (count < sizeof(p->releases) / sizeof(p->releases[0]) && p->releases[count])
        count++;
    return count;
}

uint32_t swarm_platform_slot_bytes(const struct swarm_platform *p, char f)
{
    switch (f) {
    case 'b':
        return p->generation >= 3 ? 49152 : 16384;
    case 'm':
        return 110592;
    case 's':
        return p->generation == 4 ? 1572864 : p->generation == 3 ? 573440 : 262144;
    case 'u':
        return p->generation == 4 ? 1572864 : p->generation == 3 ? 262144 : 131072;
    case 'a':
        return 155648;
    default:
        return 1536000;
    }
}

struct swarm_module *swarm_firmware_find(struct swarm_firmware *fw, char f, char n)
{
    for (size_t i = 0; i < fw->module_count; i++)
        if (fw->modules[i].f == f && fw->modules[i].n == n)
            return &fw->modules[i];
    return NULL;
}

/* What the headers of such images ask for (device-protocol 7.3); met by what is installed. */
static void set_dependencies(struct swarm_firmware *fw, const struct swarm_platform *p,
                             struct swarm_module *m)
{
    const struct swarm_module *system = swarm_firmware_find(fw, 's', '1'),
                              *boot = swarm_firmware_find(fw, 'b', '0'),
                              *radio = swarm_firmware_find(fw, 'a', '0');
    const struct swarm_module *second = swarm_firmware_find(fw, 's', '2');

    memset(m->depends, 0, sizeof(m->depends));
    if (m->f == 'u' && system)
        m->depends[0] = (struct swarm_dependency){'s', p->generation == 2 && second ? '2' : '1', system->v};
    if (m->f != 's')
        return;
    if (p->generation == 2 && m->n == '1' && second)
        m->depends[0] = (struct swarm_dependency){'s', '2', 207 < second->v ? 207 : second->v};
    else if (boot)
        m->depends[0] = (struct swarm_dependency){'b', '0', boot->v};
    if (p->generation == 3 && radio && m->v >= 2000)
        m->depends[1] = (struct swarm_dependency){'a', '0', radio->v};
}

static bool is_system(const struct swarm_module *m)
{
    return m->f == 'm' || (m->f == 's' && m->n == '1');
}

bool swarm_firmware_set(struct swarm_firmware *fw, const struct swarm_platform *p, char f, char n, uint16_t v)
{
    struct swarm_module *m = swarm_firmware_find(fw, f, n);

    if (!m) {
        if (fw->module_count == SWARM_MODULES_MAX)
            return false;
        m = &fw->modules[fw->module_count++];
        *m = (struct swarm_module){.f = f, .n = n, .slot_bytes = swarm_platform_slot_bytes(p, f)};
    }
    m->has_hash = m->has_hash && m->v == v;
    m->v = v;
    if (is_system(m))
        fw->system_version = v;
    /* Headers of the modules already there do not change with the newcomer. */
    set_dependencies(fw, p, m);
    return true;
}

/* One word of a release, up to a space; returns what follows it. */
static const char *next_word(const char *at, char *word, size_t word_size)
{
    size_t len = strcspn(at, " ");

    must(len < word_size);
    memcpy(word, at, len);
    word[len] = 0;
    return at + len + strspn(at + len, " ");
}

void swarm_platform_firmware(const struct swarm_platform *p, size_t i, struct swarm_firmware *out)
{
    char word[SWARM_CC3000_SIZE];
    uint16_t system_version;
    const char *at;

    must(i < swarm_platform_releases(p));
    memset(out, 0, sizeof(*out));
    at = next_word(p->releases[i], word, sizeof(word));
    system_version = (uint16_t)strtoul(word, NULL, 10);
    at = next_word(at, word, sizeof(word));
    if (strcmp(word, "-") != 0)
        memcpy(out->cc3000, word, sizeof(out->cc3000));
    while (*at) {
        bool ok;

        at = next_word(at, word, sizeof(word)); /* like b0:501 */
        ok = swarm_firmware_set(out, p, word[0], word[1], (uint16_t)strtoul(word + 3, NULL, 10));
        must(ok);
    }
    for (size_t m = 0; m < out->module_count; m++) /* now that all are known */
        set_dependencies(out, p, &out->modules[m]);
    out->system_version = system_version;
}

uint16_t swarm_platform_max_message(const struct swarm_platform *p, uint16_t system_version)
{
    if (system_version < 3000)
        return 800;
    return p->generation <= 2 ? 960 : 1152;
}

uint8_t swarm_platform_hello_flags(const struct swarm_platform *p, uint16_t system_version)
{
    unsigned int flags = 0;

    if (system_version >= 300)
        flags |= 0x02; /* diagnostics */
    if (system_version >= 1200)
        flags |= 0x04; /* forced and pending updates */
    if (system_version >= 2000)
        flags |= 0x10 | 0x20 | 0x40; /* goodbye, pushes its describes, compressed images */
    if (system_version >= 3000 && p->generation >= 3)
        flags |= 0x80; /* update protocol 3 */
    return (uint8_t)flags;
}
