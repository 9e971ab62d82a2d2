/* planner_kept.c: a plan depends on the release, the rules and the versions alone, so what was found once is
 * right until one of them changes: all are part of its key. What is old goes as new comes. */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "fleet/planner_inner.h"

struct key { /* compared as bytes: zeroed before it is filled */
    int64_t release_id, rev;
    uint32_t allow_downgrade, platform_id, count;
    struct plan_module modules[PLAN_MODULES_MAX];
};
struct kept_plan {
    struct key key;
    struct plan plan;
    UT_hash_handle hh;
};
struct planner_kept {
    struct planner_book *books[PLANNER_BOOKS_MAX]; /* newest first */
    struct kept_plan *plans;                       /* ours, in the order they were put */
};

struct planner_kept *planner_kept_new(void)
{
    return mem_alloc(sizeof(struct planner_kept));
}

void planner_kept_free(struct planner_kept *k)
{
    struct kept_plan *plan, *next;
    HASH_ITER (hh, k->plans, plan, next) {
        HASH_DEL(k->plans, plan);
        free(plan);
    }
    for (size_t i = 0; i < PLANNER_BOOKS_MAX; i++)
        planner_book_unref(k->books[i]);
    free(k);
}

struct planner_book *planner_kept_book(struct planner_kept *k, int64_t release_id, int64_t rev)
{
    for (size_t i = 0; i < PLANNER_BOOKS_MAX; i++)
        if (k->books[i] && k->books[i]->release_id == release_id && k->books[i]->rev == rev)
            return k->books[i];
    return NULL;
}

/* In place of the one of this release, else of the oldest. */
void planner_kept_put_book(struct planner_kept *k, struct planner_book *book)
{
    size_t at = 0;
    while (at + 1 < PLANNER_BOOKS_MAX && k->books[at] && k->books[at]->release_id != book->release_id)
        at++;
    planner_book_ref(book);
    planner_book_unref(k->books[at]);
    memmove(&k->books[1], &k->books[0], at * sizeof k->books[0]);
    k->books[0] = book;
}

static void make_key(struct key *key, const struct planner_book *book, bool allow_downgrade,
                     const struct plan_vector *from)
{
    memset(key, 0, sizeof *key);
    key->release_id = book->release_id;
    key->rev = book->rev;
    key->allow_downgrade = allow_downgrade;
    key->platform_id = from->platform_id;
    key->count = (uint32_t)from->count;
    memcpy(key->modules, from->modules, from->count * sizeof from->modules[0]);
}

bool planner_kept_plan(const struct planner_kept *k, const struct planner_book *book, bool allow_downgrade,
                       const struct plan_vector *from, struct plan *plan)
{
    struct key key;
    struct kept_plan *found;
    make_key(&key, book, allow_downgrade, from);
    HASH_FIND(hh, k->plans, &key, sizeof key, found);
    if (found)
        *plan = found->plan;
    return found != NULL;
}

void planner_kept_put_plan(struct planner_kept *k, const struct planner_book *book, bool allow_downgrade,
                           const struct plan_vector *from, const struct plan *plan)
{
    struct plan was;
    if (planner_kept_plan(k, book, allow_downgrade, from, &was))
        return;
    if (HASH_COUNT(k->plans) >= PLANNER_KEPT_MAX) {
        struct kept_plan *oldest = k->plans;
        HASH_DEL(k->plans, oldest);
        free(oldest);
    }
    struct kept_plan *kept = mem_alloc(sizeof *kept);
    make_key(&kept->key, book, allow_downgrade, from);
    kept->plan = *plan;
    HASH_ADD(hh, k->plans, key, sizeof kept->key, kept);
}
