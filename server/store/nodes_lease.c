/* nodes_lease.c: taking the lease, renewing it, losing it, giving it back; and seeing the others meanwhile.
 */
#include "store/nodes_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* Takes the lease, or renews it: {1, incarnation, it was ours before, id, has a lease, id, has a lease, ...}.
 * Held by another: {0, its text, what is left of it in ms}.
 * An incarnation is never less than the time, so that a Redis which lost its data gives none out again.
 * KEYS: node:ID, nodes, incarnation. ARGV: our nonce, id, lease in ms, incarnation or 0, text that may be
 * replaced or empty, our text without incarnation, what precedes an id in the key of a lease. */
static const struct redis_script hold_script = {
    .name = "node_hold",
    .text = "local held = redis.call('GET', KEYS[1])\n"
            "local number, nonce = string.match(held or '', '^(%d+) (%x+) ')\n"
            "local ours = nonce == ARGV[1]\n"
            "if held and not ours and held ~= ARGV[5] then\n"
            "  return {0, held, redis.call('PTTL', KEYS[1])}\n"
            "end\n"
            "local last = tonumber(redis.call('GET', KEYS[3]) or 0) or 0\n"
            "local mine = tonumber(ours and number or ARGV[4])\n"
            "if mine == 0 then\n"
            "  local time = redis.call('TIME')\n"
            "  mine = math.max(last + 1, time[1] * 1000 + math.floor(time[2] / 1000))\n"
            "end\n"
            "local text = string.format('%.0f', mine)\n"
            "if mine > last then redis.call('SET', KEYS[3], text) end\n"
            "redis.call('SET', KEYS[1], text .. ' ' .. ARGV[6], 'PX', ARGV[3])\n"
            "redis.call('SADD', KEYS[2], ARGV[2])\n"
            "local answer = {1, text, ours and 1 or 0}\n"
            "for i, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do\n"
            "  if i > 256 then break end\n"
            "  answer[#answer + 1] = id\n"
            "  answer[#answer + 1] = redis.call('EXISTS', ARGV[7] .. id)\n"
            "end\n"
            "return answer\n",
};

/* KEYS: node:ID, nodes, clean:ID:INCARNATION. ARGV: our nonce, id, seconds the mark lives or 0 for none. */
static const struct redis_script leave_script = {
    .name = "node_leave",
    .text = "local held = redis.call('GET', KEYS[1])\n"
            "if held and string.match(held, '^%d+ (%x+) ') ~= ARGV[1] then return 0 end\n"
            "redis.call('DEL', KEYS[1])\n"
            "redis.call('SREM', KEYS[2], ARGV[2])\n"
            "if ARGV[3] ~= '0' then redis.call('SET', KEYS[3], '1', 'EX', ARGV[3]) end\n"
            "return 1\n",
};

/* KEYS: node:ID, nodes. ARGV: id. */
static const struct redis_script forget_script = {
    .name = "node_forget",
    .text = "if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end\n"
            "return redis.call('SREM', KEYS[2], ARGV[1])\n",
};

static struct nodes *nodes_of(struct deadline *d, size_t offset)
{
    return (struct nodes *)(void *)((char *)d - offset);
}

static void hold(struct nodes *n);

static void on_tick(struct deadline *tick, uint64_t now_ms)
{
    (void)now_ms;
    hold(nodes_of(tick, offsetof(struct nodes, tick)));
}

static void tick_in(struct nodes *n, uint64_t in_ms)
{
    deadline_set(n->deadlines, &n->tick, clock_ms() + in_ms, on_tick);
}

/* --- ends --- */

static void stop(struct nodes *n)
{
    deadline_cancel(n->deadlines, &n->tick);
    deadline_cancel(n->deadlines, &n->lapse);
    n->in_gauge->value = 0;
}

/* Calls out last. */
static void give_up_id(struct nodes *n)
{
    n->state = NODES_GONE;
    stop(n);
    n->ops.usurped(n->ops.ctx);
}

static void on_lapse(struct deadline *lapse, uint64_t now_ms)
{
    struct nodes *n = nodes_of(lapse, offsetof(struct nodes, lapse));
    (void)now_ms;
    n->lapsed = true;
    n->in_gauge->value = 0;
    n->lapses->value++;
    log_warn("node.lapsed id=%u why=lease_not_renewed", n->id);
}

/* --- somebody else holds it --- */

static void replace(struct nodes *n, const char *text)
{
    free(n->replaces);
    n->replaces = mem_string(text);
    tick_in(n, 0);
}

static void wait_for_lease(struct nodes *n, const struct nodes_text *t, int64_t left_ms)
{
    char quoted[80];
    if (!n->said_waiting)
        log_warn("node.waiting id=%u why=lease_of_another_host host=%s pid=%lld left_ms=%lld", n->id,
                 log_quote(quoted, sizeof quoted, t->holder.name, strlen(t->holder.name)),
                 (long long)t->holder.pid, (long long)left_ms);
    n->said_waiting = true;
    tick_in(n, left_ms > 0 && left_ms < NODES_WAIT_MS ? (uint64_t)left_ms + 1 : NODES_WAIT_MS);
}

/* Calls out last. */
static void on_held_by_another(struct nodes *n, const struct redis_reply *reply)
{
    struct nodes_text t;
    size_t text_len;
    const char *text = redis_text(redis_item(reply, 1), &text_len);
    bool known = nodes_text_parse(&t, text, text_len);
    bool near = known && nodes_process_is_near(&t.holder, &n->self);
    if (n->incarnation != 0) {
        log_error("node.usurped id=%u by_pid=%lld by_incarnation=%llu", n->id, (long long)t.holder.pid,
                  (unsigned long long)t.incarnation);
        give_up_id(n);
    } else if (near && nodes_process_is_alive(&t.holder)) {
        log_error("node.id_taken id=%u pid=%lld", n->id, (long long)t.holder.pid);
        give_up_id(n);
    } else if (near) {
        log_info("node.replaces id=%u pid=%lld incarnation=%llu", n->id, (long long)t.holder.pid,
                 (unsigned long long)t.incarnation);
        replace(n, text);
    } else {
        wait_for_lease(n, &t, redis_int(redis_item(reply, 2)));
    }
}

/* --- it is ours --- */

/* Calls out last. */
static void tell_lost(struct nodes_request *q, const bool was_lost[NODES_MAX])
{
    struct nodes *n = q->n;
    for (uint32_t id = 0; id < NODES_MAX && q->n; id++) {
        if (!n->lost[id])
            continue;
        if (!was_lost[id])
            log_info("node.lost id=%u", id);
        n->ops.lost(n->ops.ctx, id);
    }
}

/* Ids beyond what we know are left alone. Calls out last. */
static void see_others(struct nodes_request *q, const struct redis_reply *reply)
{
    struct nodes *n = q->n;
    bool was_lost[NODES_MAX];
    memcpy(was_lost, n->lost, sizeof was_lost);
    memset(n->alive, 0, sizeof n->alive);
    memset(n->lost, 0, sizeof n->lost);
    n->alive_gauge->value = 0;
    for (size_t i = 3; i + 1 < redis_count(reply); i += 2) {
        int64_t id = redis_int(redis_item(reply, i));
        bool alive = redis_int(redis_item(reply, i + 1)) == 1;
        if (id < 0 || id >= NODES_MAX)
            continue;
        n->alive[id] = alive;
        n->alive_gauge->value += alive;
        n->lost[id] = !alive && id != n->id;
    }
    tell_lost(q, was_lost);
}

static void on_held_by_us(struct nodes_request *q, const struct redis_reply *reply)
{
    struct nodes *n = q->n;
    uint64_t now_ms = clock_ms(), until_ms = q->sent_ms + n->lease_ms;
    bool first = n->state == NODES_OUT;
    bool again = !first && (redis_int(redis_item(reply, 2)) == 0 || n->lapsed || now_ms >= n->valid_until_ms);
    n->incarnation = (uint64_t)redis_int(redis_item(reply, 1));
    n->lapsed |= again;
    if (now_ms >= until_ms) { /* the answer took so long that it says nothing about now */
        tick_in(n, 0);
        return;
    }
    n->valid_until_ms = until_ms;
    deadline_set(n->deadlines, &n->lapse, until_ms, on_lapse);
    if (first || again) {
        n->state = NODES_IN;
        n->lapsed = false;
        n->in_gauge->value = 1;
        log_info("node.joined id=%u incarnation=%llu again=%d", n->id, (unsigned long long)n->incarnation,
                 again);
        n->ops.joined(n->ops.ctx, again);
    }
    if (q->n)
        see_others(q, reply);
}

static void on_hold_answered(struct nodes_request *q, const struct redis_reply *reply)
{
    struct nodes *n = q->n;
    n->holding = false;
    free(n->replaces);
    n->replaces = NULL;
    if ((n->state != NODES_OUT && n->state != NODES_IN) || redis_kind(reply) != REDIS_LIST)
        return; /* no answer or an error: the next tick, or Redis coming back, tries again */
    if (redis_int(redis_item(reply, 0)) == 1 && redis_int(redis_item(reply, 1)) > 0)
        on_held_by_us(q, reply);
    else
        on_held_by_another(n, reply);
}

static void hold(struct nodes *n)
{
    char node[NODES_KEY_SIZE], all[NODES_KEY_SIZE], counter[NODES_KEY_SIZE], lease[NODES_KEY_SIZE];
    char text[NODES_TEXT_MAX], describe[NODES_DESCRIBE_MAX + 1] = "";
    struct redis_number id, lease_ms, incarnation;
    if (n->state != NODES_OUT && n->state != NODES_IN)
        return;
    uint64_t third_ms = n->lease_ms / 3 + 1;
    tick_in(n, n->state == NODES_OUT && third_ms > NODES_WAIT_MS ? NODES_WAIT_MS : third_ms);
    if (n->holding)
        return;
    n->ops.describe(n->ops.ctx, describe, sizeof describe);
    nodes_text_print(text, sizeof text, n->nonce, &n->self, describe);
    const struct redis_arg args[] = {
        redis_arg_text(nodes_key(n, node, "node:%u", n->id)),
        redis_arg_text(nodes_key(n, all, "nodes")),
        redis_arg_text(nodes_key(n, counter, "incarnation")),
        redis_arg_text(n->nonce),
        redis_arg_int(&id, n->id),
        redis_arg_int(&lease_ms, n->lease_ms),
        redis_arg_int(&incarnation, (int64_t)n->incarnation),
        redis_arg_text(n->replaces ? n->replaces : ""),
        redis_arg_text(text),
        redis_arg_text(nodes_key(n, lease, "node:")),
    };
    n->holding = nodes_run(n, &hold_script, args, 3, sizeof args / sizeof *args, on_hold_answered);
}

/* --- leaving --- */

/* Calls out last. */
static void finish_leaving(struct nodes *n)
{
    void (*left)(void *arg) = n->left;
    deadline_cancel(n->deadlines, &n->leave_limit);
    n->state = NODES_GONE;
    if (left)
        left(n->left_arg);
}

static void on_leave_limit(struct deadline *limit, uint64_t now_ms)
{
    struct nodes *n = nodes_of(limit, offsetof(struct nodes, leave_limit));
    (void)now_ms;
    if (n->state == NODES_LEAVING)
        log_warn("node.left id=%u clean=0 why=redis_does_not_answer", n->id);
    finish_leaving(n);
}

static void on_leave_answered(struct nodes_request *q, const struct redis_reply *reply)
{
    struct nodes *n = q->n;
    n->leave_sent = false;
    if (n->state != NODES_LEAVING || !reply) /* lost with the connection: again when Redis is back */
        return;
    bool ok = redis_kind(reply) == REDIS_INT && redis_int(reply) == 1;
    log_info("node.left id=%u clean=%d", n->id, ok && n->leave_clean);
    finish_leaving(n);
}

static void send_leave(struct nodes *n)
{
    char node[NODES_KEY_SIZE], all[NODES_KEY_SIZE], mark[NODES_KEY_SIZE];
    struct redis_number id, mark_s;
    bool marks = n->leave_clean && n->incarnation != 0;
    if (n->leave_sent)
        return;
    const struct redis_arg args[] = {
        redis_arg_text(nodes_key(n, node, "node:%u", n->id)),
        redis_arg_text(nodes_key(n, all, "nodes")),
        redis_arg_text(nodes_key(n, mark, "clean:%u:%llu", n->id, (unsigned long long)n->incarnation)),
        redis_arg_text(n->nonce),
        redis_arg_int(&id, n->id),
        redis_arg_int(&mark_s, marks ? NODES_MARK_S : 0),
    };
    n->leave_sent = nodes_run(n, &leave_script, args, 3, sizeof args / sizeof *args, on_leave_answered);
}

void nodes_leave(struct nodes *n, bool clean, void (*done)(void *arg), void *arg)
{
    must(n->state != NODES_LEAVING);
    bool gone = n->state == NODES_GONE || !n->redis;
    stop(n);
    n->left = done;
    n->left_arg = arg;
    n->leave_clean = clean;
    deadline_set(n->deadlines, &n->leave_limit, clock_ms() + (gone ? 0 : NODES_LEAVE_LIMIT_MS),
                 on_leave_limit);
    n->state = gone ? NODES_GONE : NODES_LEAVING;
    if (gone) /* nothing to give back; done comes from the loop */
        return;
    send_leave(n);
}

void nodes_forget(struct nodes *n, uint32_t id)
{
    char node[NODES_KEY_SIZE], all[NODES_KEY_SIZE];
    struct redis_number number;
    const struct redis_arg args[] = {
        redis_arg_text(nodes_key(n, node, "node:%u", id)),
        redis_arg_text(nodes_key(n, all, "nodes")),
        redis_arg_int(&number, id),
    };
    if (!n->redis || !redis_run(n->redis, &forget_script, args, 2, 3, NULL, NULL))
        log_debug("node.forget id=%u why=redis_away",
                  id); /* then it is lost once more, and forgotten again */
}

/* --- start and stop --- */

static void on_redis_up(void *arg)
{
    struct nodes *n = arg;
    if (n->state == NODES_LEAVING) {
        n->leave_clean = false; /* what it had acknowledged may be gone with the one it was */
        send_leave(n);
    } else {
        hold(n);
    }
}

static void on_redis_closed(void *arg)
{
    struct nodes *n = arg;
    n->redis = NULL;
}

void nodes_lease_start(struct nodes *n)
{
    redis_on_up(n->redis, on_redis_up, n);
    redis_on_close(n->redis, on_redis_closed, n);
}

void nodes_lease_stop(struct nodes *n)
{
    stop(n);
    deadline_cancel(n->deadlines, &n->leave_limit);
}
