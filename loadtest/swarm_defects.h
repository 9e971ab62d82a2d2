/* swarm_defects.h: what may go wrong with updates in one device: given in --devices-file, by --control, or by
 * chance for a share of the fleet (loadtest/README.md lists them).
 *
 * Ownership: a model's, made when first set. */
#ifndef CYAN_LOADTEST_SWARM_DEFECTS_H
#define CYAN_LOADTEST_SWARM_DEFECTS_H

#include "swarm_platform.h"
#include <jansson.h>

/* How often: 0 never, n the next n times, SWARM_ALWAYS. */
#define SWARM_ALWAYS (-1)

/* name, least, most; true stands for SWARM_ALWAYS. */
#define SWARM_DEFECT_MAP(XX)                                                                                 \
    XX(lie, SWARM_ALWAYS, 1000)             /* says it is good, comes back as it was */                      \
    XX(never_back, SWARM_ALWAYS, 1000)      /* and is not heard of again */                                  \
    XX(apply_fails, SWARM_ALWAYS, 1000)     /* says it is good, and then drops the link instead */           \
    XX(ignore_finish, SWARM_ALWAYS, 1000)   /* never answers the finish */                                   \
    XX(cached_describe, SWARM_ALWAYS, 1000) /* takes its session up and describes nothing */                 \
    XX(forget_session, SWARM_ALWAYS, 1000)  /* comes back by a full handshake */                             \
    XX(confirm_chunks, SWARM_ALWAYS, 1000)  /* old protocols: one chunk at a time */                         \
    XX(updates_disabled, 0, 1)              /* its application does not want any */                          \
    XX(start_code, -32768, 0)               /* refuses each start so */                                      \
    XX(finish_code, -32768, 0)              /* refuses each finish so */                                     \
    XX(fall_back_s, 0, 1000000)             /* so long after the new version runs the old one is back */     \
    XX(power_loss_at, 0, 16777216)          /* bytes of a file at which its power goes, once */              \
    XX(chunk_ms, 0, 60000)                  /* for each chunk; more than 40 waiting are lost */              \
    XX(window, 0, 256)                      /* chunks */                                                     \
    XX(ncp_reboots, 0, 20)                  /* it takes to write a co-processor; 0 = 3 */                    \
    XX(ncp_unknown_s, 0, 1000000)           /* so long a new co-processor says no version */                 \
    XX(reboot_s, 0, 1000000)                /* silence of each reboot; 0 = 10, scaled */

struct swarm_defects {
#define XX(name, least, most) int32_t name;
    SWARM_DEFECT_MAP(XX)
#undef XX
    struct swarm_dependency collateral; /* becomes this when a co-processor is written, once; f 0 = none */
};

/* Sets what the object names and leaves the rest. False with a sentence in why. */
bool swarm_defects_read(struct swarm_defects *defects, json_t *object, char *why, size_t why_size) must_check;
/* Whether it happens this time. */
bool swarm_defect_strikes(int32_t *times);

/* Percent of devices that have a defect, whichever the seed says. */
struct swarm_defect_shares {
    double lie, fall_back, never_back, power_loss, ignore_finish, updates_disabled, cached_describe;
};
/* Draws for one device; the same for the same seed and id. False when it has none. */
bool swarm_defects_draw(struct swarm_defects *defects, const struct swarm_defect_shares *shares,
                        const char *seed, const char *id) must_check;

#endif
