/* firmware_get.h: what the files on module binaries share. Private to fleet/. */
#ifndef CYAN_FLEET_FIRMWARE_GET_H
#define CYAN_FLEET_FIRMWARE_GET_H

#include "fleet/firmware.h"
#include "fleet/product_firmware.h"
#include "store/pg.h"

/* Reads a binary and answers with it, from the loop. */
void firmware_answer(struct fleet *f, int64_t id, bool is_new, firmware_fn *done, void *arg);
/* What a statement that returns firmware_result (migrations/0025) has answered. */
void product_firmware_answer(enum pg_err err, const struct pg_result *result, product_firmware_fn *done,
                             void *arg);
/* When nobody is served any more: uploads that are still looked at end as FLEET_AWAY. */
void firmware_upload_stop(struct fleet *f);

#endif
