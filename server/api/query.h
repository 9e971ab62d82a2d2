/* query.h: values of a query, and the pages of a list.
 *
 * Each reader returns false when it has answered 400. An absent parameter leaves the value as it is. */
#ifndef CYAN_API_QUERY_H
#define CYAN_API_QUERY_H

#include <jansson.h>

#include "api/http_request.h"

#define QUERY_PER_PAGE_DEFAULT 25
#define QUERY_PER_PAGE_MAX 1000
#define QUERY_PAGE_MAX 1000000

must_check bool query_number(struct http_request *r, const char *name, int min, int max, int *number);
/* `page` from 1, `per_page` from 1. */
must_check bool query_page(struct http_request *r, uint32_t *page, uint32_t *per_page);
/* What an answer says of its page: page, per_page, total_records, total_pages. */
json_t *query_meta(uint32_t page, uint32_t per_page, uint64_t total);

#endif
