#include "net/loop_watch.h"

#include "base/log.h"
#include "base/must.h"

void loop_watch_note(struct loop_watch *w, uint64_t busy_ms, uint64_t now_ms)
{
    if (now_ms >= w->span_began_ms + LOOP_WATCH_SPAN_MS) {
        bool is_next = now_ms < w->span_began_ms + 2 * (uint64_t)LOOP_WATCH_SPAN_MS;
        w->longest_before_ms = is_next ? w->longest_ms : 0;
        w->longest_ms = 0;
        w->span_began_ms = now_ms;
    }
    if (busy_ms > w->longest_ms)
        w->longest_ms = busy_ms;
    w->stall_ms->value = w->longest_ms > w->longest_before_ms ? w->longest_ms : w->longest_before_ms;
    if (busy_ms > LOOP_WATCH_STALL_MS) {
        w->stalls->value++;
        log_debug("loop.stalled ms=%llu", (unsigned long long)busy_ms);
    }
}

/* Runs after what poll found ready; libuv noted the time when poll returned. */
static void on_check(uv_check_t *check)
{
    struct loop_watch *w = check->data;
    w->woke_ms = uv_now(check->loop);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop_watch *w = prepare->data;
    uint64_t now_ms = uv_hrtime() / 1000000; /* the clock of uv_now */
    if (w->woke_ms > 0)
        loop_watch_note(w, now_ms - w->woke_ms, now_ms);
}

void loop_watch_init(struct loop_watch *w, uv_loop_t *loop, struct metrics *metrics)
{
    *w = (struct loop_watch){0};
    w->stall_ms = metrics_add(metrics, METRIC_GAUGE, "cyan_loop_stall_ms", NULL,
                              "Longest time the loop did not poll in the last 30 to 60 s");
    w->stalls = metrics_add(metrics, METRIC_COUNTER, "cyan_loop_stalls_total", NULL,
                            "Times the loop did not poll for more than 20 ms");
    must(uv_check_init(loop, &w->check) == 0);
    must(uv_prepare_init(loop, &w->prepare) == 0);
    w->check.data = w->prepare.data = w;
    must(uv_check_start(&w->check, on_check) == 0);
    must(uv_prepare_start(&w->prepare, on_prepare) == 0);
    uv_unref((uv_handle_t *)&w->check);
    uv_unref((uv_handle_t *)&w->prepare);
}
