/* planner_inner.h: what the files of the planner share. Private to planner*.c. */
#ifndef CYAN_FLEET_PLANNER_INNER_H
#define CYAN_FLEET_PLANNER_INNER_H

#include "fleet/planner.h"
#include "fleet/planner_book.h"
#include "fleet/room.h"

/* text: of vector_text(); "" when nothing was described. More modules than can be planned with
 * count as nothing known. */
void planner_read_vector(struct plan_vector *from, const char *text, int64_t platform_id);

/* --- planner_kept.c: books and plans, until something they depend on changes --- */

struct planner_kept;
struct planner_kept *planner_kept_new(void);
void planner_kept_free(struct planner_kept *k);
/* Borrowed; NULL when it is not here at this revision. */
struct planner_book *planner_kept_book(struct planner_kept *k, int64_t release_id, int64_t rev);
void planner_kept_put_book(struct planner_kept *k, struct planner_book *book); /* takes a reference */
bool planner_kept_plan(const struct planner_kept *k, const struct planner_book *book, bool allow_downgrade,
                       const struct plan_vector *from, struct plan *plan);
void planner_kept_put_plan(struct planner_kept *k, const struct planner_book *book, bool allow_downgrade,
                           const struct plan_vector *from, const struct plan *plan);

#endif
