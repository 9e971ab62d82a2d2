/* device_list_sql.c: the statements of device_list.h.
 *
 * Each is planned for the values at hand: filters that are not given fold away, and a page is read from an
 * index that is in its order already, beginning at a key, whatever the size of the fleet. The keys are those
 * of the indexes of migrations/0020. */
#include "fleet/device_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/device_row.h"

#define PAGE_SQL(KEY, TYPE, DIRECTION, BEHIND)                                                               \
    "SELECT c.n, p.* FROM (SELECT count(*) AS n FROM (SELECT FROM device d WHERE" DEVICE_FILTER_SQL          \
    " LIMIT $24::bigint) counted) c LEFT JOIN LATERAL (SELECT k.key::text, " DEVICE_COLUMNS                  \
    ", " DEVICE_PRODUCT_COLUMNS(                                                                             \
        "d.in_product") " FROM (SELECT " KEY " AS key, d.id FROM device d WHERE" DEVICE_FILTER_SQL           \
                        " AND ($21::bytea IS NULL OR (" KEY ", d.id) " BEHIND " ($20::" TYPE                 \
                        ", $21::bytea)) ORDER BY " KEY " " DIRECTION ", d.id " DIRECTION                     \
                        " LIMIT $22::bigint OFFSET $23::bigint) k JOIN device d ON d.id = k.id"              \
                        " LEFT JOIN users u ON u.id = d.owner_id ORDER BY k.key " DIRECTION                  \
                        ", k.id " DIRECTION ") p ON true"

/* The rows of a window come out in its order. */
#define MEASURE_SQL(KEY, DIRECTION)                                                                          \
    "SELECT m.n, m.key::text, m.id, CASE WHEN $20::bigint > 1 THEN (SELECT count(*) FROM device d "          \
    "WHERE" DEVICE_FILTER_SQL ") END FROM (SELECT row_number() OVER w AS n, " KEY                            \
    " AS key, d.id FROM device d WHERE" DEVICE_FILTER_SQL " WINDOW w AS (ORDER BY " KEY " " DIRECTION        \
    ", d.id " DIRECTION ")) m WHERE m.n % $20::bigint = 0 LIMIT $21::bigint"

#define BOTH(ORDER, NAME, KEY, TYPE)                                                                         \
    [ORDER] = {{{.name = "device_list_" NAME,                                                                \
                 .sql = PAGE_SQL(KEY, TYPE, "DESC", "<"),                                                    \
                 .params = DEVICE_LIST_PARAMS,                                                               \
                 .replan = true},                                                                            \
                {.name = "device_measure_" NAME,                                                             \
                 .sql = MEASURE_SQL(KEY, "DESC"),                                                            \
                 .params = DEVICE_LIST_MEASURE_PARAMS,                                                       \
                 .replan = true}},                                                                           \
               {{.name = "device_list_" NAME "_up",                                                          \
                 .sql = PAGE_SQL(KEY, TYPE, "ASC", ">"),                                                     \
                 .params = DEVICE_LIST_PARAMS,                                                               \
                 .replan = true},                                                                            \
                {.name = "device_measure_" NAME "_up",                                                       \
                 .sql = MEASURE_SQL(KEY, "ASC"),                                                             \
                 .params = DEVICE_LIST_MEASURE_PARAMS,                                                       \
                 .replan = true}}}

static const struct pg_statement statements[FLEET_ORDER_COUNT][2][2] = {
    BOTH(FLEET_BY_HANDSHAKE, "handshake", "coalesce(d.last_handshake, '-infinity'::timestamptz)",
         "timestamptz"),
    BOTH(FLEET_BY_ID, "id", "d.id", "bytea"),
    BOTH(FLEET_BY_NAME, "name", "(coalesce(d.name, '') COLLATE \"C\")", "text"),
    BOTH(FLEET_BY_VERSION, "version", "coalesce(d.product_version, -1)", "integer"),
    BOTH(FLEET_BY_HEARD, "heard", "d.heard_rank", "timestamptz"),
};

const struct pg_statement *device_list_page(enum fleet_order order, bool ascending)
{
    must((unsigned)order < FLEET_ORDER_COUNT);
    return &statements[order][ascending][0];
}

const struct pg_statement *device_list_measure(enum fleet_order order, bool ascending)
{
    must((unsigned)order < FLEET_ORDER_COUNT);
    return &statements[order][ascending][1];
}

char *device_list_text(const struct device_filter_params *filter, enum fleet_order order, bool ascending)
{
    char *text = mem_printf("%d%c", (int)order, ascending ? '+' : '-');
    for (size_t i = 0; i < DEVICE_FILTER_PARAMS; i++) {
        const struct pg_param *param = &filter->params[i];
        char id[DEVICE_ID_TEXT_SIZE] = "";
        if (param->binary && param->value)
            device_id_format(id, param->value);
        char *longer = mem_printf("%s\x1f%s", text,
                                  param->binary  ? id
                                  : param->value ? (const char *)param->value
                                                 : "\x1e");
        free(text);
        text = longer;
    }
    return text;
}
