/* refused.h: what a request was refused with, for the audit trail (fleet/refusals.h). */
#ifndef CYAN_API_REFUSED_H
#define CYAN_API_REFUSED_H

#include "api/http_request.h"

/* Of every answer, once its status is known: 401, 403 and 429 count. json: its body; NULL: not at hand. */
void refused_note(const struct http_request *r, const char *json, size_t json_len);
/* Of a sign-in that is answered 400. */
void refused_note_wrong_password(const struct http_request *r);

#endif
