/* nodes_inner.h: what the files of the nodes share.
 *
 * The lease is a text, `INCARNATION NONCE HOST PID STARTED NAME DESCRIBE`: who holds it, exactly enough for a
 * process of the same host to see whether the holder still runs, and what it tells people about itself. The
 * nonce is of this struct nodes alone: by it a node knows its own lease again when Redis executed the taking
 * but the answer was lost. Private to this room and to its test. Loop thread only. */
#ifndef CYAN_STORE_NODES_INNER_H
#define CYAN_STORE_NODES_INNER_H

#include "store/nodes.h"

#define NODES_DESCRIBE_MAX 1000
#define NODES_TEXT_MAX 1500 /* bytes of a lease: longer ones are nobody's */
#define NODES_LEAVE_LIMIT_MS 2000
#define NODES_LIST_LIMIT_MS 2000
#define NODES_WAIT_MS 1000            /* between two looks at a lease of another host */
#define NODES_MARK_S (31 * 24 * 3600) /* longer than a session without a record lives, by default */
#define NODES_KEY_SIZE 96
#define NODES_NONCE_SIZE 17

struct nodes_process {
    char host[96]; /* this boot of this machine or container; "-": not known, like no other */
    char name[65]; /* for people */
    int64_t pid;
    uint64_t started; /* ticks after boot: another process may get the same pid */
};
struct nodes_text {
    uint64_t incarnation;
    char nonce[NODES_NONCE_SIZE];
    struct nodes_process holder;
    const char *describe; /* borrowed: within the text that was read */
};
/* nodes_process.c */
void nodes_process_self(struct nodes_process *p);
bool nodes_process_is_near(const struct nodes_process *p, const struct nodes_process *self); /* can be seen */
bool nodes_process_is_alive(const struct nodes_process *p); /* near ones only */
/* All but the incarnation, which Redis puts in front. */
void nodes_text_print(char *out, size_t out_size, const char *nonce, const struct nodes_process *self,
                      const char *describe);
/* False: no lease that a node wrote. */
bool nodes_text_parse(struct nodes_text *t, const char *text, size_t text_len);

enum nodes_state {
    NODES_OUT, /* no lease yet */
    NODES_IN,  /* had one; lapsed when that is too long ago */
    NODES_LEAVING,
    NODES_GONE, /* left, or the id is another's */
};

/* One command in flight; it outlives a struct nodes freed meanwhile. */
struct nodes_request {
    struct nodes *n; /* NULL: freed */
    void (*done)(struct nodes_request *q, const struct redis_reply *reply);
    uint64_t sent_ms;
    struct nodes_request *prev, *next;
};

struct nodes_ask { /* one nodes_list */
    struct nodes *n;
    struct deadline limit;
    nodes_list_fn *done;
    void *arg;
    struct nodes_ask *prev, *next;
};

struct nodes_receiver {
    nodes_receive_fn *fn; /* NULL: nobody listens */
    void *ctx;
};

struct nodes {
    struct redis *redis;         /* borrowed; NULL once closed */
    struct deadlines *deadlines; /* borrowed: outlives this */
    struct nodes_ops ops;
    uint32_t id, lease_ms;
    char prefix[NODES_PREFIX_MAX + 1];
    char nonce[NODES_NONCE_SIZE];
    struct nodes_process self;
    enum nodes_state state;
    uint64_t incarnation;
    uint64_t valid_until_ms; /* of the lease, by our clock, counted from when the renewal was sent */
    bool lapsed;             /* since the last success */
    bool holding;            /* a hold is in flight */
    bool said_waiting;
    char *replaces; /* ours: the lease of a dead process, which the next hold may replace; NULL: none */
    struct deadline tick, lapse, leave_limit;
    bool alive[NODES_MAX], lost[NODES_MAX]; /* as the last hold saw them */
    struct nodes_request *requests;
    struct nodes_ask *asks;
    struct nodes_receiver receivers[256]; /* by topic */
    bool leave_clean, leave_sent;
    void (*left)(void *arg);
    void *left_arg;
    struct metric *in_gauge, *alive_gauge, *lapses, *sent, *received;
};

/* nodes.c */
const char *nodes_key(const struct nodes *n, char out[NODES_KEY_SIZE], const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* False: Redis is away, and q->done will not come. */
must_check bool nodes_run(struct nodes *n, const struct redis_script *script, const struct redis_arg *args,
                          size_t key_count, size_t count,
                          void (*done)(struct nodes_request *q, const struct redis_reply *reply));

/* nodes_lease.c */
void nodes_lease_start(struct nodes *n);
void nodes_lease_stop(struct nodes *n);

/* nodes_message.c */
void nodes_message_start(struct nodes *n);

/* nodes_list.c */
void nodes_list_stop(struct nodes *n); /* ends each with ok false */

#endif
