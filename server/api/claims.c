/* POST /v1/device_claims: a code that a device shows us to become the actor's; of a product: for its devices.
 */
#include "api/handlers.h"

#include <stdio.h>

#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/claim_code.h"

static void respond_full(struct http_request *r, uint32_t wait_s)
{
    char text[12];

    (void)snprintf(text, sizeof(text), "%u", wait_s);
    http_request_add_header(r, "Retry-After", text);
    respond_error(r, 429, "You have too many unused claim codes; one expires soon.");
}

static void on_created(void *arg, enum fleet_err err, const struct claim_code *code, uint32_t wait_s)
{
    struct http_request *r = arg;
    json_t *devices;

    if (err == FLEET_CONFLICT) {
        respond_full(r, wait_s);
        return;
    }
    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    devices = json_loads(code->devices, 0, NULL);
    respond_json(r, 200,
                 json_pack("{ssso}", "claim_code", code->text, "device_ids",
                           devices != NULL ? devices : json_array()));
}

void claims_create(struct http_request *r)
{
    fleet_create_claim_code(r->api->fleet, &r->actor, r->product_id, on_created, r);
}
