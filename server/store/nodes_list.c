/* nodes_list.c: every node with a lease, for people who ask. */
#include "store/nodes_inner.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"

/* {id, ms left, text, id, ms left, text, ...}. KEYS: nodes. ARGV: what precedes an id in the key of a lease,
 * longest text. */
static const struct redis_script list_script = {
    .name = "node_list",
    .text = "local answer = {}\n"
            "for i, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do\n"
            "  if i > 256 then break end\n"
            "  local text = redis.call('GET', ARGV[1] .. id)\n"
            "  if text and #text <= tonumber(ARGV[2]) then\n"
            "    answer[#answer + 1] = id\n"
            "    answer[#answer + 1] = redis.call('PTTL', ARGV[1] .. id)\n"
            "    answer[#answer + 1] = text\n"
            "  end\n"
            "end\n"
            "return answer\n",
};

static int by_id(const void *a, const void *b)
{
    const struct node_seen *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Returns how many were read into seen. */
static size_t read_seen(struct node_seen *seen, size_t size, const struct redis_reply *reply)
{
    size_t count = 0;
    for (size_t i = 0; i + 2 < redis_count(reply) && count < size; i += 3) {
        struct nodes_text t;
        size_t text_len;
        const char *text = redis_text(redis_item(reply, i + 2), &text_len);
        int64_t id = redis_int(redis_item(reply, i)), left_ms = redis_int(redis_item(reply, i + 1));
        if (id < 0 || id >= NODES_MAX || !nodes_text_parse(&t, text, text_len))
            continue;
        seen[count++] = (struct node_seen){.id = (uint32_t)id,
                                           .incarnation = t.incarnation,
                                           .lease_left_ms = left_ms > 0 ? (uint64_t)left_ms : 0,
                                           .text = t.describe};
    }
    qsort(seen, count, sizeof *seen, by_id);
    return count;
}

/* Calls out last. */
static void finish(struct nodes_ask *ask, bool ok, const struct node_seen *seen, size_t count)
{
    nodes_list_fn *done = ask->done;
    void *arg = ask->arg;
    deadline_cancel(ask->n->deadlines, &ask->limit);
    DL_DELETE(ask->n->asks, ask);
    free(ask);
    done(arg, ok, seen, count);
}

/* Answers come in the order of the questions, each for the oldest that was sent; those whose limit is over
 * are gone, and their answers serve the next ones as well. */
static void on_listed(struct nodes_request *q, const struct redis_reply *reply)
{
    struct node_seen seen[NODES_MAX];
    bool ok = redis_kind(reply) == REDIS_LIST;
    size_t count = ok ? read_seen(seen, NODES_MAX, reply) : 0;
    if (q->n->asks)
        finish(q->n->asks, ok, seen, count);
}

static void on_limit(struct deadline *limit, uint64_t now_ms)
{
    struct nodes_ask *ask = (struct nodes_ask *)(void *)((char *)limit - offsetof(struct nodes_ask, limit));
    (void)now_ms;
    finish(ask, false, NULL, 0);
}

void nodes_list(struct nodes *n, nodes_list_fn *done, void *arg)
{
    char all[NODES_KEY_SIZE], lease[NODES_KEY_SIZE];
    struct redis_number longest;
    struct nodes_ask *ask = mem_alloc(sizeof *ask);
    const struct redis_arg args[] = {redis_arg_text(nodes_key(n, all, "nodes")),
                                     redis_arg_text(nodes_key(n, lease, "node:")),
                                     redis_arg_int(&longest, NODES_TEXT_MAX)};
    bool sent = nodes_run(n, &list_script, args, 1, 3, on_listed);
    ask->n = n;
    ask->done = done;
    ask->arg = arg;
    DL_APPEND(n->asks, ask);
    deadline_set(n->deadlines, &ask->limit, clock_ms() + (sent ? NODES_LIST_LIMIT_MS : 0), on_limit);
}

void nodes_list_stop(struct nodes *n)
{
    while (n->asks)
        finish(n->asks, false, NULL, 0);
}
