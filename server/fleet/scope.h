/* scope.h: what a token is good for: `resource:action`, each side of which may be `*`; `*` alone is all.
 *
 * A list is separated by spaces. Plain functions of text. */
#ifndef CYAN_FLEET_SCOPE_H
#define CYAN_FLEET_SCOPE_H

#include <stdbool.h>

/* Is it written as a scope is: lower-case letters, digits, `.`, `_`, `-` on both sides of one colon, or `*`?
 */
bool scope_is_valid(const char *scope);
/* One of the list covers what is wanted: a scope, or one with `*`, which then covers no less. */
bool scope_covers(const char *list, const char *wanted);
/* The same for each of a list. */
bool scope_covers_all(const char *list, const char *wanted_list);
/* Every one of the list only reads: `get` or `list`. */
bool scope_only_reads(const char *list);

#endif
