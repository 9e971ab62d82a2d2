#include "fleet/lost_nodes.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/room.h"
#include "store/nodes.h"

#define AGAIN_MS 1000
#define TIMEOUT_MS 60000
#define NONE UINT32_MAX

struct lost_nodes {
    struct fleet *f;
    struct deadline again;
    uint32_t marking; /* NONE, or the one that is being marked */
    bool waiting[NODES_MAX];
};

static void mark_next(struct lost_nodes *l);

struct lost_nodes *lost_nodes_new(struct fleet *f)
{
    struct lost_nodes *l = mem_alloc(sizeof *l);
    l->f = f;
    l->marking = NONE;
    return l;
}

void lost_nodes_stop(struct lost_nodes *l)
{
    deadline_cancel(l->f->deadlines, &l->again);
}

void lost_nodes_free(struct lost_nodes *l)
{
    lost_nodes_stop(l);
    free(l);
}

static void on_marked(void *arg, enum pg_err err, const struct pg_result *result);

/* A node that lives again has marked its devices itself, and those that are online now came since. */
static void mark(struct lost_nodes *l)
{
    if (nodes_is_alive(l->f->nodes, l->marking)) {
        l->marking = NONE;
        mark_next(l);
        return;
    }
    fleet_mark_offline(l->f, l->marking, "node_lost", TIMEOUT_MS, on_marked, l);
}

static void on_again(struct deadline *again, uint64_t now_ms)
{
    (void)now_ms;
    mark((struct lost_nodes *)((char *)again - offsetof(struct lost_nodes, again)));
}

static void on_marked(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct lost_nodes *l = arg;
    uint32_t id = l->marking;
    if (l->f->stopped)
        return;
    if (fleet_err_of(err, result, "node_lost") != FLEET_OK) {
        deadline_set(l->f->deadlines, &l->again, clock_ms() + AGAIN_MS, on_again);
    } else if (!fleet_is_last_slice(result)) {
        mark(l);
    } else {
        log_info("node.marked_offline node=%" PRIu32, id);
        nodes_forget(l->f->nodes, id);
        l->marking = NONE;
        mark_next(l);
    }
}

static void mark_next(struct lost_nodes *l)
{
    for (uint32_t id = 0; id < NODES_MAX && l->marking == NONE; id++) {
        if (!l->waiting[id])
            continue;
        l->waiting[id] = false;
        l->marking = id;
        deadline_set(l->f->deadlines, &l->again, clock_ms(), on_again);
    }
}

void fleet_node_lost(struct fleet *f, uint32_t id)
{
    struct lost_nodes *l = f->lost_nodes;
    must(id < NODES_MAX && f->nodes != NULL);
    if (f->stopped || id == l->marking)
        return;
    l->waiting[id] = true;
    mark_next(l);
}
