/* GET /metrics: the process's counters for Prometheus (text format 0.0.4). No token. */
#include "api/handlers.h"

#include "api/http_request.h"
#include "api/respond.h"
#include "base/metrics.h"

void metrics_read(struct http_request *r)
{
    size_t text_len;
    char *text = metrics_print(r->api->metrics, &text_len);

    respond_text(r, "text/plain; version=0.0.4; charset=utf-8", text, text_len);
}
