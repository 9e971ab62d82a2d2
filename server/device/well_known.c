#include "device/request.h"

#define FORMAT_LINK 40 /* application/link-format, RFC 6690 */

/* What a client that is no Device OS can use. */
static const char links[] = "</t>;rt=\"time\";ct=42,</e>;rt=\"event\",</E>;rt=\"event\"";

void handle_well_known(const struct device_request *r)
{
    if (!request_accepts(r, FORMAT_LINK))
        return;
    coap_answer(&r->device->peer, r->in, COAP_205_CONTENT, FORMAT_LINK, links, sizeof(links) - 1, r->now_ms);
}
