/* pg.h: Postgres on the loop: a few connections in pipeline mode, prepared statements, no waiting.
 *
 *   connection: DOWN --connect--> CONNECTING --prepared--> READY --lost--> DOWN (retry 100 ms doubling to 2
 * s)
 *
 * A query is queued, sent on the next free pipeline slot, and ends in exactly one callback from the loop,
 * never from inside pg_exec. While Postgres is away queries wait in the bounded queue until their deadline. A
 * query that was in flight when the connection broke is sent again if PG_RETRY says that is safe, else it
 * ends as PG_UNKNOWN. Loop thread only. The only room that knows libpq. */
#ifndef CYAN_STORE_PG_H
#define CYAN_STORE_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/metrics.h"
#include "base/must.h"

enum pg_err {
    PG_OK = 0,
    PG_REFUSED, /* Postgres answered with an error: pg_sqlstate() of the result */
    PG_AWAY,    /* not executed: no connection before the deadline, the queue is full, or rolled back by a
                   passing condition */
    PG_UNKNOWN, /* sent, connection lost before the answer: may or may not have been executed */
};
const char *pg_err_text(enum pg_err err);

#define PG_QUEUE_MAX 100000
#define PG_PARAMS_MAX 24

struct pg;
struct pg_query;

/* One statement of the program, static const; prepared on each connection at first use. */
struct pg_statement {
    const char *name; /* unique in the program */
    const char *sql;  /* $1.. with explicit casts */
    int params;
    bool replan; /* planned anew each time for the values at hand, not prepared: for searches with optional
                    filters */
};

struct pg_param {
    const void *value; /* NULL = SQL null; copied by pg_exec */
    int value_len;     /* of binary values; text is NUL-terminated */
    bool binary;       /* bytea in binary form; everything else as text */
};
struct pg_param pg_text(const char *text); /* NULL allowed */
struct pg_param pg_bytes(const void *data, size_t data_len);

/* Rows of an answer, text format; borrowed, valid during the callback. */
struct pg_result;
int pg_rows(const struct pg_result *r);
bool pg_is_null(const struct pg_result *r, int row, int column);
const char *pg_value(const struct pg_result *r, int row, int column); /* "" when null */
int64_t pg_int(const struct pg_result *r, int row, int column);       /* 0 when null */
bool pg_bool(const struct pg_result *r, int row, int column);
/* Decodes a bytea column (text form \x...) into out; false when longer than out_size or malformed. */
bool pg_bytea(const struct pg_result *r, int row, int column, void *out, size_t out_size, size_t *out_len);
int pg_affected(const struct pg_result *r);
const char *pg_sqlstate(const struct pg_result *r); /* "" when none */

enum pg_flag {
    /* Executing it twice is the same as once: sent again whenever its answer is lost, and as PG_AGAIN. */
    PG_RETRY = 1,
    /* Tried again, until its deadline, after a refusal that passes by itself and rolled it back: deadlock,
     * lock_timeout, statement_timeout, disk full. Never when it may have been executed. */
    PG_AGAIN = 2,
};

/* result: NULL when err is PG_AWAY or PG_UNKNOWN. */
typedef void pg_done_fn(void *arg, enum pg_err err, const struct pg_result *result);

/* Starts connecting. conninfo: libpq connection string, copied. Never fails: an unreachable server is
 * retried. A host given by name is looked up by libpq with a blocking call at each connect: give an address,
 * or a unix socket. */
struct pg *pg_new(uv_loop_t *loop, const char *conninfo, int pool_size, struct metrics *metrics);
/* Ends every query with PG_AWAY, or PG_UNKNOWN when it had been sent (from inside), closes, then calls
 * closed; pg is freed by then. */
void pg_close(struct pg *pg, void (*closed)(void *arg), void *arg);
bool pg_is_up(const struct pg *pg);
size_t pg_waiting(const struct pg *pg);    /* not sent yet */
size_t pg_unanswered(const struct pg *pg); /* waiting or in flight */

/* timeout_ms: until which the query may wait for a connection, from now. The returned handle is valid until
 * the callback. */
struct pg_query *pg_exec(struct pg *pg, const struct pg_statement *statement, const struct pg_param *params,
                         uint32_t timeout_ms, unsigned flags, pg_done_fn *done, void *arg);
/* No callback after this; *query becomes NULL; NULL is fine. The statement may still be executed. */
void pg_cancel(struct pg_query **query);

/* For the start-up commands that run before the loop (cyand migrate, device add, token create): blocks.
 * Returns 0, or -1 with a one-line reason in why. script: several statements in simple protocol; rows
 * ignored. */
struct pg_sync;
must_check struct pg_sync *pg_sync_open(const char *conninfo, char *why, size_t why_size);
void pg_sync_close(struct pg_sync *s);
must_check int pg_sync_script(struct pg_sync *s, const char *script, char *why, size_t why_size);
/* *result is freed by pg_sync_free. */
must_check int pg_sync_exec(struct pg_sync *s, const char *sql, const struct pg_param *params,
                            int param_count, struct pg_result **result, char *why, size_t why_size);
void pg_sync_free(struct pg_result *result);

#endif
