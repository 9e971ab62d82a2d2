#include "base/must.h"

#include <stdlib.h>

#include "base/log.h"

void must_failed(const char *file, int line, const char *cond)
{
    log_error("must.failed at=%s:%d cond=\"%s\"", file, line, cond);
    abort();
}
