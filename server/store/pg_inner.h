/* pg_inner.h: what the files of the Postgres client share: the pool with its queue, one link, one query.
 *
 *   query:  QUEUED --pump--> SENT --sync--> finished       SENT --link lost--> QUEUED (PG_RETRY) or finished
 *           QUEUED --deadline--> finished                  SENT --transient error--> PAUSED --100 ms-->
 * QUEUED
 *
 * Ownership: the pool owns links and queries; a query is freed right after its callback. Private to this room
 * and to its test. Loop thread only. */
#ifndef CYAN_STORE_PG_INNER_H
#define CYAN_STORE_PG_INNER_H

#include <libpq-fe.h>
#include <uthash.h>

#include "base/deadline.h"
#include "store/pg.h"

#define PG_IN_FLIGHT_MAX 32 /* per link: more would only wait inside Postgres */
#define PG_BACKOFF_FIRST_MS 100
#define PG_BACKOFF_LAST_MS 2000
#define PG_CONNECT_LIMIT_MS 5000
#define PG_STATEMENT_LIMIT_MS                                                                                \
    8000                     /* statement_timeout: below the watchdog, so that Postgres ends it first        \
                              */
#define PG_LOCK_LIMIT_MS 500 /* lock_timeout: what waits behind it in the pipeline does not wait longer */
#define PG_WATCHDOG_MS 10000 /* no answer for so long while something is in flight: the link is dead */
#define PG_PAUSE_MS 100

struct pg_result {
    PGresult *rows; /* ours during the callback; of pg_sync_exec until pg_sync_free */
};

enum pg_query_state { PG_QUERY_QUEUED, PG_QUERY_SENT, PG_QUERY_PAUSED };

struct pg_query {
    struct pg *pg;
    const struct pg_statement *statement; /* borrowed: static */
    pg_done_fn *done;                     /* NULL: cancelled */
    void *arg;
    struct deadline expiry; /* while QUEUED or PAUSED */
    struct deadline pause;  /* while PAUSED */
    uint64_t expires_ms;
    unsigned flags;
    enum pg_query_state state;
    bool parses;                  /* this sending carries the Parse, not yet answered */
    bool was_unprepared;          /* refused once because its Parse had failed */
    bool was_sent;                /* it may have been executed */
    PGresult *answer;             /* ours: first error, else the last rows */
    struct pg_query *prev, *next; /* in the queue or in flight, or among the paused */
    /* copies of the parameters; values point into text */
    const char *values[PG_PARAMS_MAX];
    int lengths[PG_PARAMS_MAX];
    int formats[PG_PARAMS_MAX];
    char text[]; /* ours */
};

enum pg_link_state { PG_LINK_DOWN, PG_LINK_CONNECTING, PG_LINK_READY };

struct pg_prepared { /* in pg_link.prepared: known to this connection */
    const struct pg_statement *statement;
    UT_hash_handle hh;
};

struct pg_watch { /* one uv_poll on one socket; freed by its close callback */
    uv_poll_t poll;
    struct pg *pg;
    struct pg_link *link; /* NULL once abandoned */
    int fd, events;       /* events: of the poll, 0 while it is stopped */
};

struct pg_link {
    struct pg *pg;
    PGconn *conn; /* ours, NULL while DOWN */
    struct pg_watch *watch;
    enum pg_link_state state;
    struct deadline
        timer; /* DOWN: try again. CONNECTING: give up. READY: watchdog while something is in flight */
    uint32_t backoff_ms;
    uint64_t generation; /* grows with each loss: who called out compares it afterwards */
    struct pg_prepared *prepared;
    struct pg_query *in_flight; /* in sending order */
    size_t in_flight_count;
};

struct pg {
    uv_loop_t *loop;
    char *conninfo; /* ours; may hold a password: never logged */
    uv_timer_t timer;
    uv_prepare_t prepare; /* sends what this turn of the loop queued */
    int open_handles;     /* of libuv, to be closed */
    struct deadlines deadlines;
    struct pg_link *links;
    int link_count;
    int ready_count;
    struct pg_query *queue;  /* waiting, first to be sent first */
    struct pg_query *paused; /* refused by a passing condition, to be queued again */
    size_t waiting;
    uint32_t watchdog_ms, statement_limit_ms;
    bool closing, said_down;
    void (*closed)(void *arg);
    void *closed_arg;
    struct metric *up, *waiting_gauge, *reconnects, *results[4];
};

/* pg.c */
void pg_query_finish(struct pg_query *q, enum pg_err err,
                     const struct pg_result *result); /* frees q; calls out */
void pg_queue_again(struct pg_query *q, bool paused); /* q is in no list; true: after PG_PAUSE_MS */
void pg_wake(struct pg *pg);                          /* pump before the loop sleeps */
void pg_arm(struct pg *pg);                           /* the timer, after a change of deadlines */
void pg_handle_closed(struct pg *pg);

/* pg_link.c */
void pg_link_init(struct pg_link *link, struct pg *pg);
void pg_link_close(struct pg_link *link); /* everything in flight is finished with PG_UNKNOWN */
/* False: the link was lost while sending; q was put back or finished. */
bool pg_link_send(struct pg_link *link, struct pg_query *q);

/* pg_conninfo.c: NULL when conninfo is malformed. */
#define PG_CONNINFO_MALFORMED "store.postgres is not a well-formed connection string"
PGconn *pg_conninfo_start(const char *conninfo, uint32_t statement_limit_ms);
PGconn *pg_conninfo_connect(const char *conninfo);
void pg_first_line(char *out, size_t out_size, const char *message);

#endif
