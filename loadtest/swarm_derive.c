#include "swarm_derive.h"
#include "base/bytes.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PSK_BYTES 16

static bool fail(char error[SWARM_ERROR_SIZE], const char *what, const char *why)
{
    (void)snprintf(error, SWARM_ERROR_SIZE, "%s: %s", what, why);
    return false;
}

static bool list_platforms(struct swarm_derive *d, const char *names, char error[SWARM_ERROR_SIZE])
{
    char *copy = mem_string(names ? names : "core,photon,electron,argon,boron,tracker,p2"), *save = NULL;
    bool ok = true;

    for (char *name = strtok_r(copy, ",", &save); name && ok && d->platform_count < SWARM_PLATFORMS_MAX;
         name = strtok_r(NULL, ",", &save)) {
        d->platforms[d->platform_count] = swarm_platform_by_name(name);
        ok = d->platforms[d->platform_count] != NULL ||
             fail(error, name, "unknown platform (core, photon, electron, argon, boron, tracker, p2)");
        d->platform_count += ok;
    }
    free(copy);
    return ok && (d->platform_count > 0 || fail(error, "platforms", "none named"));
}

bool swarm_derive_init(struct swarm_derive *d, const struct swarm_choice *choice,
                       char error[SWARM_ERROR_SIZE])
{
    memset(d, 0, sizeof(*d));
    d->choice = choice;
    d->mixed = strcmp(choice->profile, "mixed") == 0;
    if (!d->mixed && !swarm_profile_parse(&d->profile, choice->profile))
        return fail(error, choice->profile, "unknown profile (deviceos, psk, mixed)");
    return list_platforms(d, choice->platforms, error);
}

static void digest_of(uint8_t out[SWARM_HASH_BYTES], const char *seed, const char *what, uint32_t i)
{
    char text[512];
    int len = snprintf(text, sizeof(text), "cyan-swarm %s%s %u", what, seed, i);

    must(len > 0 && (size_t)len < sizeof(text));
    swarm_sha256(out, text, (size_t)len);
    bytes_wipe(text, sizeof(text));
}

void swarm_derive_model(const struct swarm_derive *d, uint32_t i, struct swarm_model *m)
{
    const struct swarm_platform *platform = d->platforms[i % d->platform_count];
    uint8_t digest[SWARM_HASH_BYTES];

    memset(m, 0, sizeof(*m));
    digest_of(digest, d->choice->seed, "", i);
    memcpy(m->id.bytes, platform->id_prefix, sizeof(platform->id_prefix));
    memcpy(m->id.bytes + 4, digest, 8);
    device_id_format(m->id_text, &m->id);
    (void)snprintf(m->name, sizeof(m->name), "%s-%s", platform->name, m->id_text + 8);
    m->platform = platform;
    swarm_platform_firmware(platform, digest[8] % swarm_platform_releases(platform), &m->firmware);
    /* Both kinds on each platform, whatever their number. */
    m->profile = d->mixed
                     ? (uint8_t)((i + i / d->platform_count) % 2 ? SWARM_PROFILE_PSK : SWARM_PROFILE_DEVICEOS)
                     : d->profile;
    m->cid = d->choice->cid;
}

void swarm_derive_keys(const struct swarm_derive *d, struct swarm_crypto *crypto, uint32_t i,
                       struct swarm_model *m)
{
    uint8_t digest[SWARM_HASH_BYTES];

    digest_of(digest, d->choice->seed, "psk ", i);
    memcpy(m->psk, digest, PSK_BYTES);
    m->psk_len = PSK_BYTES;
    digest_of(m->key.secret, d->choice->seed, "key ", i);
    while (!swarm_key_complete(crypto, &m->key)) /* one of 2^32 is beyond the order of the curve */
        swarm_sha256(m->key.secret, m->key.secret, sizeof(m->key.secret));
    bytes_wipe(digest, sizeof(digest));
}
