/* authenticate.h: the access token of a request and whether its owner may do what is asked (rest-api 0.3). */
#ifndef CYAN_API_AUTHENTICATE_H
#define CYAN_API_AUTHENTICATE_H

#include <jansson.h>

#include "api/http_request.h"

enum token_found { TOKEN_NONE, TOKEN_FOUND, TOKEN_TOO_LONG };

/* Looks in the header's value (NULL = no header), then the query, then the body, and takes `access_token` out
 * of the last two wherever it was found. query and body: objects or NULL. */
enum token_found authenticate_extract(char token[HTTP_REQUEST_TOKEN_MAX + 1], const char *authorization,
                                      json_t *query, json_t *body);

/* Runs the route's handler, or answers why not: by token, and where tokens are managed by Basic name and
 * password as well. */
void authenticate_and_handle(struct http_request *r, enum token_found found);
/* The token of r->actor is good for one product, and this is about another, or about none. r->product_id is
 * set. */
bool authenticate_is_confined_elsewhere(const struct http_request *r);

#endif
