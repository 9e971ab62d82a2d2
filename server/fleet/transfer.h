/* transfer.h: one person asks another for a device; the owner accepts or denies.
 *
 *   asked --owner--> accepted, denied     --who asked--> withdrawn
 *     \--expired, or the device went elsewhere--> overtaken
 *
 * Every call answers exactly once, from the loop. Strings are borrowed, valid during the callback. */
#ifndef CYAN_FLEET_TRANSFER_H
#define CYAN_FLEET_TRANSFER_H

#include "fleet/fleet.h"

#define TRANSFERS_MAX_OF_DEVICE 10 /* open at a time, as below */
#define TRANSFERS_MAX_OF_PERSON 100
#define TRANSFER_ID_TEXT_SIZE DEVICE_ID_TEXT_SIZE /* 24 hex digits, as a device has */

enum transfer_refusal { TRANSFER_DENIED_BEFORE = 1, TRANSFER_TOO_MANY };
/* id: NULL when the device belongs to the actor now: nobody owned it, or the actor did. why: of
 * FLEET_CONFLICT, else 0. */
typedef void transfer_asked_fn(void *arg, enum fleet_err err, const char *id, enum transfer_refusal why);
/* Asking again while it is open gives the same id. */
void fleet_ask_transfer(struct fleet *f, const struct fleet_actor *actor, const struct device_id *device,
                        transfer_asked_fn *done, void *arg);

enum transfer_decision { TRANSFER_ACCEPT, TRANSFER_DENY, TRANSFER_WITHDRAW };
/* FLEET_FORBIDDEN: it is the other's to decide; FLEET_CONFLICT: it is not open any more. */
typedef void transfer_decided_fn(void *arg, enum fleet_err err);
/* id: as a device id. Accepting and denying is for the owner, withdrawing for who asked; operators and admins
 * may do all. */
void fleet_decide_transfer(struct fleet *f, const struct fleet_actor *actor, const struct device_id *id,
                           enum transfer_decision decision, transfer_decided_fn *done, void *arg);

/* JSON array of {"id", "device_id", "device_name", "from", "to", "incoming", "asked_at", "expires_at"}, times
 * in Unix ms, newest first, at most 1000: what is open and from or to the actor. */
typedef void transfers_fn(void *arg, enum fleet_err err, const char *transfers);
void fleet_list_transfers(struct fleet *f, const struct fleet_actor *actor, transfers_fn *done, void *arg);

#endif
