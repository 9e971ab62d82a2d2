/* product_import.h: devices imported into a product, from a list of whatever names them: device ids, serial
 * numbers, IMEIs, ICCIDs.
 *
 *   READING --each word once--> IMPORTING --IMPORT_SLICE words a statement--> (answered)
 *
 * Each slice is a transaction of its own, so that devices and other people never wait long for a large file.
 * What was imported stays when Postgres goes away meanwhile; the same file may be sent again. Loop thread
 * only. */
#ifndef CYAN_FLEET_PRODUCT_IMPORT_H
#define CYAN_FLEET_PRODUCT_IMPORT_H

#include "fleet/fleet.h"

#define IMPORT_FILE_MAX_BYTES 2097152 /* some 80,000 device ids */
#define IMPORT_SLICE 500
#define IMPORT_WORD_MAX 64 /* longer ones are nothing that we know, and cut in the answer */

/* JSON arrays; borrowed, valid during the callback. */
struct product_imported {
    size_t updated;
    const char *updated_ids; /* of the devices */
    const char *nonmembers,
        *strangers; /* as they were given: of others than the actor and the owner; not to be had */
};
typedef void product_imported_fn(void *arg, enum fleet_err err, const struct product_imported *imported);
/* said: any bytes, at most IMPORT_FILE_MAX_BYTES, separated by white space, commas or semicolons; borrowed
 * during the call. The actor may manage the product. Answers exactly once, from the loop. */
void fleet_import_devices(struct fleet *f, const struct fleet_actor *actor, int product_id, const void *said,
                          size_t said_len, product_imported_fn *done, void *arg);

#endif
