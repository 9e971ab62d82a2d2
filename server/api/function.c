/* POST /v1/devices/:device/:function: calls a function of the device. */
#include "api/handlers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/reached.h"
#include "api/respond.h"
#include "base/mem.h"

#define ARGUMENT_MAX                                                                                         \
    1024 /* of current systems (device-protocol 4.5); what an older device takes, it knows                   \
          */
#define ARGUMENT_MAX_CORE 63
#define PLATFORM_CORE 0

/* In the request's scratch memory; the texts are the request's. */
struct call {
    struct reached device;
    const char *function, *argument;
};

static void on_called(void *arg, const struct device_answer *answer)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    const struct call *call = r->scratch;
    if (answer->ask != DEVICE_ANSWERED) {
        reached_respond_failure(r, answer);
        return;
    }
    if (reached_wants_raw(r)) {
        char *text = mem_printf("%" PRId32, answer->result);
        respond_text(r, "text/plain; charset=utf-8", text, strlen(text));
        return;
    }
    respond_json(r, 200,
                 json_pack("{sssososbsi}", "id", call->device.id_text, "name",
                           reached_text(call->device.name), "last_app", reached_text(call->device.last_app),
                           "connected", 1, "return_value", (int)answer->result));
}

static bool has_function(const struct fleet_device *device, const char *name)
{
    for (size_t i = 0; i < device->function_count; i++) {
        if (strcmp(device->functions[i], name) == 0)
            return true;
    }
    return false;
}

static void respond_no_function(struct http_request *r, const char *name)
{
    char *text = mem_printf("Function %s not found", name);

    respond_error(r, 404, text);
    free(text);
}

/* A device that has no such function does not answer at all: what it described decides. */
static void on_known(void *arg, enum fleet_err err, const struct fleet_device *device)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    struct call *call = r->scratch;
    if (err != FLEET_OK)
        respond_device_err(r, err, NULL);
    else if (!has_function(device, call->function))
        respond_no_function(r, call->function);
    else if (device->platform_id == PLATFORM_CORE && strlen(call->argument) > ARGUMENT_MAX_CORE)
        respond_bad_field(r, "args", "must be at most 63 bytes for this device.");
    else if (reached_may_ask(r, device)) {
        reached_fill(&call->device, device);
        reached_ask(r, &device->id,
                    &(struct reach_question){.kind = REACH_CALL,
                                             .timeout_ms = REACHED_TIMEOUT_MS,
                                             .name = call->function,
                                             .argument = call->argument},
                    on_called);
    }
}

/* The first that is there: `args` of today's clients, `arg` of older ones and the documents, `params` of the
 * first. */
static bool read_argument(struct http_request *r, const char **argument)
{
    static const char *const names[] = {"args", "arg", "params"};

    *argument = "";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        enum field kind = body_get_string(&r->body, names[i], argument);
        if (kind == FIELD_ABSENT)
            continue;
        if (kind == FIELD_WRONG || strlen(*argument) > ARGUMENT_MAX) {
            respond_bad_field(r, names[i], "must be text of at most 1024 bytes.");
            return false;
        }
        return true;
    }
    return true;
}

void function_call(struct http_request *r)
{
    struct call *call = http_request_scratch(r, sizeof(*call));

    call->function = http_request_param(r, "function");
    if (reached_is_reserved(call->function))
        respond_error(r, 404, "There is nothing at this path.");
    else if (read_argument(r, &call->argument))
        fleet_get_device(r->api->fleet, &r->actor, http_request_device(r), on_known, r);
}
