/* admission.h: who may connect: what a proved key is enrolled for (pre-shared keys: psk.h). */
#ifndef CYAN_FLEET_ADMISSION_H
#define CYAN_FLEET_ADMISSION_H

#include "device/devices.h"

/* Member of struct device_ops; ctx is the struct fleet. */
void admission_authorise(void *ctx, const struct session_proof *proof, device_admit_fn *answer, void *arg);

#endif
