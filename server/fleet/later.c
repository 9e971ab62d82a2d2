#include "fleet/later.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"

struct later_call {
    void (*fn)(void *ctx);
    void *ctx;
    struct later_call *prev, *next;
};

void later_init(struct later *l, struct deadlines *deadlines)
{
    *l = (struct later){.deadlines = deadlines};
}

void later_deinit(struct later *l)
{
    struct later_call *call, *next;
    deadline_cancel(l->deadlines, &l->due);
    DL_FOREACH_SAFE (l->calls, call, next)
        free(call);
    l->calls = NULL;
}

static void on_due(struct deadline *due, uint64_t now_ms)
{
    struct later *l = (struct later *)((char *)due - offsetof(struct later, due));
    (void)now_ms;
    struct later_call *calls = l->calls;
    l->calls = NULL; /* what these calls push comes in the next turn */
    while (calls) {
        struct later_call *call = calls;
        void (*fn)(void *ctx) = call->fn;
        void *ctx = call->ctx;
        DL_DELETE(calls, call);
        free(call);
        fn(ctx);
    }
}

void later_push(struct later *l, void (*fn)(void *ctx), void *ctx)
{
    struct later_call *call = mem_alloc(sizeof *call);
    call->fn = fn;
    call->ctx = ctx;
    DL_APPEND(l->calls, call);
    if (!deadline_is_set(&l->due))
        deadline_set(l->deadlines, &l->due, clock_ms(), on_due);
}
