#include "query.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rest.h"

void query_init(struct query *q, const char *path)
{
    q->path = mem_string(path);
}

void query_deinit(struct query *q)
{
    free(q->path);
    q->path = NULL;
}

void query_add(struct query *q, const char *name, const char *value)
{
    char *encoded, *longer;

    if (value == NULL)
        return;
    encoded = rest_encode(value);
    longer = mem_printf("%s%c%s=%s", q->path, strchr(q->path, '?') != NULL ? '&' : '?', name, encoded);
    free(encoded);
    free(q->path);
    q->path = longer;
}
