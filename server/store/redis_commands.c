/* redis_commands.c: commands in flight, scripts, and what their answers mean. */
#include "store/redis_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define RING_SIZE REDIS_IN_FLIGHT_MAX

static void count_in_flight(struct redis *r)
{
    r->in_flight_gauge->value = r->in_flight_count;
}

/* --- commands in flight --- */

static struct redis_request *first_in_flight(struct redis *r)
{
    return &r->in_flight[r->in_flight_first];
}

static struct redis_request pop(struct redis *r)
{
    struct redis_request q = *first_in_flight(r);
    must(r->in_flight_count > 0);
    r->in_flight_first = --r->in_flight_count == 0 ? 0 : (r->in_flight_first + 1) % RING_SIZE;
    count_in_flight(r);
    return q;
}

static void push(struct redis *r, struct redis_request q)
{
    must(r->in_flight_count < RING_SIZE);
    if (r->in_flight_count == 0)
        r->commands.heard_ms = clock_ms(); /* the watchdog's time begins */
    r->in_flight[(r->in_flight_first + r->in_flight_count++) % RING_SIZE] = q;
    count_in_flight(r);
    redis_wake(r);
}

size_t redis_in_flight(const struct redis *r)
{
    return r->in_flight_count;
}

/* Calls out last. */
static void finish(struct redis_request q, const redisReply *reply)
{
    free(q.tail);
    if (q.done)
        q.done(q.arg, reply ? redis_reply_of(reply) : NULL);
}

/* A callback may close: then the rest has ended inside that. */
void redis_end_commands(struct redis *r)
{
    while (r->in_flight_count > 0)
        finish(pop(r), NULL);
}

static bool has_room(const struct redis *r, size_t bytes)
{
    return !r->closing && r->commands.state == REDIS_LINK_UP && r->in_flight_count < REDIS_IN_FLIGHT_MAX &&
           bytes + redis_link_unsent(&r->commands) <= REDIS_UNSENT_MAX;
}

bool redis_command(struct redis *r, const struct redis_arg *args, size_t count, redis_done_fn *done,
                   void *arg)
{
    struct redis_buffer *out = &r->commands.out;
    must(count > 0 && count <= REDIS_ARGS_MAX);
    if (!has_room(r, redis_args_bytes(args, count)))
        return false;
    redis_put_count(out, count);
    for (size_t i = 0; i < count; i++)
        redis_put_arg(out, args[i].data, args[i].data_len);
    r->sent->value++;
    push(r, (struct redis_request){.done = done, .arg = arg});
    return true;
}

/* --- scripts: the text once a connection, so that the order of commands stays; then its SHA-1 --- */

static struct redis_known *know(struct redis *r, const struct redis_script *script)
{
    struct redis_known *known;
    HASH_FIND_PTR(r->known, &script, known);
    if (known)
        return known;
    known = mem_alloc(sizeof *known);
    known->script = script;
    redis_script_sha(known->sha, script->text);
    HASH_ADD_PTR(r->known, script, known);
    return known;
}

static void put_script(struct redis *r, struct redis_known *known, bool by_sha, size_t tail_count,
                       const void *tail, size_t tail_len)
{
    struct redis_buffer *out = &r->commands.out;
    redis_put_count(out, 2 + tail_count);
    redis_put_text(out, by_sha ? "EVALSHA" : "EVAL");
    redis_put_text(out, by_sha ? known->sha : known->script->text);
    redis_buffer_put(out, tail, tail_len);
    if (!by_sha)
        known->loaded_on = r->commands.generation;
    r->sent->value++;
}

bool redis_run(struct redis *r, const struct redis_script *script, const struct redis_arg *args,
               size_t key_count, size_t count, redis_done_fn *done, void *arg)
{
    struct redis_buffer tail = {0};
    struct redis_number number;
    must(key_count <= count && count <= REDIS_ARGS_MAX);
    if (!has_room(r, redis_args_bytes(args, count) + strlen(script->text)))
        return false;
    struct redis_known *known = know(r, script);
    bool by_sha = known->loaded_on == r->commands.generation;
    struct redis_arg keys = redis_arg_int(&number, (int64_t)key_count);
    redis_put_arg(&tail, keys.data, keys.data_len);
    for (size_t i = 0; i < count; i++)
        redis_put_arg(&tail, args[i].data, args[i].data_len);
    put_script(r, known, by_sha, count + 1, tail.data, tail.len);
    struct redis_request q = {.done = done, .arg = arg};
    if (by_sha) { /* Redis may have been told to forget its scripts: then it is said again */
        q.known = known;
        q.tail = tail.data;
        q.tail_len = tail.len;
        q.tail_count = count + 1;
    } else {
        free(tail.data);
    }
    push(r, q);
    return true;
}

static void run_again(struct redis *r)
{
    struct redis_request q = pop(r);
    put_script(r, q.known, false, q.tail_count, q.tail, q.tail_len);
    free(q.tail);
    push(r, (struct redis_request){.done = q.done, .arg = q.arg});
}

/* --- answers --- */

static bool starts_with(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

/* Not this command is refused but any: a server that reads its files, follows another, or wants a password.
 */
static bool is_no_server_for_us(const char *error)
{
    static const char *const words[] = {"LOADING ", "READONLY ", "MASTERDOWN ", "NOAUTH "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (starts_with(error, words[i]))
            return true;
    return false;
}

static void count_error(struct redis *r, const struct redis_request *q, const char *error)
{
    char quoted[256];
    r->errors->value++;
    if (bucket_take(&r->error_lines, clock_ms()))
        log_warn("redis.error%s%s why=%s", q->known ? " script=" : "", q->known ? q->known->script->name : "",
                 log_quote(quoted, sizeof quoted, error, strlen(error)));
}

static void take_answer(struct redis *r, const redisReply *reply)
{
    if (r->in_flight_count == 0) {
        redis_link_lose(&r->commands,
                        reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer to no question");
        return;
    }
    const struct redis_request *q = first_in_flight(r);
    if (reply->type == REDIS_REPLY_ERROR) {
        if (q->known && starts_with(reply->str, "NOSCRIPT")) {
            run_again(r);
            return;
        }
        if (is_no_server_for_us(reply->str)) {
            redis_link_lose(&r->commands, reply->str); /* which ends this command too */
            return;
        }
        count_error(r, q, reply->str);
    }
    finish(pop(r), reply);
}

static void ping(struct redis *r)
{
    redis_put_count(&r->commands.out, 1);
    redis_put_text(&r->commands.out, "PING");
    push(r, (struct redis_request){0});
}

static bool is_waiting(const struct redis *r)
{
    return r->in_flight_count > 0;
}

static void greeted(struct redis *r)
{
    redis_link_enter_up(&r->commands);
}

const struct redis_link_ops redis_commands_ops = {
    .greeted = greeted, .take = take_answer, .ping = ping, .is_waiting = is_waiting};

void redis_commands_free(struct redis *r)
{
    struct redis_known *known, *next;
    HASH_ITER (hh, r->known, known, next) {
        HASH_DEL(r->known, known);
        free(known);
    }
    free(r->in_flight);
}
