/* test_pg.c: the Postgres client against a real Postgres: answers, errors, and every way to lose the server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "private_postgres.h"
#include "store/pg_inner.h"

static struct private_postgres postgres;

struct fixture {
    uv_loop_t loop;
    uv_timer_t tick; /* lets conditions be looked at while nothing happens */
    struct metrics *metrics;
    struct pg *pg;
    bool closed;
};

static void on_closed(void *arg)
{
    struct fixture *fx = arg;
    fx->closed = true;
}

static void on_tick(uv_timer_t *tick)
{
    (void)tick;
}

static int setup(void **state)
{
    struct fixture *fx = calloc(1, sizeof *fx);
    uv_loop_init(&fx->loop);
    uv_timer_init(&fx->loop, &fx->tick);
    uv_timer_start(&fx->tick, on_tick, 1, 1);
    fx->metrics = metrics_new();
    fx->pg = pg_new(&fx->loop, postgres.conninfo, 2, fx->metrics);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    if (!fx->closed && !fx->pg->closing)
        pg_close(fx->pg, on_closed, fx);
    uv_close((uv_handle_t *)&fx->tick, NULL);
    uv_run(&fx->loop, UV_RUN_DEFAULT);
    assert_true(fx->closed);
    assert_int_equal(uv_loop_close(&fx->loop), 0);
    metrics_free(fx->metrics);
    free(fx);
    return 0;
}

/* Runs the loop until the condition holds; a limit so generous that only a hang meets it. */
#define run_until(fx, cond)                                                                                  \
    do {                                                                                                     \
        uint64_t limit_ = clock_ms() + 60000;                                                                \
        while (!(cond)) {                                                                                    \
            assert_true(clock_ms() < limit_);                                                                \
            uv_run(&(fx)->loop, UV_RUN_ONCE);                                                                \
        }                                                                                                    \
    } while (0)

struct answer {
    int calls;
    enum pg_err err;
    char text[64], sqlstate[8];
    int rows;
    bool null;
};

static void on_answer(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err;
    if (result) {
        snprintf(a->sqlstate, sizeof a->sqlstate, "%s", pg_sqlstate(result));
        a->rows = err == PG_OK ? pg_rows(result) : 0;
        if (a->rows) {
            snprintf(a->text, sizeof a->text, "%s", pg_value(result, 0, 0));
            a->null = pg_is_null(result, 0, 0);
        }
    } else {
        assert_true(err == PG_AWAY || err == PG_UNKNOWN);
    }
}

static const struct pg_statement echo = {.name = "echo", .sql = "SELECT $1::text", .params = 1};
static const struct pg_statement echo_bytes = {.name = "echo_bytes", .sql = "SELECT $1::bytea", .params = 1};
static const struct pg_statement wrong = {.name = "wrong", .sql = "SELECT * FROM no_such_table", .params = 0};
static const struct pg_statement divide = {.name = "divide", .sql = "SELECT 1 / $1::integer", .params = 1};
static const struct pg_statement slow = {
    .name = "slow", .sql = "SELECT 'slept', pg_sleep($1::float)", .params = 1};
static const struct pg_statement insert = {
    .name = "insert", .sql = "INSERT INTO t VALUES ($1::integer) ON CONFLICT DO NOTHING", .params = 1};
static const struct pg_statement unsafe_insert = {
    .name = "unsafe_insert", .sql = "INSERT INTO u VALUES ($1::integer)", .params = 1};

static void test_echoes_in_pipeline(void **state)
{
    struct fixture *fx = *state;
    enum { N = 200 };
    struct answer answers[N] = {0};
    for (int i = 0; i < N; i++) {
        char text[32];
        snprintf(text, sizeof text, "it's \\ %d \"", i);
        pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text(text)}, 30000, 0, on_answer, &answers[i]);
        assert_int_equal(answers[i].calls, 0); /* never from inside */
    }
    for (int i = 0; i < N; i++) {
        char text[32];
        run_until(fx, answers[i].calls);
        snprintf(text, sizeof text, "it's \\ %d \"", i);
        assert_int_equal(answers[i].err, PG_OK);
        assert_string_equal(answers[i].text, text);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(answers[i].calls, 1);
    assert_int_equal(pg_waiting(fx->pg), 0);
}

static void on_bytes(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct answer *a = arg;
    uint8_t out[8];
    size_t out_len = 99;
    a->calls++;
    assert_int_equal(err, PG_OK);
    assert_true(pg_bytea(result, 0, 0, out, sizeof out, &out_len));
    assert_int_equal(out_len, 5);
    assert_memory_equal(out, "\0a\\\xff'", 5);
    assert_false(pg_bytea(result, 0, 0, out, 4, &out_len));
}

static void test_bytes_and_null(void **state)
{
    struct fixture *fx = *state;
    struct answer bytes = {0}, null = {0}, empty = {0};
    pg_exec(fx->pg, &echo_bytes, (struct pg_param[]){pg_bytes("\0a\\\xff'", 5)}, 30000, 0, on_bytes, &bytes);
    pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text(NULL)}, 30000, 0, on_answer, &null);
    pg_exec(fx->pg, &echo_bytes, (struct pg_param[]){pg_bytes(NULL, 0)}, 30000, 0, on_answer, &empty);
    run_until(fx, bytes.calls && null.calls && empty.calls);
    assert_true(null.null);
    assert_string_equal(null.text, "");
    assert_false(empty.null); /* no bytes are not SQL null */
    assert_string_equal(empty.text, "\\x");
}

static void test_error_leaves_neighbours_alone(void **state)
{
    struct fixture *fx = *state;
    struct answer a[6] = {0};
    for (int round = 0; round < 3;
         round++) { /* also with statements already prepared, and failing to prepare again */
        memset(a, 0, sizeof a);
        pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("1")}, 30000, 0, on_answer, &a[0]);
        pg_exec(fx->pg, &wrong, NULL, 30000, 0, on_answer, &a[1]);
        pg_exec(fx->pg, &wrong, NULL, 30000, PG_RETRY, on_answer, &a[2]);
        pg_exec(fx->pg, &divide, (struct pg_param[]){pg_text("0")}, 30000, PG_RETRY, on_answer, &a[3]);
        pg_exec(fx->pg, &divide, (struct pg_param[]){pg_text("1")}, 30000, 0, on_answer, &a[4]);
        pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("2")}, 30000, 0, on_answer, &a[5]);
        run_until(fx, a[0].calls && a[1].calls && a[2].calls && a[3].calls && a[4].calls && a[5].calls);
        assert_int_equal(a[0].err, PG_OK);
        assert_int_equal(a[1].err, PG_REFUSED);
        assert_string_equal(a[1].sqlstate, "42P01");
        assert_int_equal(a[2].err, PG_REFUSED);
        assert_int_equal(a[3].err, PG_REFUSED);
        assert_string_equal(a[3].sqlstate, "22012");
        assert_int_equal(a[4].err, PG_OK);
        assert_string_equal(a[4].text, "1");
        assert_string_equal(a[5].text, "2");
    }
}

static void test_cancel_queued_and_sent(void **state)
{
    struct fixture *fx = *state;
    struct answer cancelled = {0}, after = {0};
    struct pg_query *q =
        pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("x")}, 30000, 0, on_answer, &cancelled);
    pg_cancel(&q);
    assert_null(q);
    pg_cancel(&q);
    run_until(fx, pg_is_up(fx->pg));
    q = pg_exec(fx->pg, &slow, (struct pg_param[]){pg_text("0.2")}, 30000, 0, on_answer, &cancelled);
    run_until(fx, pg_waiting(fx->pg) == 0); /* sent */
    pg_cancel(&q);
    for (int i = 0; i < 4; i++)
        pg_exec(fx->pg, &slow, (struct pg_param[]){pg_text("0.2")}, 30000, 0, on_answer, &after);
    run_until(fx, after.calls == 4);
    assert_int_equal(cancelled.calls, 0);
}

static void test_away_before_and_recovery(void **state)
{
    struct fixture *fx = *state;
    struct answer soon = {0}, patient = {0};
    private_postgres_kill(&postgres);
    pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("soon")}, 50, PG_RETRY, on_answer, &soon);
    pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("patient")}, 60000, 0, on_answer, &patient);
    run_until(fx, soon.calls);
    assert_int_equal(soon.err, PG_AWAY);
    assert_int_equal(patient.calls, 0);
    assert_false(pg_is_up(fx->pg));
    assert_true(private_postgres_start(&postgres));
    run_until(fx, patient.calls);
    assert_int_equal(patient.err, PG_OK);
    assert_string_equal(patient.text, "patient");
    assert_true(pg_is_up(fx->pg));
}

static int64_t ask_number(const char *sql)
{
    char why[200];
    struct pg_sync *s = pg_sync_open(postgres.conninfo, why, sizeof why);
    struct pg_result *result;
    assert_non_null(s);
    assert_int_equal(pg_sync_exec(s, sql, NULL, 0, &result, why, sizeof why), 0);
    int64_t number = pg_int(result, 0, 0);
    pg_sync_free(result);
    pg_sync_close(s);
    return number;
}

static void script(const char *sql)
{
    char why[200];
    struct pg_sync *s = pg_sync_open(postgres.conninfo, why, sizeof why);
    assert_non_null(s);
    if (pg_sync_script(s, sql, why, sizeof why) != 0)
        fail_msg("%s", why);
    pg_sync_close(s);
}

/* Killed in the middle of a stream of statements: every one ends once; the safe ones all succeed; what was
 * said to be done is done. */
static void test_kill_in_flight(void **state)
{
    struct fixture *fx = *state;
    enum { N = 3000 };
    static struct answer safe[N], unsafe[N];
    memset(safe, 0, sizeof safe);
    memset(unsafe, 0, sizeof unsafe);
    script("DROP TABLE IF EXISTS t, u; CREATE TABLE t (i integer PRIMARY KEY); CREATE TABLE u (i integer "
           "PRIMARY KEY)");
    run_until(fx, pg_is_up(fx->pg));
    for (int i = 0; i < N; i++) {
        char number[12];
        snprintf(number, sizeof number, "%d", i);
        pg_exec(fx->pg, &insert, (struct pg_param[]){pg_text(number)}, 60000, PG_RETRY, on_answer, &safe[i]);
        pg_exec(fx->pg, &unsafe_insert, (struct pg_param[]){pg_text(number)}, 60000, 0, on_answer,
                &unsafe[i]);
    }
    run_until(fx, safe[N / 4].calls);
    private_postgres_kill(&postgres);
    assert_true(private_postgres_start(&postgres));
    for (int i = 0; i < N; i++)
        run_until(fx, safe[i].calls && unsafe[i].calls);
    int64_t done = 0, unknown = 0;
    for (int i = 0; i < N; i++) {
        assert_int_equal(safe[i].calls, 1);
        assert_int_equal(safe[i].err, PG_OK);
        assert_int_equal(unsafe[i].calls, 1);
        assert_true(unsafe[i].err == PG_OK || unsafe[i].err == PG_UNKNOWN);
        done += unsafe[i].err == PG_OK;
        unknown += unsafe[i].err == PG_UNKNOWN;
    }
    assert_int_equal(ask_number("SELECT count(*) FROM t"), N);
    int64_t there = ask_number("SELECT count(*) FROM u");
    assert_true(there >= done && there <= done + unknown);
    assert_true(unknown > 0 && unknown <= 2 * PG_IN_FLIGHT_MAX);
}

static void test_frozen_server_ends_by_watchdog(void **state)
{
    struct fixture *fx = *state;
    struct answer safe = {0}, unsafe = {0}, warm = {0};
    fx->pg->watchdog_ms = 200;
    pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("warm")}, 60000, 0, on_answer, &warm);
    run_until(fx, warm.calls);
    private_postgres_freeze(&postgres);
    pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("safe")}, 60000, PG_RETRY, on_answer, &safe);
    pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("unsafe")}, 60000, 0, on_answer, &unsafe);
    run_until(fx, unsafe.calls);
    assert_int_equal(unsafe.err, PG_UNKNOWN);
    assert_int_equal(safe.calls, 0);
    private_postgres_thaw(&postgres);
    run_until(fx, safe.calls);
    assert_int_equal(safe.err, PG_OK);
}

/* One statement that waits for a lock does not keep what stands behind it in the pipeline. */
static void test_lock_wait_lets_others_pass(void **state)
{
    struct fixture *fx = *state;
    struct answer first = {0}, locked = {0}, refused = {0}, behind = {0};
    char why[200];
    script("DROP TABLE IF EXISTS t; CREATE TABLE t (i integer PRIMARY KEY)");
    pg_close(fx->pg, on_closed, fx);
    run_until(fx, fx->closed);
    fx->closed = false;
    fx->pg = pg_new(&fx->loop, postgres.conninfo, 1, fx->metrics);
    fx->pg->statement_limit_ms = fx->pg->watchdog_ms = 600000;
    pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("")}, 60000, 0, on_answer, &first);
    run_until(fx, first.calls);
    struct pg_sync *s = pg_sync_open(postgres.conninfo, why, sizeof why);
    assert_int_equal(pg_sync_script(s, "BEGIN; INSERT INTO t VALUES (1)", why, sizeof why), 0);
    pg_exec(fx->pg, &insert, (struct pg_param[]){pg_text("1")}, 60000, PG_AGAIN, on_answer, &locked);
    pg_exec(fx->pg, &insert, (struct pg_param[]){pg_text("1")}, 60000, 0, on_answer, &refused);
    pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("behind")}, 60000, 0, on_answer, &behind);
    run_until(fx, behind.calls && refused.calls);
    assert_string_equal(behind.text, "behind");
    assert_int_equal(refused.err, PG_AWAY);
    assert_int_equal(locked.calls, 0);
    assert_true(pg_unanswered(fx->pg) == 1);
    assert_int_equal(pg_sync_script(s, "ROLLBACK", why, sizeof why), 0);
    pg_sync_close(s);
    run_until(fx, locked.calls);
    assert_int_equal(locked.err, PG_OK);
    assert_true(pg_unanswered(fx->pg) == 0);
}

/* statement_timeout of the connection: rolled back, so not executed. */
static void test_statement_limit(void **state)
{
    struct fixture *fx = *state;
    struct answer first = {0}, a = {0};
    pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("")}, 60000, 0, on_answer, &first);
    run_until(fx, first.calls);
    pg_close(fx->pg, on_closed, fx);
    run_until(fx, fx->closed);
    fx->closed = false;
    fx->pg = pg_new(&fx->loop, postgres.conninfo, 1, fx->metrics);
    fx->pg->statement_limit_ms = 100;
    pg_exec(fx->pg, &slow, (struct pg_param[]){pg_text("30")}, 60000, 0, on_answer, &a);
    run_until(fx, a.calls);
    assert_int_equal(a.err, PG_AWAY);
}

struct closing {
    struct fixture *fx;
    struct answer again;
    int calls;
};

static void on_end_ask_again(void *arg, enum pg_err err, const struct pg_result *result)
{
    struct closing *c = arg;
    (void)result;
    c->calls++;
    assert_true(err == PG_AWAY || err == PG_UNKNOWN);
    pg_exec(c->fx->pg, &echo, (struct pg_param[]){pg_text("")}, 1000, 0, on_answer, &c->again);
}

static void test_close_ends_everything(void **state)
{
    struct fixture *fx = *state;
    struct closing queued = {.fx = fx}, sent = {.fx = fx};
    pg_exec(fx->pg, &slow, (struct pg_param[]){pg_text("5")}, 60000, PG_RETRY, on_end_ask_again, &sent);
    run_until(fx, pg_waiting(fx->pg) == 0);
    pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("")}, 60000, PG_RETRY, on_end_ask_again, &queued);
    pg_close(fx->pg, on_closed, fx);
    assert_int_equal(queued.calls, 1);
    assert_int_equal(sent.calls, 1);
    assert_int_equal(queued.again.calls, 1);
    assert_int_equal(sent.again.calls, 1);
    assert_int_equal(sent.again.err, PG_AWAY);
}

/* What is logged while connecting in vain, with a connection string that holds a password. */
static void test_password_is_never_said(void **state)
{
    struct fixture *fx = *state;
    static const char *const wrong_ones[] = {"host=/nonexistent password=secret-word",
                                             "host=/nonexistent password=secret-word secret-word nonsense",
                                             "postgresql://u:secret-word@%zz/"};
    char said[4096], why[200];
    pg_close(fx->pg, on_closed, fx);
    run_until(fx, fx->closed);
    for (size_t i = 0; i < sizeof wrong_ones / sizeof *wrong_ones; i++) {
        struct answer a = {0};
        FILE *log_file = tmpfile();
        int saved = dup(2);
        dup2(fileno(log_file), 2);
        log_set_level(LOG_DEBUG);
        fx->closed = false;
        fx->pg = pg_new(&fx->loop, wrong_ones[i], 1, fx->metrics);
        pg_exec(fx->pg, &echo, (struct pg_param[]){pg_text("")}, 300, 0, on_answer, &a);
        run_until(fx, a.calls);
        pg_close(fx->pg, on_closed, fx);
        run_until(fx, fx->closed);
        log_set_level(LOG_ERROR);
        dup2(saved, 2);
        close(saved);
        rewind(log_file);
        size_t said_len = fread(said, 1, sizeof said - 1, log_file);
        said[said_len] = 0;
        fclose(log_file);
        assert_int_equal(a.err, PG_AWAY);
        assert_non_null(strstr(said, "postgres.down"));
        assert_null(strstr(said, "secret"));
        assert_null(pg_sync_open(wrong_ones[i], why, sizeof why));
        assert_null(strstr(why, "secret"));
    }
}

static void test_sync(void **state)
{
    (void)state;
    char why[200] = "";
    struct pg_result *result;
    assert_null(pg_sync_open("host=/nonexistent", why, sizeof why));
    assert_true(strlen(why) > 0 && !strchr(why, '\n'));
    struct pg_sync *s = pg_sync_open(postgres.conninfo, why, sizeof why);
    assert_non_null(s);
    assert_int_equal(
        pg_sync_script(s, "CREATE TEMP TABLE x (i integer); INSERT INTO x VALUES (7)", why, sizeof why), 0);
    assert_int_equal(pg_sync_script(s, "SELECT nonsense", why, sizeof why), -1);
    assert_int_equal(pg_sync_exec(s, "SELECT i FROM x WHERE i = $1::integer",
                                  (struct pg_param[]){pg_text("7")}, 1, &result, why, sizeof why),
                     0);
    assert_int_equal(pg_int(result, 0, 0), 7);
    pg_sync_free(result);
    pg_sync_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echoes_in_pipeline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_and_null, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_leaves_neighbours_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_queued_and_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_away_before_and_recovery, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kill_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_frozen_server_ends_by_watchdog, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statement_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock_wait_lets_others_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_ends_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_password_is_never_said, setup, teardown),
        cmocka_unit_test(test_sync),
    };
    log_set_level(LOG_ERROR);
    if (!private_postgres_init(&postgres))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    private_postgres_deinit(&postgres);
    return failed;
}
