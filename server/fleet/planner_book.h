/* planner_book.h: a release and the rules of its platforms, as planned with: read once, then never changed.
 * Private to planner*.c.
 *
 * Ownership: counted; the count is changed on the loop thread only, what is inside may be read on any. */
#ifndef CYAN_FLEET_PLANNER_BOOK_H
#define CYAN_FLEET_PLANNER_BOOK_H

#include <jansson.h>

#include "plan/plan.h"
#include "plan/rule.h"

#define PLANNER_WHY_SIZE 300

struct planner_page { /* of one platform */
    uint16_t platform_id;
    size_t binary_count, rule_count;
    struct plan_binary binaries[PLAN_BINARIES_MAX];
    struct plan_rule *rules[PLAN_RULES_MAX]; /* ours */
};

struct planner_book {
    size_t refs;
    int64_t release_id, rev;
    char *release_name, *state;  /* ours */
    struct planner_page **pages; /* ours, and each of them */
    size_t page_count;
    uint64_t used_ms; /* for who keeps it */
};

/* As Postgres gives it; borrowed. binaries, rules: JSON arrays. */
struct planner_book_row {
    int64_t release_id, rev;
    const char *release_name, *state, *binaries, *rules;
};
/* NULL: why says what is wrong. */
struct planner_book *planner_book_new(const struct planner_book_row *row, char why[PLANNER_WHY_SIZE]);
void planner_book_ref(struct planner_book *book);
void planner_book_unref(struct planner_book *book); /* NULL is fine */
/* What the book says about a platform; an empty page when nothing. */
const struct planner_page *planner_book_page(const struct planner_book *book, uint16_t platform_id);
/* Fills what is asked about from, which stays the caller's, as the book does. */
void planner_book_pose(const struct planner_book *book, const struct plan_vector *from, bool allow_downgrade,
                       struct plan_problem *problem);

#endif
