/* test_stream_index.c: an event meets exactly the feeds it belongs to, each once: against a look at every
 * feed. */
#include "api/stream_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define FEEDS 400

static const char *const names[] = {"",  "a",     "ab",          "abc", "temp", "temp/", "temp/kitchen",
                                    "t", "spark", "spark/status"};
#define NAMES (sizeof(names) / sizeof(names[0]))

static struct stream_feed *feed_new(enum stream_scope scope, unsigned device, int64_t of, const char *prefix)
{
    struct stream_feed *feed = mem_alloc(sizeof(*feed));

    feed->key.scope = scope;
    feed->key.device.bytes[11] = (uint8_t)device;
    feed->key.of = of;
    feed->key.prefix_len = (uint8_t)strlen(prefix);
    memcpy(feed->key.prefix, prefix, feed->key.prefix_len);
    return feed;
}

static bool belongs(const struct told_event *e, const struct stream_feed *feed)
{
    const struct stream_key *k = &feed->key;
    bool same_device = e->has_device && device_id_equal(&e->device, &k->device);

    if (strlen(e->name) < k->prefix_len || memcmp(e->name, k->prefix, k->prefix_len) != 0)
        return false;
    switch ((enum stream_scope)k->scope) {
    case STREAM_MINE:
        return e->owner_id == k->of;
    case STREAM_PUBLIC:
        return e->is_public || e->owner_id == k->of;
    case STREAM_DEVICE:
        return same_device && e->owner_id == k->of;
    case STREAM_ANY_DEVICE:
        return same_device;
    case STREAM_PRODUCT:
        return e->product_id == k->of;
    case STREAM_PRODUCT_DEVICE:
        return same_device && e->product_id == k->of;
    }
    return false;
}

static void count_match(void *ctx, struct stream_feed *feed)
{
    (void)ctx;
    feed->reader_count++;
}

static struct told_event some_event(void)
{
    struct told_event e = {
        .name = names[rand() % (int)NAMES], .owner_id = rand() % 4, .product_id = rand() % 3};

    e.has_device = rand() % 3 != 0;
    e.device.bytes[11] = (uint8_t)(rand() % 5);
    e.is_public = rand() % 2;
    return e;
}

static struct stream_feed *some_feed(void)
{
    enum stream_scope scope = (enum stream_scope)(rand() % 6);
    bool of_device = scope == STREAM_DEVICE || scope == STREAM_ANY_DEVICE || scope == STREAM_PRODUCT_DEVICE;

    return feed_new(scope, of_device ? (unsigned)rand() % 5 : 0,
                    scope == STREAM_ANY_DEVICE ? 0 : 1 + rand() % 3, names[rand() % (int)NAMES]);
}

static void check_events(struct stream_index *index, struct stream_feed **feeds)
{
    for (int n = 0; n < 50; n++) {
        struct told_event event = some_event();
        stream_index_match(index, &event, count_match, NULL);
        for (size_t i = 0; i < FEEDS; i++) {
            if (feeds[i] == NULL)
                continue;
            assert_int_equal(feeds[i]->reader_count, belongs(&event, feeds[i]));
            feeds[i]->reader_count = 0;
        }
    }
}

static void test_as_a_look_at_every_feed(void **state)
{
    struct stream_index index = {0};
    struct stream_feed *feeds[FEEDS] = {NULL};

    (void)state;
    srand(7);
    for (int turn = 0; turn < 4000; turn++) {
        size_t i = (size_t)rand() % FEEDS;
        if (feeds[i] != NULL) {
            assert_ptr_equal(stream_index_find(&index, &feeds[i]->key), feeds[i]);
            stream_index_remove(&index, feeds[i]);
            free(feeds[i]);
            feeds[i] = NULL;
        } else {
            struct stream_feed *feed = some_feed();
            if (stream_index_find(&index, &feed->key) != NULL) {
                free(feed);
            } else {
                stream_index_add(&index, feed);
                feeds[i] = feed;
            }
        }
        if (turn % 100 == 0)
            check_events(&index, feeds);
    }
    for (size_t i = 0; i < FEEDS; i++) {
        if (feeds[i] != NULL)
            stream_index_remove(&index, feeds[i]);
        free(feeds[i]);
    }
    stream_index_deinit(&index);
}

static void test_names_of_any_length(void **state)
{
    struct stream_index index = {0};
    char longest[STREAM_PREFIX_MAX + 1] = {0}, longer[200] = {0};
    struct told_event event = {.owner_id = 1};
    struct stream_feed *feed;

    (void)state;
    memset(longest, 'n', STREAM_PREFIX_MAX);
    memset(longer, 'n', sizeof(longer) - 1);
    feed = feed_new(STREAM_MINE, 0, 1, longest);
    stream_index_add(&index, feed);
    event.name = longest;
    stream_index_match(&index, &event, count_match, NULL);
    event.name = longer;
    stream_index_match(&index, &event, count_match, NULL);
    event.name = longest + 1;
    stream_index_match(&index, &event, count_match, NULL);
    assert_int_equal(feed->reader_count, 2);
    stream_index_remove(&index, feed);
    free(feed);
    stream_index_deinit(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_a_look_at_every_feed),
        cmocka_unit_test(test_names_of_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
