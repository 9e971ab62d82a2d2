#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/loop_watch.h"

struct fixture {
    uv_loop_t loop;
    struct metrics *metrics;
    struct loop_watch watch;
    uv_timer_t timer;
};

static int begin(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    assert_int_equal(uv_loop_init(&f.loop), 0);
    f.metrics = metrics_new();
    assert_int_equal(uv_timer_init(&f.loop, &f.timer), 0);
    loop_watch_init(&f.watch, &f.loop, f.metrics);
    *state = &f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    uv_close((uv_handle_t *)&f->timer, NULL);
    uv_close((uv_handle_t *)&f->watch.check, NULL);
    uv_close((uv_handle_t *)&f->watch.prepare, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    metrics_free(f->metrics);
    return 0;
}

static void the_longest_of_two_spans_is_shown(void **state)
{
    struct fixture *f = *state;
    struct loop_watch *w = &f->watch;
    uint64_t now_ms = 1000000;

    loop_watch_note(w, 7, now_ms);
    loop_watch_note(w, 3, now_ms + 1);
    assert_int_equal(w->stall_ms->value, 7);
    loop_watch_note(w, 5, now_ms + LOOP_WATCH_SPAN_MS);
    assert_int_equal(w->stall_ms->value, 7); /* of the span before */
    loop_watch_note(w, 1, now_ms + 2 * LOOP_WATCH_SPAN_MS);
    assert_int_equal(w->stall_ms->value, 5);
    loop_watch_note(w, 1, now_ms + 9 * (uint64_t)LOOP_WATCH_SPAN_MS); /* nothing was heard in between */
    assert_int_equal(w->stall_ms->value, 1);
    assert_int_equal(w->stalls->value, 0);
    loop_watch_note(w, LOOP_WATCH_STALL_MS + 1, now_ms + 9 * (uint64_t)LOOP_WATCH_SPAN_MS + 1);
    assert_int_equal(w->stalls->value, 1);
}

static void on_due(uv_timer_t *timer)
{
    uint64_t until_ms = clock_ms() + 50;

    (void)timer;
    while (clock_ms() < until_ms)
        continue;
}

/* Waiting is no stall; work is, and is seen when the loop polls again. */
static void only_work_counts(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(uv_timer_start(&f->timer, on_due, 100, 0), 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_timer_start(&f->timer, on_due, 1000000, 0), 0);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_in_range(f->watch.stall_ms->value, 50, 99);
    assert_int_equal(f->watch.stalls->value, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_longest_of_two_spans_is_shown, begin, end),
        cmocka_unit_test_setup_teardown(only_work_counts, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
