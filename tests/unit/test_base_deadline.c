/* test_base_deadline.c: the heap of deadlines against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/deadline.h"

#define ENTRIES 500

struct item {
    struct deadline deadline; /* first: a callback gets its address */
    struct deadlines *all;
    unsigned calls;
    uint64_t called_ms;
};

static void on_due(struct deadline *d, uint64_t now_ms)
{
    struct item *item = (struct item *)d;

    assert_false(deadline_is_set(d));
    assert_true(d->at_ms <= now_ms);
    item->calls++;
    item->called_ms = now_ms;
}

static void on_due_again(struct deadline *d, uint64_t now_ms)
{
    struct item *item = (struct item *)d;

    item->calls++;
    deadline_set(item->all, d, now_ms, on_due_again);
}

static struct item *victim;

static void on_due_kill(struct deadline *d, uint64_t now_ms)
{
    struct item *item = (struct item *)d;
    struct deadlines *all = item->all;

    (void)now_ms;
    free(item);
    if (victim != NULL)
        deadline_cancel(all, &victim->deadline);
}

static void runs_in_order_what_is_due(void **state)
{
    struct deadlines all;
    struct item items[3] = {0};
    (void)state;

    deadlines_init(&all);
    assert_true(deadlines_next(&all, 5) == UINT64_MAX);
    deadline_set(&all, &items[0].deadline, 30, on_due);
    deadline_set(&all, &items[1].deadline, 10, on_due);
    deadline_set(&all, &items[2].deadline, 20, on_due);
    assert_true(deadlines_next(&all, 5) == 5);
    assert_true(deadlines_next(&all, 15) == 0);
    assert_int_equal(deadlines_run(&all, 9), 0);
    assert_int_equal(deadlines_run(&all, 20), 2);
    assert_int_equal(items[0].calls, 0);
    assert_int_equal(items[1].calls, 1);
    assert_int_equal(items[2].calls, 1);
    deadline_set(&all, &items[0].deadline, 50, on_due); /* moved */
    assert_int_equal(deadlines_run(&all, 49), 0);
    deadline_cancel(&all, &items[0].deadline);
    deadline_cancel(&all, &items[0].deadline); /* unset is fine */
    assert_int_equal(deadlines_run(&all, 1000), 0);
    deadlines_deinit(&all);
}

static void a_run_may_be_bounded(void **state)
{
    struct deadlines all;
    struct item items[5] = {0};
    unsigned calls = 0;
    (void)state;

    deadlines_init(&all);
    for (size_t i = 0; i < 5; i++)
        deadline_set(&all, &items[i].deadline, 10 - i, on_due);
    assert_int_equal(deadlines_run_some(&all, 9, 3), 3); /* the earliest */
    assert_int_equal(items[4].calls + items[3].calls + items[2].calls, 3);
    assert_true(deadlines_next(&all, 9) == 0);
    assert_int_equal(deadlines_run_some(&all, 9, 3), 1);
    assert_true(deadlines_next(&all, 9) == 1);
    for (size_t i = 0; i < 5; i++)
        calls += items[i].calls;
    assert_int_equal(calls, 4);
    deadlines_deinit(&all);
}

static void a_callback_may_set_itself_for_now(void **state)
{
    struct deadlines all;
    struct item again = {0}, other = {0};
    (void)state;

    deadlines_init(&all);
    again.all = &all;
    deadline_set(&all, &again.deadline, 1, on_due_again);
    deadline_set(&all, &other.deadline, 1, on_due);
    assert_int_equal(deadlines_run(&all, 7), 2); /* comes back */
    assert_true(deadline_is_set(&again.deadline));
    assert_true(deadlines_next(&all, 7) == 0);
    assert_true(again.calls >= 1);
    deadlines_run(&all, 8);
    assert_int_equal(other.calls, 1);
    deadlines_deinit(&all);
    assert_false(deadline_is_set(&again.deadline));
}

static void a_callback_may_free_its_memory_and_cancel_others(void **state)
{
    struct deadlines all;
    struct item *killer = calloc(1, sizeof(*killer));
    struct item other = {0};
    (void)state;

    assert_non_null(killer);
    deadlines_init(&all);
    killer->all = &all;
    victim = &other;
    deadline_set(&all, &other.deadline, 2, on_due);
    deadline_set(&all, &killer->deadline, 1, on_due_kill);
    assert_int_equal(deadlines_run(&all, 3), 1);
    assert_int_equal(other.calls, 0);
    victim = NULL;
    deadlines_deinit(&all);
}

/* Random set, move, cancel and run; each entry must be called exactly when the plain model says. */
static void agrees_with_a_plain_model(void **state)
{
    static struct item items[ENTRIES];
    static uint64_t model_at[ENTRIES];
    static unsigned model_calls[ENTRIES];
    struct deadlines all;
    uint64_t now_ms = 1000;
    (void)state;

    srandom(12345);
    deadlines_init(&all);
    for (int step = 0; step < 20000; step++) {
        size_t i = (size_t)random() % ENTRIES;
        switch (random() % 4) {
        case 0:
        case 1:
            model_at[i] = now_ms + 1 + (uint64_t)random() % 300;
            deadline_set(&all, &items[i].deadline, model_at[i], on_due);
            break;
        case 2:
            model_at[i] = 0;
            deadline_cancel(&all, &items[i].deadline);
            break;
        default:
            now_ms += (uint64_t)random() % 20;
            deadlines_run(&all, now_ms);
            for (size_t k = 0; k < ENTRIES; k++) {
                if (model_at[k] != 0 && model_at[k] <= now_ms) {
                    model_at[k] = 0;
                    model_calls[k]++;
                }
                assert_int_equal(items[k].calls, model_calls[k]);
                assert_int_equal(deadline_is_set(&items[k].deadline), model_at[k] != 0);
            }
        }
    }
    deadlines_deinit(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_in_order_what_is_due),
        cmocka_unit_test(a_run_may_be_bounded),
        cmocka_unit_test(a_callback_may_set_itself_for_now),
        cmocka_unit_test(a_callback_may_free_its_memory_and_cancel_others),
        cmocka_unit_test(agrees_with_a_plain_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
