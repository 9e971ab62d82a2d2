/* pg_result.c: reading an answer, and making parameters. */
#include "store/pg_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

const char *pg_err_text(enum pg_err err)
{
    static const char *const texts[] = {"ok", "refused", "away", "unknown"};
    must((unsigned)err < sizeof texts / sizeof *texts);
    return texts[err];
}

struct pg_param pg_text(const char *text)
{
    return (struct pg_param){.value = text};
}

struct pg_param pg_bytes(const void *data, size_t data_len)
{
    must(data_len <= INT32_MAX);
    /* an empty value is not NULL, whatever pointer comes with it */
    return (struct pg_param){
        .value = data || data_len ? data : "", .value_len = (int)data_len, .binary = true};
}

int pg_rows(const struct pg_result *r)
{
    return PQntuples(r->rows);
}

bool pg_is_null(const struct pg_result *r, int row, int column)
{
    return PQgetisnull(r->rows, row, column);
}

const char *pg_value(const struct pg_result *r, int row, int column)
{
    const char *value = PQgetvalue(r->rows, row, column);
    return value ? value : "";
}

int64_t pg_int(const struct pg_result *r, int row, int column)
{
    return strtoll(pg_value(r, row, column), NULL, 10);
}

bool pg_bool(const struct pg_result *r, int row, int column)
{
    return pg_value(r, row, column)[0] == 't';
}

bool pg_bytea(const struct pg_result *r, int row, int column, void *out, size_t out_size, size_t *out_len)
{
    const char *text = pg_value(r, row, column);
    size_t text_len = (size_t)PQgetlength(r->rows, row, column);
    if (text_len < 2 || text[0] != '\\' || text[1] != 'x' || (text_len - 2) % 2)
        return false;
    *out_len = (text_len - 2) / 2;
    return *out_len <= out_size && hex_decode(out, *out_len, text + 2, text_len - 2);
}

int pg_affected(const struct pg_result *r)
{
    return (int)strtol(PQcmdTuples(r->rows), NULL, 10);
}

const char *pg_sqlstate(const struct pg_result *r)
{
    const char *state = PQresultErrorField(r->rows, PG_DIAG_SQLSTATE);
    return state ? state : "";
}
