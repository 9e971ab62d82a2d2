/* test_stream_log.c: every reader gets every entry whole and in order from where it joined, and nothing is
 * kept for nobody. */
#include "api/stream_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static size_t total;

static void append(struct stream_log *log, unsigned n, size_t padding)
{
    char *entry = mem_alloc(padding + 32);
    int head = snprintf(entry, 32, "%u:", n);
    memset(entry + head, 'x', padding);
    memcpy(entry + head + padding, "\n\n", 2);
    stream_log_append(log, entry, (size_t)head + padding + 2);
    free(entry);
}

/* Reads all there is, a little at a time; each entry must be the next one. */
static unsigned read_all(struct stream_log *log, struct stream_place *place, unsigned next, size_t room)
{
    char *out = mem_alloc(room + 1);
    size_t len;

    while ((len = stream_log_read(log, place, out, room)) > 0) {
        assert_true(len <= room);
        out[len] = '\0';
        assert_memory_equal(out + len - 2, "\n\n", 2);
        for (char *entry = out; *entry != '\0'; entry = strstr(entry, "\n\n") + 2)
            assert_int_equal(strtoul(entry, NULL, 10), next++);
    }
    free(out);
    return next;
}

static void test_readers_share_what_is_kept(void **state)
{
    struct stream_log log;
    struct stream_place fast, slow, late;
    unsigned fast_next = 0;

    (void)state;
    stream_log_init(&log, &total);
    stream_log_join(&log, &fast);
    stream_log_join(&log, &slow);
    for (unsigned n = 0; n < 5000; n++) {
        append(&log, n, n % 700);
        if (n % 37 == 0)
            fast_next = read_all(&log, &fast, fast_next, 4000);
        if (n == 2500)
            stream_log_join(&log, &late);
    }
    assert_true(stream_log_has_more(&log, &late));
    assert_int_equal(read_all(&log, &late, 2501, 1000), 5000);
    assert_int_equal(read_all(&log, &fast, fast_next, 60000), 5000);
    assert_false(stream_log_has_more(&log, &fast));
    assert_true(stream_log_lag(&log) >= log.end);
    assert_true(total >= log.end && total < log.end + 5000 * 40 + STREAM_CHUNK_MAX_BYTES);
    assert_int_equal(read_all(&log, &slow, 0, 2000), 5000);
    assert_true(total <= STREAM_CHUNK_MAX_BYTES);
    stream_log_leave(&log, &fast);
    stream_log_leave(&log, &slow);
    stream_log_leave(&log, &late);
    stream_log_deinit(&log);
    assert_int_equal(total, 0);
}

static void test_who_leaves_lets_go_of_what_waited_for_it(void **state)
{
    struct stream_log log;
    struct stream_place stuck, other;

    (void)state;
    stream_log_init(&log, &total);
    stream_log_join(&log, &stuck);
    stream_log_join(&log, &other);
    for (unsigned n = 0; n < 3000; n++)
        append(&log, n, 500);
    (void)read_all(&log, &other, 0, 32768);
    assert_true(total > 1000000);
    stream_log_leave(&log, &stuck);
    assert_true(total <= STREAM_CHUNK_MAX_BYTES);
    stream_log_leave(&log, &other);
    stream_log_deinit(&log);
    assert_int_equal(total, 0);
}

static void test_an_entry_that_does_not_fit_stays(void **state)
{
    struct stream_log log;
    struct stream_place place;
    char out[200];

    (void)state;
    stream_log_init(&log, &total);
    stream_log_join(&log, &place);
    append(&log, 0, 20);
    append(&log, 1, 300);
    assert_int_equal(stream_log_read(&log, &place, out, sizeof(out)), 24);
    assert_int_equal(stream_log_read(&log, &place, out, sizeof(out)), 0);
    assert_true(stream_log_has_more(&log, &place));
    assert_int_equal(read_all(&log, &place, 1, 304), 2);
    append(&log, 2, STREAM_CHUNK_MAX_BYTES - 4);
    assert_int_equal(read_all(&log, &place, 2, STREAM_CHUNK_MAX_BYTES), 3);
    stream_log_leave(&log, &place);
    stream_log_deinit(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_share_what_is_kept),
        cmocka_unit_test(test_who_leaves_lets_go_of_what_waited_for_it),
        cmocka_unit_test(test_an_entry_that_does_not_fit_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
