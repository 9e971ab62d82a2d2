/* admission.h: who may connect: pre-shared keys by identity, and what a proved key is enrolled for. */
#ifndef CYAN_FLEET_ADMISSION_H
#define CYAN_FLEET_ADMISSION_H

#include "device/devices.h"

/* Members of struct device_ops; ctx is the struct fleet. */
void admission_find_psk(void *ctx, const char *identity, struct dtls_psk_query *query);
void admission_authorise(void *ctx, const struct session_proof *proof, device_admit_fn *answer, void *arg);

/* Which of a device's two pre-shared keys is offered: the newest, and after each failed handshake the other
 * one, because a handshake can try only one and a device may not have been given the new one yet. A table of
 * fixed size. */
struct psk_turns;
struct psk_turns *psk_turns_new(void);
void psk_turns_free(struct psk_turns *turns);
void psk_turns_failed(struct psk_turns *turns, const char *identity);

#endif
