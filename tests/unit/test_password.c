/* test_password.c: passwords as argon2id, and the queue that makes and verifies them on threads. */
#include "fleet/password_queue.h"

#include <argon2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

static const struct password_cost cheap = {.memory_kib = 64, .iterations = 1};
static const struct password_cost dearer = {.memory_kib = 128, .iterations = 2};

static void test_hash_and_verify(void **state)
{
    char a[PASSWORD_PHC_SIZE], b[PASSWORD_PHC_SIZE];
    (void)state;
    assert_true(password_hash(a, "correct horse", &cheap));
    assert_true(password_hash(b, "correct horse", &cheap));
    assert_int_equal(strncmp(a, "$argon2id$v=19$m=64,t=1,p=1$", 28), 0);
    assert_string_not_equal(a, b); /* salted */
    assert_true(password_verify(a, "correct horse"));
    assert_true(password_verify(b, "correct horse"));
    assert_false(password_verify(a, "correct horsf"));
    assert_false(password_verify(a, ""));
    assert_false(password_verify("", "correct horse"));
    assert_false(password_verify("$argon2id$v=19$m=64,t=1,p=1$", "correct horse"));
    assert_false(password_is_stale(a, &cheap));
    assert_true(password_is_stale(a, &dearer));
    assert_true(password_is_stale("", &cheap));
}

/* It must be worked through to the end, or the time would tell that nobody has that name. */
static void test_the_dummy_is_worked_through(void **state)
{
    char phc[PASSWORD_PHC_SIZE];
    (void)state;
    password_dummy(phc, &dearer);
    assert_int_equal(argon2id_verify(phc, "x", 1), ARGON2_VERIFY_MISMATCH);
    assert_false(password_is_stale(phc, &dearer));
}

static void test_what_argon2_does_not_take(void **state)
{
    char phc[PASSWORD_PHC_SIZE];
    (void)state;
    assert_false(password_hash(phc, "x", &(struct password_cost){.memory_kib = 1, .iterations = 1}));
    assert_false(password_hash(phc, "x", &(struct password_cost){.memory_kib = 64, .iterations = 0}));
}

static void test_flaws(void **state)
{
    char text[PASSWORD_MAX + 2];
    (void)state;
    memset(text, 'x', sizeof text);
    text[PASSWORD_MAX + 1] = 0;
    assert_non_null(password_flaw("1234567"));
    assert_null(password_flaw("12345678"));
    assert_non_null(password_flaw(text));
    text[PASSWORD_MAX] = 0;
    assert_null(password_flaw(text));
    assert_null(password_name_flaw("ana@example.com"));
    assert_null(password_name_flaw("zo\xc3\xab"));
    assert_non_null(password_name_flaw(""));
    assert_non_null(password_name_flaw("a b"));
    assert_non_null(password_name_flaw("a:b")); /* Basic could not say it */
    assert_non_null(password_name_flaw("a/b"));
    assert_non_null(password_name_flaw("a\nb"));
    text[65] = 0;
    assert_non_null(password_name_flaw(text));
    text[64] = 0;
    assert_null(password_name_flaw(text));
}

/* --- the queue --- */

struct bench {
    uv_loop_t loop;
    struct metrics *metrics;
    struct password_queue *queue;
    int calls;
    int answers[PASSWORD_AWAY + 1];
    char phc[PASSWORD_PHC_SIZE];
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    log_set_level(LOG_ERROR);
    uv_loop_init(&b->loop);
    b->metrics = metrics_new();
    b->queue = password_queue_new(&b->loop, b->metrics);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    password_queue_free(b->queue);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    metrics_free(b->metrics);
    free(b);
    return 0;
}

static void on_answer(void *arg, enum password_answer answer, const char *phc)
{
    struct bench *b = arg;
    b->calls++;
    b->answers[answer]++;
    strcpy(b->phc, phc);
}

static void run_until(struct bench *b, int calls)
{
    while (b->calls < calls)
        uv_run(&b->loop, UV_RUN_ONCE);
}

static void test_queue_answers(void **state)
{
    struct bench *b = *state;
    char phc[PASSWORD_PHC_SIZE];
    assert_true(password_queue_hash(b->queue, "correct horse", &cheap, on_answer, b));
    assert_int_equal(b->calls, 0);
    run_until(b, 1);
    strcpy(phc, b->phc);
    assert_true(password_verify(phc, "correct horse"));
    assert_true(password_queue_verify(b->queue, phc, "correct horse", &cheap, on_answer, b));
    run_until(b, 2);
    assert_int_equal(b->answers[PASSWORD_RIGHT], 2);
    assert_string_equal(b->phc, ""); /* it stays as it is */
    assert_true(password_queue_verify(b->queue, phc, "battery staple", &cheap, on_answer, b));
    assert_true(password_queue_verify(b->queue, NULL, "correct horse", &cheap, on_answer, b));
    run_until(b, 4);
    assert_int_equal(b->answers[PASSWORD_WRONG], 2);
}

static void test_queue_hashes_anew(void **state)
{
    struct bench *b = *state;
    char phc[PASSWORD_PHC_SIZE];
    assert_true(password_hash(phc, "correct horse", &cheap));
    assert_true(password_queue_verify(b->queue, phc, "correct horse", &dearer, on_answer, b));
    run_until(b, 1);
    assert_false(password_is_stale(b->phc, &dearer));
    assert_true(password_verify(b->phc, "correct horse"));
    assert_true(password_queue_verify(b->queue, phc, "wrong", &dearer, on_answer, b));
    run_until(b, 2);
    assert_string_equal(b->phc, "");
}

/* What is too long for a password is not cut to one. */
static void test_queue_takes_no_beginning(void **state)
{
    struct bench *b = *state;
    char phc[PASSWORD_PHC_SIZE], longer[PASSWORD_MAX + 2];
    memset(longer, 'x', sizeof longer);
    longer[PASSWORD_MAX] = 0;
    assert_true(password_hash(phc, longer, &cheap));
    longer[PASSWORD_MAX] = 'x';
    longer[PASSWORD_MAX + 1] = 0;
    assert_true(password_queue_verify(b->queue, phc, longer, &cheap, on_answer, b));
    run_until(b, 1);
    assert_int_equal(b->answers[PASSWORD_WRONG], 1);
}

static void test_queue_is_bounded_and_stops(void **state)
{
    struct bench *b = *state;
    int taken = 0;
    while (password_queue_verify(b->queue, NULL, "correct horse", &cheap, on_answer, b))
        taken++;
    assert_int_equal(taken, PASSWORD_QUEUE_MAX + PASSWORD_QUEUE_THREADS);
    assert_int_equal(b->calls, 0);
    password_queue_stop(b->queue);
    assert_int_equal(b->answers[PASSWORD_AWAY], taken);
    assert_false(password_queue_hash(b->queue, "correct horse", &cheap, on_answer, b));
    uv_run(&b->loop, UV_RUN_DEFAULT); /* threads still at work end without a word */
    assert_int_equal(b->calls, taken);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_and_verify),
        cmocka_unit_test(test_the_dummy_is_worked_through),
        cmocka_unit_test(test_what_argon2_does_not_take),
        cmocka_unit_test(test_flaws),
        TEST(test_queue_answers),
        TEST(test_queue_hashes_anew),
        TEST(test_queue_takes_no_beginning),
        TEST(test_queue_is_bounded_and_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
