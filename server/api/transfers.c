/* /v1/transfers: who asks whom for which device, and what the owner says to it. They begin with POST
 * /v1/devices (device.c). */
#include "api/handlers.h"

#include <string.h>

#include "api/device_json.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/transfer.h"

static void set_time(json_t *object, const char *key)
{
    (void)json_object_set_new(object, key,
                              device_json_time((uint64_t)json_integer_value(json_object_get(object, key))));
}

static void on_list(void *arg, enum fleet_err err, const char *transfers)
{
    struct http_request *r = arg;
    json_t *list, *transfer;
    size_t i;

    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    list = json_loads(transfers, 0, NULL);
    json_array_foreach (list, i, transfer) {
        set_time(transfer, "asked_at");
        set_time(transfer, "expires_at");
    }
    respond_json(r, 200, json_pack("{so}", "transfers", list != NULL ? list : json_array()));
}

void transfers_list(struct http_request *r)
{
    fleet_list_transfers(r->api->fleet, &r->actor, on_list, r);
}

static void on_decided(void *arg, enum fleet_err err)
{
    struct http_request *r = arg;

    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, "Transfer not found");
    else if (err == FLEET_CONFLICT)
        respond_error(r, 409, "This transfer is not open any more.");
    else if (err == FLEET_FORBIDDEN)
        respond_forbidden(r, "The owner of the device accepts or denies, and who asked for it withdraws.");
    else if (err != FLEET_OK)
        respond_device_err(r, err, NULL);
    else
        respond_ok(r);
}

static void decide(struct http_request *r, enum transfer_decision decision)
{
    const char *text = http_request_param(r, "transfer");
    struct device_id id; /* of the same form */

    if (!device_id_parse(&id, text, strlen(text)))
        on_decided(r, FLEET_NOT_FOUND);
    else
        fleet_decide_transfer(r->api->fleet, &r->actor, &id, decision, on_decided, r);
}

void transfers_decide(struct http_request *r)
{
    bool accept = false;

    if (body_get_bool(&r->body, "accept", &accept) != FIELD_OK)
        respond_bad_field(r, "accept", "must be true or false.");
    else
        decide(r, accept ? TRANSFER_ACCEPT : TRANSFER_DENY);
}

void transfers_withdraw(struct http_request *r)
{
    decide(r, TRANSFER_WITHDRAW);
}
