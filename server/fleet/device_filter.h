/* device_filter.h: which devices a list, an export or an action is about, as people write it, and as
 * parameters of a statement.
 *
 * Names and values are those of a query: `/v1/devices` and the devices of a product know the same ones, each
 * in its own spelling. A filter as JSON has the same names; what is kept of it is its canonical form, an
 * object of texts. Ownership: texts in struct fleet_filter are borrowed from what it was read from. */
#ifndef CYAN_FLEET_DEVICE_FILTER_H
#define CYAN_FLEET_DEVICE_FILTER_H

#include <jansson.h>

#include "fleet/room.h"

#define DEVICE_FILTER_WHY_SIZE 160

/* values: names to strings. Names that mean nothing are left alone. False: why says which one is wrong. */
must_check bool device_filter_read(struct fleet_filter *filter, const json_t *values,
                                   char why[DEVICE_FILTER_WHY_SIZE]);
/* The canonical form of a filter in JSON; the caller's. NULL: why. Every name must mean something, and an
 * empty one is refused: {"all": true} is every device. */
json_t *device_filter_canonical(const json_t *filter, char why[DEVICE_FILTER_WHY_SIZE]);

/* Its name ends in `*`. */
bool device_filter_is_prefix(const struct fleet_filter *filter);
/* What was read becomes about the devices of a product; those in its quarantine are not in it yet, and are
 * only found when they are asked for. */
void device_filter_of_product(struct fleet_filter *filter, int product_id);

/* --- for statements --- */

#define DEVICE_FILTER_PARAMS 19

/* Of `device d`. What is not asked for folds away when the statement is planned for the values at hand.
 * Nothing is heard before its last handshake: the last line lets an index begin where that is possible. */
#define DEVICE_FILTER_SQL                                                                                    \
    " ($1::bigint IS NULL OR d.owner_id = $1::bigint)"                                                       \
    " AND ($2::boolean IS NULL OR d.requires_deep_update = $2::boolean)"                                     \
    " AND ($3::boolean IS NULL OR d.online = $3::boolean)"                                                   \
    " AND ($4::boolean IS NULL OR d.quarantined = $4::boolean)"                                              \
    " AND ($5::integer IS NULL OR d.platform_id = $5::integer)"                                              \
    " AND ($6::integer IS NULL OR d.product_id = $6::integer)"                                               \
    " AND ($7::text IS NULL OR d.name = $7::text)"                                                           \
    " AND ($8::text IS NULL OR (coalesce(d.name, '') COLLATE \"C\") LIKE $8::text)"                          \
    " AND ($9::bigint IS NULL OR d.last_heard < from_ms($9::bigint))"                                        \
    " AND ($10::bigint IS NULL OR d.last_heard > from_ms($10::bigint))"                                      \
    " AND ($11::integer IS NULL OR d.in_product = $11::integer)"                                             \
    " AND ($12::text IS NULL OR encode(d.id, 'hex') LIKE $12::text)"                                         \
    " AND ($13::text IS NULL OR lower(d.name) LIKE $13::text)"                                               \
    " AND ($14::text IS NULL OR lower(d.serial_number) LIKE $14::text)"                                      \
    " AND ($15::text IS NULL OR EXISTS (SELECT FROM device_group g WHERE g.device_id = d.id"                 \
    " AND g.name = ANY (string_to_array($15::text, ','))))"                                                  \
    " AND ($16::integer IS NULL OR d.product_version = $16::integer)"                                        \
    " AND ($17::boolean IS NULL OR d.development = $17::boolean)"                                            \
    " AND ($18::bytea IS NULL OR d.id = $18::bytea)"                                                         \
    " AND ($19::integer IS NULL OR (d.product_id = $19::integer AND d.product_id <> d.platform_id"           \
    " AND d.in_product IS NULL AND NOT d.denied))"                                                           \
    " AND ($9::bigint IS NULL OR"                                                                            \
    " coalesce(d.last_handshake, '-infinity'::timestamptz) < from_ms($9::bigint))"

#define DEVICE_FILTER_TEXT_MAX 64    /* of a name, id or serial number */
#define DEVICE_FILTER_GROUPS_MAX 512 /* bytes of their names */

/* Owns everything its parameters point to: it must not be moved. */
struct device_filter_params {
    struct fleet_number numbers[9];
    struct device_id id;
    char texts[5][2 * DEVICE_FILTER_TEXT_MAX + 4];
    char groups[DEVICE_FILTER_GROUPS_MAX + 1];
    struct pg_param params[DEVICE_FILTER_PARAMS];
};
/* False: no device can fit, and Postgres must not be asked, since a text may not even be UTF-8. */
must_check bool device_filter_fill(struct device_filter_params *p, const struct fleet_actor *actor,
                                   const struct fleet_filter *filter);

#endif
