/* POST /v1/ping: gives back what was sent, for those who want to know whether somebody is there. No token. */
#include "api/handlers.h"

#include "api/http_request.h"
#include "api/respond.h"
#include "base/clock.h"

void echo_read(struct http_request *r)
{
    json_t *answer = json_copy(r->body.fields);

    (void)json_object_set_new(answer, "ok", json_true());
    (void)json_object_set_new(answer, "serverPayload", json_integer((json_int_t)clock_wall_ms()));
    respond_json(r, 200, answer);
}
