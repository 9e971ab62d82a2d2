/* fuzz_http_target.c: the path of a request, and the row of the route table it leads to. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/route.h"
#include "api/target.h"
#include "base/mem.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

static void find(const struct target *target, const char *method)
{
    static const char *const names[] = {"device", "product", "campaign", "token", "nothing"};
    char allow[ROUTE_ALLOW_SIZE];
    const struct route *route = NULL;

    if (route_find(&route, method, target, allow) != ROUTE_FOUND)
        return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *part = route_param(route, target, names[i]);
        must(part == NULL || target_is_utf8(part));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"};
    char *text = mem_string_n((const char *)data, strnlen((const char *)data, data_len));
    struct target target;

    if (target_parse(&target, text) == TARGET_OK) {
        must(target.count > 0 && target.count <= TARGET_SEGMENTS_MAX);
        for (size_t i = 0; i < target.count; i++)
            must(target.segments[i][0] != '\0' && target_is_utf8(target.segments[i]));
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
            find(&target, methods[i]);
        target_deinit(&target);
    }
    if (target_unescape(text))
        must(strlen(text) <= data_len);
    free(text);
    return 0;
}
