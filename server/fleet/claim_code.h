/* claim_code.h: codes by which a device becomes a person's: the person gets one from us and gives it to the
 * device, which shows it in the event `spark/device/claim/code` (device-protocol 4.10). Only its hash is
 * kept. */
#ifndef CYAN_FLEET_CLAIM_CODE_H
#define CYAN_FLEET_CLAIM_CODE_H

#include "fleet/fleet.h"

#define CLAIM_CODE_LEN 63          /* what a device stores */
#define CLAIM_CODES_MAX_UNUSED 100 /* of one person at a time */

struct claim_code {
    const char *text;    /* shown once */
    const char *devices; /* JSON array of the ids of the person's devices, at most 10,000 */
};
/* code: valid during the callback, NULL unless err is FLEET_OK. FLEET_CONFLICT: the person has as many unused
 * ones as may be; in wait_s seconds one expires. From the loop, exactly once. */
typedef void claim_code_fn(void *arg, enum fleet_err err, const struct claim_code *code, uint32_t wait_s);
/* product_id: whose devices it is good for; 0 = every device. */
void fleet_create_claim_code(struct fleet *f, const struct fleet_actor *actor, int product_id,
                             claim_code_fn *done, void *arg);

#endif
