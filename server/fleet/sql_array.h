/* sql_array.h: one column of many rows as a Postgres array literal, to be sent as a single parameter and
 * unnested.
 *
 * Values are quoted and escaped, so that no text of a peer can end its element. Ownership: init/deinit. */
#ifndef CYAN_FLEET_SQL_ARRAY_H
#define CYAN_FLEET_SQL_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sql_array {
    char *text; /* ours: `{...` without the closing brace until sql_array_end */
    size_t len, size;
    bool ended;
};
void sql_array_init(struct sql_array *a);
void sql_array_deinit(struct sql_array *a);
void sql_array_null(struct sql_array *a);
void sql_array_text(struct sql_array *a, const char *value); /* valid UTF-8; NULL = SQL null */
/* Each of a list that is separated by spaces. */
void sql_array_words(struct sql_array *a, const char *words);
void sql_array_int(struct sql_array *a, int64_t value);
void sql_array_bool(struct sql_array *a, bool value);
void sql_array_bytes(struct sql_array *a, const void *data, size_t data_len);
const char *sql_array_end(struct sql_array *a); /* the whole literal, valid until deinit */

#endif
