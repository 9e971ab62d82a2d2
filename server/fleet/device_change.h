/* device_change.h: changing what the registry holds about a device; each change is one transaction with its
 * audit row.
 *
 * Every call answers exactly once, from the loop. why: static or borrowed sentence for people, "" when none.
 */
#ifndef CYAN_FLEET_DEVICE_CHANGE_H
#define CYAN_FLEET_DEVICE_CHANGE_H

#include "fleet/device_query.h"

typedef void fleet_change_fn(void *arg, enum fleet_err err, const struct fleet_device *device,
                             const char *why);

/* Of a name alone, whoever has it: NULL when it is fine (rest-api 2), else a static sentence. */
const char *fleet_device_name_flaw(const char *name);

/* name: letters, digits, `_`, `-`, 1 to 64, unique per owner, not 24 hex digits (rest-api 2); NULL leaves it.
 * notes: NULL leaves it. */
void fleet_update_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                         const char *name, const char *notes, fleet_change_fn *done, void *arg);
/* Whether the device is to take updates whatever its application wants (device-protocol 5.6): kept, and told
 * to it by campaign/ until it has echoed it. */
void fleet_force_updates(struct fleet *f, const struct fleet_actor *actor, const char *which, bool forced,
                         fleet_change_fn *done, void *arg);
/* Claims for the actor. Already the actor's: FLEET_OK. Someone else's: FLEET_FORBIDDEN. */
void fleet_claim_device(struct fleet *f, const struct fleet_actor *actor, const struct device_id *id,
                        fleet_change_fn *done, void *arg);
void fleet_unclaim_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                          fleet_change_fn *done, void *arg);

enum fleet_key_kind { FLEET_KEY_P256, FLEET_KEY_RSA, FLEET_KEY_PSK };
struct fleet_key {
    enum fleet_key_kind kind;
    uint8_t data[600]; /* SubjectPublicKeyInfo DER, or the PSK */
    size_t data_len;
};
/* PEM `BEGIN PUBLIC KEY` (P-256 or RSA); false with a sentence in why. */
must_check bool fleet_key_from_pem(struct fleet_key *key, const char *pem, size_t pem_len, const char **why);
/* PSK of 16 to 64 bytes in hex. */
must_check bool fleet_key_from_hex(struct fleet_key *key, const char *hex, const char **why);

/* Adds a key to a device, creating the device when it is new (owned by nobody... or by the actor when the
 * actor is an owner). The two newest keys of a device stay live, so that a key can be rotated; a third
 * retires the oldest and ends a session made with it. A device that leaves quarantine by it keeps no other
 * key and loses its session. A key that belongs to another device: FLEET_CONFLICT. FLEET_AWAY may mean that
 * only the answer was lost; the session is ended then as well, and the same call may be made again.
 * product_id -1: not said; of a product that the actor manages: the device is imported into it. */
void fleet_provision_device(struct fleet *f, const struct fleet_actor *actor, const struct device_id *id,
                            const struct fleet_key *key, int product_id, fleet_change_fn *done, void *arg);

/* Offline form, before the loop runs (cyand device add). Returns 0, or -1 with a one-line reason. name may be
 * NULL. */
must_check int fleet_provision_sync(struct pg_sync *s, const struct device_id *id,
                                    const struct fleet_key *key, const char *name, char *why,
                                    size_t why_size);

#endif
