/* swarm_derive.h: who device number i of a seed is. Nothing is stored: the same seed gives the same ids,
 * platforms and firmware, and with swarm_derive_keys the same keys, in any process.
 *
 * Derived keys are no secret to whoever knows the seed: for tests and measurements only. Pure functions. */
#ifndef CYAN_LOADTEST_SWARM_DERIVE_H
#define CYAN_LOADTEST_SWARM_DERIVE_H

#include "swarm_models.h"

#define SWARM_PLATFORMS_MAX 32

struct swarm_derive {
    const struct swarm_platform *platforms[SWARM_PLATFORMS_MAX];
    size_t platform_count;
    const struct swarm_choice *choice; /* borrowed: outlives this */
    uint8_t profile;                   /* enum swarm_profile */
    bool mixed;
};

/* False with a sentence in error when a platform or the profile is unknown. */
bool swarm_derive_init(struct swarm_derive *d, const struct swarm_choice *choice,
                       char error[SWARM_ERROR_SIZE]) must_check;
/* Everything of m but keys. */
void swarm_derive_model(const struct swarm_derive *d, uint32_t i, struct swarm_model *m);
/* Private and public key and PSK of device i, which swarm_derive_model has made. */
void swarm_derive_keys(const struct swarm_derive *d, struct swarm_crypto *crypto, uint32_t i,
                       struct swarm_model *m);

#endif
