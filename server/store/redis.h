/* redis.h: Redis on the loop: one connection for commands, pipelined, and one for subscriptions.
 *
 *   DOWN --connect--> CONNECTING --ready--> UP --lost--> DOWN (retry 100 ms doubling to 2 s)
 *
 * Nothing is queued while Redis is away: redis_command says so at once, and whoever wants durability keeps
 * what it has to write and tries again from redis_on_up. A command ends in exactly one callback from the
 * loop, never from inside redis_command; one whose answer was lost with the connection may or may not have
 * been executed. The process ignores SIGPIPE. Loop thread only. The only room that knows hiredis. */
#ifndef CYAN_STORE_REDIS_H
#define CYAN_STORE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/metrics.h"
#include "base/must.h"

#define REDIS_IN_FLIGHT_MAX 20000               /* commands without an answer yet */
#define REDIS_UNSENT_MAX ((size_t)64 * 1048576) /* bytes of them that Redis has not taken yet */
#define REDIS_ARGS_MAX 1024

struct redis;

/* An answer; borrowed, valid during the callback. */
struct redis_reply;
enum redis_kind { REDIS_NIL, REDIS_INT, REDIS_TEXT /* bulk or status */, REDIS_LIST, REDIS_ERROR };
enum redis_kind redis_kind(const struct redis_reply *r); /* NULL is REDIS_NIL */
int64_t redis_int(const struct redis_reply *r);          /* of a text too when it is a number; else 0 */
/* NUL-terminated; "" and 0 for what is no text or error. */
const char *redis_text(const struct redis_reply *r, size_t *text_len /* or NULL */);
size_t redis_count(const struct redis_reply *r);
const struct redis_reply *redis_item(const struct redis_reply *r, size_t i); /* NULL beyond the end */

/* reply NULL: the connection was lost, or redis_close. An error of Redis is logged and counted here once. */
typedef void redis_done_fn(void *arg, const struct redis_reply *reply);

/* One argument: bytes, copied. */
struct redis_arg {
    const void *data;
    size_t data_len;
};
struct redis_arg redis_arg_text(const char *text);
struct redis_number { /* the caller's memory for a number's text */
    char text[24];
};
struct redis_arg redis_arg_int(struct redis_number *n, int64_t value);

/* A Lua script of the program, static const: EVALSHA, and EVAL when Redis does not know it yet. */
struct redis_script {
    const char *name; /* unique in the program, for logs and metrics */
    const char *text;
};

/* address: HOST:PORT with a numeric HOST, or an absolute path of a unix socket. user and password may be "".
 * Starts connecting; an unreachable server is retried for ever. NULL with a one-line reason in why when
 * address is malformed. */
struct redis_settings {
    const char *address, *user, *password; /* copied; the password is never logged */
    uint32_t database;
};
must_check struct redis *redis_new(uv_loop_t *loop, const struct redis_settings *settings,
                                   struct metrics *metrics, char *why, size_t why_size);
/* Ends every command with reply NULL (from inside), closes, then calls closed; redis is freed by then. */
void redis_close(struct redis *r, void (*closed)(void *arg), void *arg);
bool redis_is_up(const struct redis *r); /* both connections; commands need only theirs */
size_t redis_in_flight(const struct redis *r);
/* fn: each time both connections are up again, and once now if they are; from the loop. At most 8 of them. */
void redis_on_up(struct redis *r, void (*fn)(void *arg), void *arg);
/* Each time one of them is lost, after the callbacks of what was in flight on it. At most 8 of them. */
void redis_on_down(struct redis *r, void (*fn)(void *arg), void *arg);
/* Once, from inside redis_close: the last moment to call anything here. At most 8 of them. */
void redis_on_close(struct redis *r, void (*fn)(void *arg), void *arg);
/* No more calls of redis_on_... and redis_subscribe with this arg. Commands still answer. */
void redis_off(struct redis *r, const void *arg);

/* False, and no callback: Redis is away, or REDIS_IN_FLIGHT_MAX or REDIS_UNSENT_MAX is reached. done NULL:
 * the answer is of no interest. */
must_check bool redis_command(struct redis *r, const struct redis_arg *args, size_t count,
                              redis_done_fn *done, void *arg);
/* keys then args, as KEYS and ARGV. */
must_check bool redis_run(struct redis *r, const struct redis_script *script, const struct redis_arg *args,
                          size_t key_count, size_t count, redis_done_fn *done, void *arg);

/* Messages of a channel, whenever Redis is there: at most once each. Before redis_on_up's callbacks come all
 * channels are subscribed. message: borrowed during the call. */
typedef void redis_message_fn(void *arg, const uint8_t *message, size_t message_len);
void redis_subscribe(struct redis *r, const char *channel, redis_message_fn *fn, void *arg);

#endif
