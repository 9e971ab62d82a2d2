#include "api/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/respond.h"

bool query_number(struct http_request *r, const char *name, int min, int max, int *number)
{
    const char *text = http_request_query(r, name);
    char what[64];
    long value;

    if (text == NULL)
        return true;
    value = *text != '\0' && strlen(text) <= 9 && strspn(text, "0123456789") == strlen(text)
                ? strtol(text, NULL, 10)
                : -1;
    if (value >= min && value <= max) {
        *number = (int)value;
        return true;
    }
    (void)snprintf(what, sizeof(what), "must be a number from %d to %d.", min, max);
    respond_bad_field(r, name, what);
    return false;
}

bool query_page(struct http_request *r, uint32_t *page, uint32_t *per_page)
{
    int page_number = 1, size = QUERY_PER_PAGE_DEFAULT;

    if (!query_number(r, "page", 1, QUERY_PAGE_MAX, &page_number) ||
        !query_number(r, "per_page", 1, QUERY_PER_PAGE_MAX, &size))
        return false;
    *page = (uint32_t)page_number;
    *per_page = (uint32_t)size;
    return true;
}

json_t *query_meta(uint32_t page, uint32_t per_page, uint64_t total)
{
    return json_pack("{sisisIsI}", "page", (int)page, "per_page", (int)per_page, "total_records",
                     (json_int_t)total, "total_pages", (json_int_t)((total + per_page - 1) / per_page));
}
