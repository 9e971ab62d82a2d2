/* scope_list.h: scopes that a request wants to give to somebody else. */
#ifndef CYAN_API_SCOPE_LIST_H
#define CYAN_API_SCOPE_LIST_H

#include "api/http_request.h"

/* The field of the body: an array, or one text separated by spaces. FIELD_ABSENT, also when it is empty;
 * FIELD_WRONG when it is answered: malformed, or more than the actor's own token may. */
enum field scope_list_read(struct http_request *r, const char *field, char list[FLEET_SCOPES_SIZE]);

#endif
