/* pg_sync.c: the blocking client of the start-up commands, which run before the loop. */
#include <libpq-fe.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/pg_inner.h"

struct pg_sync {
    PGconn *conn; /* ours */
};

struct pg_sync *pg_sync_open(const char *conninfo, char *why, size_t why_size)
{
    PGconn *conn = pg_conninfo_connect(conninfo);
    if (!conn || PQstatus(conn) != CONNECTION_OK) {
        pg_first_line(why, why_size, conn ? PQerrorMessage(conn) : PG_CONNINFO_MALFORMED);
        PQfinish(conn);
        return NULL;
    }
    struct pg_sync *s = mem_alloc(sizeof *s);
    s->conn = conn;
    return s;
}

void pg_sync_close(struct pg_sync *s)
{
    if (!s)
        return;
    PQfinish(s->conn);
    free(s);
}

static int refused(struct pg_sync *s, PGresult *rows, char *why, size_t why_size)
{
    pg_first_line(why, why_size, rows ? PQresultErrorMessage(rows) : PQerrorMessage(s->conn));
    PQclear(rows);
    return -1;
}

static bool is_fine(const PGresult *rows)
{
    ExecStatusType status = PQresultStatus(rows);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

int pg_sync_script(struct pg_sync *s, const char *script, char *why, size_t why_size)
{
    PGresult *rows = PQexec(s->conn, script);
    if (!is_fine(rows) && PQresultStatus(rows) != PGRES_EMPTY_QUERY)
        return refused(s, rows, why, why_size);
    PQclear(rows);
    return 0;
}

int pg_sync_exec(struct pg_sync *s, const char *sql, const struct pg_param *params, int param_count,
                 struct pg_result **result, char *why, size_t why_size)
{
    const char *values[PG_PARAMS_MAX];
    int lengths[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
    must(param_count <= PG_PARAMS_MAX);
    for (int i = 0; i < param_count; i++) {
        values[i] = params[i].value;
        lengths[i] = params[i].value_len;
        formats[i] = params[i].binary;
    }
    PGresult *rows = PQexecParams(s->conn, sql, param_count, NULL, values, lengths, formats, 0);
    if (!is_fine(rows))
        return refused(s, rows, why, why_size);
    *result = mem_alloc(sizeof **result);
    (*result)->rows = rows;
    return 0;
}

void pg_sync_free(struct pg_result *result)
{
    if (!result)
        return;
    PQclear(result->rows);
    free(result);
}
