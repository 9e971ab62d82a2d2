#include "api/product_gate.h"

#include <string.h>

#include "api/handlers.h"
#include "api/respond.h"
#include "fleet/product.h"

static void on_product(void *arg, enum fleet_err err, int product_id)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    switch (err) {
    case FLEET_OK:
        r->product_id = product_id;
        http_request_allowed(r);
        return;
    case FLEET_NOT_FOUND:
        respond_error(r, 404, "Product not found");
        return;
    case FLEET_FORBIDDEN:
        respond_forbidden(r, "Your role in the team of this product does not allow this.");
        return;
    default:
        respond_device_err(r, err, NULL);
    }
}

/* The route's method: HEAD is GET there. The test of a webhook is a GET that sends something (rest-api tier
 * 2). */
static enum product_need need_of(const struct route *route)
{
    return strcmp(route->method, "GET") == 0 && route->handle != webhook_test ? PRODUCT_VIEW : PRODUCT_MANAGE;
}

void product_gate_pass(struct http_request *r)
{
    const char *which = http_request_param(r, "product");

    if (which == NULL)
        http_request_allowed(r);
    else
        fleet_find_product(r->api->fleet, &r->actor, which, need_of(r->route), on_product, r);
}
