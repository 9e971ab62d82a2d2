/* POST /v1/provisioning/:device, also under a product: gives a device a key: a public one in PEM, or a
 * pre-shared one. */
#include "api/handlers.h"

#include <string.h>
#include <strings.h>

#include "api/device_json.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/device_change.h"

#define PRODUCT_MAX 65535

/* Lives in the request's scratch memory, which is wiped. */
struct enrolment {
    struct device_id id;
    struct fleet_key key;
    int product_id;
};

static void on_provisioned(void *arg, enum fleet_err err, const struct fleet_device *device, const char *why)
{
    struct http_request *r = arg;
    const struct enrolment *e = r->scratch;
    char id[DEVICE_ID_TEXT_SIZE];

    if (err == FLEET_FORBIDDEN) {
        respond_forbidden(r,
                          why != NULL && why[0] != '\0' ? why : "Your role may not give this device a key.");
        return;
    }
    if (err != FLEET_OK) {
        respond_device_err(r, err, why);
        return;
    }
    if (device != NULL) {
        respond_json(r, 200, device_json_detail(device));
        return;
    }
    device_id_format(id, &e->id);
    respond_json(r, 200, json_pack("{sssb}", "id", id, "ok", 1));
}

static bool read_psk(struct http_request *r, struct enrolment *e)
{
    const char *hex, *why = "";

    if (body_get_string(&r->body, "psk", &hex) != FIELD_OK) {
        respond_bad_field(r, "psk", "must be the key in hex.");
        return false;
    }
    if (fleet_key_from_hex(&e->key, hex, &why))
        return true;
    respond_error(r, 400, why);
    return false;
}

static bool read_public_key(struct http_request *r, struct enrolment *e)
{
    const char *pem, *why = "";

    if (body_get_string(&r->body, "publicKey", &pem) != FIELD_OK) {
        respond_bad_field(r, "publicKey", "must be a public key in PEM (BEGIN PUBLIC KEY).");
        return false;
    }
    if (fleet_key_from_pem(&e->key, pem, strlen(pem), &why))
        return true;
    respond_error(r, 400, why);
    return false;
}

/* Which of rsa and ecc a public key is, it tells itself: clients guess wrong and are not held to it. */
static bool read_key(struct http_request *r, struct enrolment *e)
{
    const char *algorithm = NULL;
    enum field kind = body_get_string(&r->body, "algorithm", &algorithm);

    if (kind == FIELD_OK && strcasecmp(algorithm, "psk") == 0)
        return read_psk(r, e);
    if (kind == FIELD_WRONG ||
        (kind == FIELD_OK && strcasecmp(algorithm, "ecc") != 0 && strcasecmp(algorithm, "rsa") != 0)) {
        respond_bad_field(r, "algorithm", "must be ecc, rsa or psk.");
        return false;
    }
    return read_public_key(r, e);
}

static bool read_product(struct http_request *r, struct enrolment *e)
{
    int64_t product = -1;
    enum field kind = body_get_int(&r->body, "product_id", &product);

    e->product_id = r->product_id != 0 ? r->product_id : -1;
    if (kind == FIELD_ABSENT || kind == FIELD_NULL || r->product_id != 0)
        return true;
    if (kind == FIELD_WRONG || product < 0 || product > PRODUCT_MAX) {
        respond_bad_field(r, "product_id", "must be a number from 0 to 65535.");
        return false;
    }
    e->product_id = (int)product;
    return true;
}

void provisioning_create(struct http_request *r)
{
    struct enrolment *e = http_request_scratch(r, sizeof(*e));
    const char *text = http_request_param(r, "device");

    if (!device_id_parse(&e->id, text, strlen(text))) {
        respond_error(r, 400, "The device in the path must be an id: 24 hex digits.");
        return;
    }
    if (!read_key(r, e) || !read_product(r, e))
        return;
    fleet_provision_device(r->api->fleet, &r->actor, &e->id, &e->key, e->product_id, on_provisioned, r);
}
