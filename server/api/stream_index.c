#include "api/stream_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

#define LENGTHS (STREAM_PREFIX_MAX + 1)
#define EVERYBODY 0 /* `of` of what is public: no person has this number */

/* A key without its prefix: all that is asked for of one person, device or product. */
struct group {
    struct stream_key key;   /* prefix_len 0 */
    uint32_t count[LENGTHS]; /* entries with a prefix so long */
    uint32_t entry_count;
};

struct entry {
    struct stream_key key;
    struct stream_feed *feeds; /* one; of the public entry as many as there are persons */
};

bool stream_key_is_product(const struct stream_key *key)
{
    return key->scope == STREAM_PRODUCT || key->scope == STREAM_PRODUCT_DEVICE;
}

static uint32_t hash(const struct stream_key *key)
{
    return table_hash(key, offsetof(struct stream_key, prefix) + key->prefix_len);
}

static bool is_group(const void *entry, const void *key)
{
    return memcmp(&((const struct group *)entry)->key, key, offsetof(struct stream_key, prefix)) == 0;
}

static bool is_entry(const void *entry, const void *key)
{
    const struct stream_key *wanted = key;

    return memcmp(&((const struct entry *)entry)->key, wanted,
                  offsetof(struct stream_key, prefix) + wanted->prefix_len) == 0;
}

static struct stream_key without_prefix(const struct stream_key *key)
{
    struct stream_key group;

    memset(&group, 0, sizeof(group));
    group.scope = key->scope;
    group.device = key->device;
    group.of = key->of;
    return group;
}

static struct entry *entry_find(const struct stream_index *index, const struct stream_key *key)
{
    return table_find(&index->entries, hash(key), is_entry, key);
}

struct stream_feed *stream_index_find(const struct stream_index *index, const struct stream_key *key)
{
    struct entry *entry = entry_find(index, key);

    return entry != NULL ? entry->feeds : NULL;
}

static struct entry *entry_add(struct stream_index *index, const struct stream_key *key)
{
    struct stream_key of_group = without_prefix(key);
    struct group *group = table_find(&index->groups, hash(&of_group), is_group, &of_group);
    struct entry *entry = mem_alloc(sizeof(*entry));

    if (group == NULL) {
        group = mem_alloc(sizeof(*group));
        group->key = of_group;
        table_add(&index->groups, hash(&of_group), group);
    }
    group->count[key->prefix_len]++;
    group->entry_count++;
    entry->key = *key;
    table_add(&index->entries, hash(key), entry);
    return entry;
}

static void entry_remove(struct stream_index *index, struct entry *entry)
{
    struct stream_key of_group = without_prefix(&entry->key);
    struct group *group = table_find(&index->groups, hash(&of_group), is_group, &of_group);

    must(group != NULL);
    group->count[entry->key.prefix_len]--;
    if (--group->entry_count == 0) {
        table_remove(&index->groups, hash(&of_group), group);
        free(group);
    }
    table_remove(&index->entries, hash(&entry->key), entry);
    free(entry);
}

static struct stream_key public_key(const struct stream_feed *feed)
{
    struct stream_key key = feed->key;

    key.of = EVERYBODY;
    return key;
}

void stream_index_add(struct stream_index *index, struct stream_feed *feed)
{
    must(stream_index_find(index, &feed->key) == NULL &&
         (feed->key.of != EVERYBODY || feed->key.scope == STREAM_ANY_DEVICE));
    entry_add(index, &feed->key)->feeds = feed;
    if (feed->key.scope != STREAM_PUBLIC)
        return;
    struct stream_key key = public_key(feed);
    struct entry *entry = entry_find(index, &key);
    if (entry == NULL)
        entry = entry_add(index, &key);
    feed->next_public = entry->feeds;
    entry->feeds = feed;
}

void stream_index_remove(struct stream_index *index, struct stream_feed *feed)
{
    entry_remove(index, entry_find(index, &feed->key));
    if (feed->key.scope != STREAM_PUBLIC)
        return;
    struct stream_key key = public_key(feed);
    struct entry *entry = entry_find(index, &key);
    struct stream_feed **link = &entry->feeds;
    while (*link != feed)
        link = &(*link)->next_public;
    *link = feed->next_public;
    feed->next_public = NULL;
    if (entry->feeds == NULL)
        entry_remove(index, entry);
}

void stream_index_deinit(struct stream_index *index)
{
    must(index->groups.count == 0 && index->entries.count == 0);
    table_deinit(&index->groups);
    table_deinit(&index->entries);
}

/* --- an event --- */

struct match {
    const struct stream_index *index;
    const char *name;
    size_t name_len;
    stream_match_fn *fn;
    void *ctx;
};

static void match_entry(const struct match *m, const struct stream_key *key)
{
    struct entry *entry = entry_find(m->index, key);

    if (entry == NULL)
        return;
    if (key->scope != STREAM_PUBLIC || key->of != EVERYBODY) {
        m->fn(m->ctx, entry->feeds);
        return;
    }
    for (struct stream_feed *feed = entry->feeds; feed != NULL; feed = feed->next_public)
        m->fn(m->ctx, feed);
}

static void match(const struct match *m, enum stream_scope scope, const struct device_id *device, int64_t of)
{
    struct stream_key key;
    const struct group *group;

    memset(&key, 0, sizeof(key));
    key.scope = scope;
    key.of = of;
    if (device != NULL)
        key.device = *device;
    group = table_find(&m->index->groups, hash(&key), is_group, &key);
    if (group == NULL)
        return;
    for (size_t len = 0; len <= m->name_len; len++) {
        if (group->count[len] == 0)
            continue;
        memcpy(key.prefix, m->name, len);
        key.prefix_len = (uint8_t)len;
        match_entry(m, &key);
    }
}

void stream_index_match(const struct stream_index *index, const struct told_event *event, stream_match_fn *fn,
                        void *ctx)
{
    struct match m = {
        .index = index, .name = event->name, .name_len = strlen(event->name), .fn = fn, .ctx = ctx};

    if (m.name_len > STREAM_PREFIX_MAX)
        m.name_len = STREAM_PREFIX_MAX;
    if (event->owner_id != 0)
        match(&m, STREAM_MINE, NULL, event->owner_id);
    if (event->is_public)
        match(&m, STREAM_PUBLIC, NULL, EVERYBODY);
    else if (event->owner_id != 0)
        match(&m, STREAM_PUBLIC, NULL, event->owner_id);
    if (event->product_id != 0)
        match(&m, STREAM_PRODUCT, NULL, event->product_id);
    if (!event->has_device)
        return;
    match(&m, STREAM_ANY_DEVICE, &event->device, 0);
    if (event->owner_id != 0)
        match(&m, STREAM_DEVICE, &event->device, event->owner_id);
    if (event->product_id != 0)
        match(&m, STREAM_PRODUCT_DEVICE, &event->device, event->product_id);
}
