/* fuzz_hook.c: a webhook as anybody may write it, and an event that anybody may publish. The input is a JSON
 * object, a NUL, and the event's data. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "fleet/utf8.h"
#include "hook/hook_request.h"
#include "hook/hook_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const struct hook_request *r)
{
    must(strstr(r->url, "://") != NULL && strpbrk(r->url, "\r\n") == NULL);
    for (size_t i = 0; i < r->header_count; i++)
        must(strpbrk(r->headers[i], "\r\n") == NULL);
}

static void send(const struct hook_spec *spec, const char *value)
{
    const struct hook_event event = {.name = spec->event,
                                     .value = value,
                                     .device_id = "api",
                                     .published_at = "2026-01-01T00:00:00.000Z",
                                     .delivery = "1-1",
                                     .attempt = 1};
    struct hook_request request;
    const char *why = hook_request_make(&request, spec->shown, spec->secrets, &event, 1);
    if (!why)
        check_request(&request);
    hook_request_deinit(&request);
    free(hook_request_topic(spec->shown, &event, false));
    free(hook_request_answer(spec->shown, &event, value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    size_t text_len = end ? (size_t)(end - data) : size, value_len = end ? size - text_len - 1 : 0;
    json_t *fields = json_loadb((const char *)data, text_len, 0, NULL);
    struct hook_spec spec;
    if (json_is_object(fields) && hook_spec_read(&spec, fields, false) == NULL) {
        char *value = mem_alloc(value_len + 1);
        utf8_clean(value, value_len + 1, end ? end + 1 : data, value_len);
        send(&spec, value);
        free(value);
        hook_spec_deinit(&spec);
    }
    json_decref(fields);
    return 0;
}
