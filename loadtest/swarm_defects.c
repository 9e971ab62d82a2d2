#include "swarm_defects.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "swarm_crypto.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FALL_BACK_S 5
#define POWER_LOSS_BYTES 40000

static const struct {
    const char *name;
    size_t offset;
    json_int_t least, most;
} table[] = {
#define XX(name, least, most) {#name, offsetof(struct swarm_defects, name), least, most},
    SWARM_DEFECT_MAP(XX)
#undef XX
};
#define DEFECTS (sizeof(table) / sizeof(table[0]))

static bool refuse(char *why, size_t why_size, const char *name)
{
    (void)snprintf(why, why_size, "defect %s: unknown, or its value is out of range", name);
    return false;
}

static bool read_collateral(struct swarm_defects *defects, json_t *object)
{
    const char *f = json_string_value(json_object_get(object, "f"));
    const char *n = json_string_value(json_object_get(object, "n"));
    json_t *v = json_object_get(object, "v");

    memset(&defects->collateral, 0, sizeof(defects->collateral));
    if (json_is_null(object))
        return true;
    if (!f || strlen(f) != 1 || !n || strlen(n) != 1 || !json_is_integer(v) || json_integer_value(v) < 0 ||
        json_integer_value(v) > 65535)
        return false;
    defects->collateral =
        (struct swarm_dependency){.f = f[0], .n = n[0], .v = (uint16_t)json_integer_value(v)};
    return true;
}

static bool read_one(struct swarm_defects *defects, const char *name, json_t *value)
{
    json_int_t number = json_is_true(value) ? SWARM_ALWAYS : json_integer_value(value);
    int32_t kept;

    if (strcmp(name, "collateral") == 0)
        return read_collateral(defects, value);
    for (size_t i = 0; i < DEFECTS; i++) {
        if (strcmp(table[i].name, name) != 0)
            continue;
        if (json_is_true(value) && table[i].least == 0 && table[i].most == 1)
            number = 1;
        if ((!json_is_integer(value) && !json_is_boolean(value)) || number < table[i].least ||
            number > table[i].most)
            return false;
        kept = (int32_t)number;
        memcpy((char *)defects + table[i].offset, &kept, sizeof(kept));
        return true;
    }
    return false;
}

bool swarm_defects_read(struct swarm_defects *defects, json_t *object, char *why, size_t why_size)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return refuse(why, why_size, "list");
    json_object_foreach (object, name, value)
        if (!read_one(defects, name, value))
            return refuse(why, why_size, name);
    return true;
}

bool swarm_defect_strikes(int32_t *times)
{
    if (*times > 0)
        return (*times)-- > 0;
    return *times == SWARM_ALWAYS;
}

/* Each defect is drawn by itself. */
static bool drawn(double percent, const char *seed, const char *what, const char *id)
{
    uint8_t digest[SWARM_HASH_BYTES];
    char *text;

    if (percent <= 0)
        return false;
    text = mem_printf("%s %s %s", seed, what, id);
    swarm_sha256(digest, text, strlen(text));
    free(text);
    return be32_load(digest) * 100.0 < percent * 4294967296.0;
}

bool swarm_defects_draw(struct swarm_defects *defects, const struct swarm_defect_shares *shares,
                        const char *seed, const char *id)
{
    memset(defects, 0, sizeof(*defects));
    defects->lie = drawn(shares->lie, seed, "lie", id) ? SWARM_ALWAYS : 0;
    defects->fall_back_s = drawn(shares->fall_back, seed, "fall_back", id) ? FALL_BACK_S : 0;
    defects->never_back = drawn(shares->never_back, seed, "never_back", id) ? SWARM_ALWAYS : 0;
    defects->power_loss_at = drawn(shares->power_loss, seed, "power_loss", id) ? POWER_LOSS_BYTES : 0;
    defects->ignore_finish = drawn(shares->ignore_finish, seed, "ignore_finish", id) ? SWARM_ALWAYS : 0;
    defects->updates_disabled = drawn(shares->updates_disabled, seed, "updates_disabled", id);
    defects->cached_describe = drawn(shares->cached_describe, seed, "cached_describe", id) ? SWARM_ALWAYS : 0;
    return defects->lie || defects->fall_back_s || defects->never_back || defects->power_loss_at ||
           defects->ignore_finish || defects->updates_disabled || defects->cached_describe;
}
