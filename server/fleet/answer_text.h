/* answer_text.h: the answer of a statement that is one text: JSON made by Postgres, or a code.
 *
 * Private to this room. */
#ifndef CYAN_FLEET_ANSWER_TEXT_H
#define CYAN_FLEET_ANSWER_TEXT_H

#include "fleet/room.h"

/* text: borrowed, NULL unless err is FLEET_OK. FLEET_NOT_FOUND: no row, or NULL. From the loop, exactly once.
 */
typedef void answer_text_fn(void *arg, enum fleet_err err, const char *text);
/* flags: of pg_exec. */
void answer_text(struct fleet *f, const struct pg_statement *statement, const struct pg_param *params,
                 unsigned flags, answer_text_fn *done, void *arg);

#endif
