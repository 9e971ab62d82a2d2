/* device_row.h: the columns of a device as every query selects them, and their way into struct fleet_device.
 */
#ifndef CYAN_FLEET_DEVICE_ROW_H
#define CYAN_FLEET_DEVICE_ROW_H

#include "fleet/device_query.h"

/* Of `device d LEFT JOIN users u ON u.id = d.owner_id`. */
#define DEVICE_COLUMNS                                                                                       \
    "d.id, d.name, d.last_app, d.notes, to_ms(d.last_heard), to_ms(d.last_handshake), d.last_ip, d.online,"  \
    " d.platform_id, d.product_id, d.product_version, d.status, d.requires_deep_update, d.quarantined,"      \
    " d.cc3000_patch_version, d.system_version, d.serial_number, d.iccid, d.imei, u.name AS owner, "         \
    "d.updates_enabled,"                                                                                     \
    " coalesce(d.force_updates, d.updates_forced), d.last_reset, d.in_product, d.development, d.denied, "    \
    "d.desired_firmware_version,"                                                                            \
    " d.in_product IS NULL AND NOT d.denied AND d.product_id <> d.platform_id AND EXISTS (SELECT FROM "      \
    "product w"                                                                                              \
    " WHERE w.id = d.product_id AND product_quarantines(w.settings))"
#define DEVICE_COLUMN_COUNT 28
/* What costs a look into other tables: only where PRODUCT, an SQL expression, is not null. */
#define DEVICE_PRODUCT_COLUMNS(PRODUCT)                                                                      \
    "CASE WHEN " PRODUCT " IS NOT NULL THEN (SELECT string_agg(g.name, ',' ORDER BY g.name)"                 \
    " FROM device_group g WHERE g.device_id = d.id) END,"                                                    \
    " CASE WHEN " PRODUCT " IS NOT NULL THEN targeted_firmware_version(d) END"
#define DEVICE_PRODUCT_COLUMN_COUNT 2

/* Fills device from the columns that start at first; its strings point into result and into release (16
 * bytes). */
void device_row_read(struct fleet_device *device, const struct pg_result *result, int row, int first,
                     char release[16]);
/* The same for DEVICE_PRODUCT_COLUMNS. */
void device_row_read_product(struct fleet_device *device, const struct pg_result *result, int row, int first);

#endif
