/* GET /v1/devices/:device/:variable: reads a variable from the device, typed as it described it. */
#include "api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "api/device_json.h"
#include "api/reached.h"
#include "api/respond.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "fleet/utf8.h"

/* In the request's scratch memory; the name is the request's. */
struct reading {
    struct reached device;
    const char *variable;
    char type[16];
};

static json_t *read_double(const uint8_t *data) /* little-endian, unlike all else (device-protocol 4.6) */
{
    uint64_t bits = 0;
    double value;

    for (size_t i = sizeof(bits); i > 0; i--)
        bits = bits << 8 | data[i - 1];
    memcpy(&value, &bits, sizeof(value));
    json_t *number = json_real(value);
    return number != NULL ? number : json_null(); /* JSON has neither infinity nor NaN */
}

static json_t *read_text(const uint8_t *data, size_t data_len)
{
    char *text = mem_alloc(data_len + 1);

    json_t *value = json_string(utf8_clean(text, data_len + 1, data, data_len));
    free(text);
    return value;
}

/* NULL when the bytes are not of the type. */
static json_t *read_value(const char *type, const uint8_t *data, size_t data_len)
{
    if (strcmp(type, "bool") == 0)
        return data_len == 1 ? json_boolean(data[0] != 0) : NULL;
    if (strcmp(type, "int32") == 0)
        return data_len == 4 ? json_integer((int32_t)be32_load(data)) : NULL;
    if (strcmp(type, "double") == 0)
        return data_len == 8 ? read_double(data) : NULL;
    return read_text(data, data_len);
}

/* The fewest that name this number and no other: 21.3, not 21.300000000000001. */
static size_t digits_of(const json_t *value)
{
    char text[40];
    size_t digits = 15;

    for (; json_is_real(value) && digits < 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", (int)digits, json_real_value(value));
        if (strtod(text, NULL) == json_real_value(value))
            break;
    }
    return digits;
}

static void respond_raw(struct http_request *r, json_t *value)
{
    const char *string = json_string_value(value);
    char *text = string != NULL ? mem_string(string)
                                : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits_of(value)));

    json_decref(value);
    must(text != NULL);
    respond_text(r, "text/plain; charset=utf-8", text, strlen(text));
}

static json_t *core_info(const struct reached *device)
{
    return json_pack("{sosssbsosososo}", "name", reached_text(device->name), "deviceID", device->id_text,
                     "connected", 1, "last_handshake_at", device_json_time(device->last_handshake_ms),
                     "last_heard", device_json_time(device->last_heard_ms), "last_app",
                     reached_text(device->last_app), "product_id",
                     device->product_id >= 0 ? json_integer(device->product_id) : json_null());
}

static void respond_value(struct http_request *r, const struct reading *reading, json_t *value)
{
    size_t digits = digits_of(value);

    respond_json_digits(r, 200,
                        json_pack("{sssssoso}", "cmd", "VarReturn", "name", reading->variable, "result",
                                  value, "coreInfo", core_info(&reading->device)),
                        digits);
}

static void on_read(void *arg, const struct device_answer *answer)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    const struct reading *reading = r->scratch;
    if (answer->ask == DEVICE_SAID_ERROR && answer->code == COAP_404_NOT_FOUND) {
        respond_error(r, 404, "Variable not found");
        return;
    }
    if (answer->ask != DEVICE_ANSWERED) {
        reached_respond_failure(r, answer);
        return;
    }
    json_t *value = read_value(reading->type, answer->data, answer->data_len);
    if (value == NULL)
        respond_error(r, 502, "The device's answer is not of the type it described.");
    else if (reached_wants_raw(r))
        respond_raw(r, value);
    else
        respond_value(r, reading, value);
}

static const char *find_type(const struct fleet_device *device, const char *name)
{
    for (size_t i = 0; i < device->variable_count; i++) {
        if (strcmp(device->variables[i].name, name) == 0)
            return device->variables[i].type;
    }
    return NULL;
}

static void on_known(void *arg, enum fleet_err err, const struct fleet_device *device)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    struct reading *reading = r->scratch;
    const char *type = err == FLEET_OK ? find_type(device, reading->variable) : NULL;
    if (err != FLEET_OK)
        respond_device_err(r, err, NULL);
    else if (type == NULL)
        respond_error(r, 404, "Variable not found");
    else if (reached_may_ask(r, device)) {
        reached_fill(&reading->device, device);
        (void)snprintf(reading->type, sizeof(reading->type), "%s", type);
        reached_ask(r, &device->id,
                    &(struct reach_question){
                        .kind = REACH_READ, .timeout_ms = REACHED_TIMEOUT_MS, .name = reading->variable},
                    on_read);
    }
}

void variable_read(struct http_request *r)
{
    struct reading *reading = http_request_scratch(r, sizeof(*reading));

    reading->variable = http_request_param(r, "variable");
    if (reached_is_reserved(reading->variable))
        respond_error(r, 404, "There is nothing at this path.");
    else
        fleet_get_device(r->api->fleet, &r->actor, http_request_device(r), on_known, r);
}
