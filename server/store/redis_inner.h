/* redis_inner.h: what the files of the Redis client share: the client, one connection, one request.
 *
 *   link: DOWN --connect--> CONNECTING --connected--> GREETING --answered--> UP --lost--> DOWN
 *
 * A link moves bytes and knows when it is dead; what an answer means is decided above it, by redis_commands.c
 * and redis_subscriber.c. Of hiredis only the parser of answers is used: its asynchronous half (0.14) aborts
 * the process on answers it does not expect, and cannot ask a subscribed connection whether it lives.
 * Private to this room and to its test. Loop thread only. */
#ifndef CYAN_STORE_REDIS_INNER_H
#define CYAN_STORE_REDIS_INNER_H

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <uthash.h>

#include "base/bucket.h"
#include "store/redis.h"

#define REDIS_BACKOFF_FIRST_MS 100
#define REDIS_BACKOFF_LAST_MS 2000
#define REDIS_CONNECT_LIMIT_MS 5000
#define REDIS_WATCHDOG_MS 10000 /* no answer for so long while one is due: the link is dead */
#define REDIS_READ_BYTES 65536
#define REDIS_REPLY_MAX ((size_t)64 << 20) /* bytes of one answer */
#define REDIS_LISTENERS_MAX 8
#define REDIS_SHA_TEXT_SIZE 41

struct redis_buffer {
    uint8_t *data; /* ours */
    size_t len, size;
};
/* redis_encode.c: commands as Redis reads them */
void redis_buffer_put(struct redis_buffer *b, const void *data, size_t data_len);
void redis_buffer_reset(struct redis_buffer *b); /* empties it, and gives a large block back */
void redis_put_count(struct redis_buffer *b, size_t count);
void redis_put_arg(struct redis_buffer *b, const void *data, size_t data_len);
void redis_put_text(struct redis_buffer *b, const char *text);
size_t redis_args_bytes(const struct redis_arg *args, size_t count);
void redis_script_sha(char out[REDIS_SHA_TEXT_SIZE], const char *text);
/* The reply as redis.h shows it. */
const struct redis_reply *redis_reply_of(const redisReply *reply);

enum redis_link_state { REDIS_LINK_DOWN, REDIS_LINK_CONNECTING, REDIS_LINK_GREETING, REDIS_LINK_UP };

struct redis_socket { /* freed by its close callback */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } uv;
    uv_connect_t connect;
    uv_write_t write;
    struct redis_buffer sending; /* of the write under way */
    bool writing;
    struct redis *redis;
    struct redis_link *link; /* NULL once abandoned */
};

struct redis_link_ops {                                     /* what is above a link */
    void (*greeted)(struct redis *r);                       /* calls redis_link_enter_up, now or later */
    void (*take)(struct redis *r, const redisReply *reply); /* after the greeting; may lose the link */
    void (*ping)(struct redis *r);                          /* nothing is due and it is silent: ask */
    bool (*is_waiting)(const struct redis *r);              /* something is due */
};

struct redis_link {
    struct redis *redis;
    const struct redis_link_ops *ops; /* static */
    struct redis_socket *socket;      /* ours until abandoned, NULL while DOWN */
    redisReader *reader;              /* ours, from GREETING on */
    struct redis_buffer out;          /* to be sent before the loop sleeps */
    uv_timer_t timer;                 /* DOWN: try again. CONNECTING, GREETING: give up. UP: look after it */
    enum redis_link_state state;
    size_t greetings;    /* answers to the greeting still to come */
    uint64_t heard_ms;   /* when something came last, or came to be due */
    uint64_t up_ms;      /* since when UP */
    uint64_t generation; /* grows with each loss: who called out compares it afterwards */
    uint32_t backoff_ms;
};

struct redis_known {                   /* a script that was used */
    const struct redis_script *script; /* borrowed: static */
    uint64_t loaded_on;                /* the generation of the link that has been sent its text */
    char sha[REDIS_SHA_TEXT_SIZE];
    UT_hash_handle hh;
};

struct redis_request {
    redis_done_fn *done; /* NULL: the answer is of no interest */
    void *arg;
    struct redis_known *known; /* of an EVALSHA, which may have to be said again; else NULL */
    uint8_t *tail;             /* ours: what follows the script, encoded; NULL unless known */
    size_t tail_len, tail_count;
};

struct redis_listener {
    void (*fn)(void *arg); /* NULL: a free place */
    void *arg;
    bool due; /* to be called before the loop sleeps */
};

struct redis_subscription {
    char *channel;        /* ours */
    redis_message_fn *fn; /* NULL: no longer wanted */
    void *arg;
    struct redis_subscription *next;
};

struct redis {
    uv_loop_t *loop;
    char *address, *user, *password; /* ours; the password is never logged */
    uint32_t database;
    struct sockaddr_storage peer; /* of HOST:PORT; AF_UNIX: address is a path */
    struct redis_link commands, subscriber;
    uv_idle_t idle; /* sends what this turn of the loop queued; idle, so that the loop does not sleep first */
    int open_handles; /* of libuv, to be closed */
    uint32_t watchdog_ms;
    struct redis_request *in_flight; /* a ring of REDIS_IN_FLIGHT_MAX, in sending order */
    size_t in_flight_first, in_flight_count;
    struct redis_known *known;
    struct redis_subscription *subscriptions;
    size_t subscribing; /* SUBSCRIBEs of this connection not answered yet */
    bool ping_due;      /* its PING is not answered yet */
    struct redis_listener on_up[REDIS_LISTENERS_MAX], on_down[REDIS_LISTENERS_MAX],
        on_close[REDIS_LISTENERS_MAX];
    bool up, was_up, said_down, closing;
    struct bucket error_lines;
    void (*closed)(void *arg);
    void *closed_arg;
    struct metric *up_gauge, *sent, *errors, *reconnects, *in_flight_gauge;
    char read_buffer[REDIS_READ_BYTES];
};

/* redis.c */
void redis_wake(struct redis *r); /* flush, and due listeners, before the loop sleeps */
void redis_on_link_up(struct redis *r);
void redis_on_link_lost(struct redis *r, struct redis_link *link, const char *why); /* calls out */
void redis_on_handle_closed(struct redis *r);

/* redis_commands.c */
extern const struct redis_link_ops redis_commands_ops;
void redis_end_commands(struct redis *r); /* with reply NULL; calls out */
void redis_commands_free(struct redis *r);

/* redis_link.c */
void redis_link_init(struct redis_link *link, struct redis *r, const struct redis_link_ops *ops);
void redis_link_close(struct redis_link *link);
void redis_link_flush(struct redis_link *link);
void redis_link_enter_up(struct redis_link *link);
void redis_link_lose(struct redis_link *link, const char *why); /* calls out last */
size_t redis_link_unsent(const struct redis_link *link);

/* redis_subscriber.c */
extern const struct redis_link_ops redis_subscriber_ops;
void redis_subscriber_free(struct redis *r);

#endif
