/* GET /v1/serial_numbers/:serial: which device that is. */
#include "api/handlers.h"

#include <string.h>

#include "api/device_json.h"
#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/device_serial.h"

static void respond_unknown(struct http_request *r)
{
    respond_error(r, 404, "Serial number not found.");
}

static void on_found(void *arg, enum fleet_err err, const struct device_id *id, const char *iccid)
{
    struct http_request *r = arg;
    char text[DEVICE_ID_TEXT_SIZE];
    json_t *answer;

    if (err == FLEET_NOT_FOUND) {
        respond_unknown(r);
        return;
    }
    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    device_id_format(text, id);
    answer = json_pack("{sbss}", "ok", 1, "deviceID", text);
    if (iccid != NULL)
        (void)json_object_set_new(answer, "iccid", device_json_text(iccid));
    respond_json(r, 200, answer);
}

void serial_number_read(struct http_request *r)
{
    const char *serial = http_request_param(r, "serial");

    if (strlen(serial) > DEVICE_SERIAL_MAX)
        respond_unknown(r);
    else
        fleet_find_serial(r->api->fleet, &r->actor, serial, on_found, r);
}
