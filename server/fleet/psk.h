/* psk.h: pre-shared keys by identity.
 *
 * Ownership: made by fleet_new. Queries are the lower room's; each is answered exactly once. Loop thread
 * only.
 */
#ifndef CYAN_FLEET_PSK_H
#define CYAN_FLEET_PSK_H

#include "device/devices.h"

/* What the registry has just said of an identity: a handshake that is complete with this very key asks for
 * its authorisation before anything else happens, and need not ask the registry again. */
struct psk_found {
    struct device_id id;
    bool quarantined, denied;
};

struct fleet;
struct psk;
struct psk *psk_new(struct fleet *f);
void psk_free(struct psk *p);
/* Member of struct device_ops; ctx is the struct fleet. */
void psk_find(void *ctx, const char *identity, struct dtls_psk_query *query);
/* While a key is given to a handshake: what was found with it; else NULL. */
const struct psk_found *psk_just_found(const struct psk *p);
/* A handshake with a key of this identity failed. Which of a device's two keys is offered: the newest, and
 * after each failure the other one, because a handshake can try only one and a device may not have been given
 * the new one yet. A table of fixed size. */
void psk_failed(struct psk *p, const char *identity);

#endif
