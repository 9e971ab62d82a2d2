/* fuzz_http_body.c: a body in JSON, and every field of it read as each type. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

static void read_field(const struct body *body, const char *name)
{
    const char *text = NULL;
    bool flag = false;
    int64_t number = 0;

    enum field kind = body_get_string(body, name, &text);
    must(kind != FIELD_ABSENT && (kind != FIELD_OK || text != NULL));
    must((body_get_bool(body, name, &flag) == FIELD_NULL) == (kind == FIELD_NULL));
    must((body_get_int(body, name, &number) == FIELD_NULL) == (kind == FIELD_NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    char *text =
        mem_string_n((const char *)data, data_len); /* as http_request.c keeps it: with a NUL behind it */
    struct body body;
    json_t *value;
    const char *name;

    const char *why = body_parse_json(&body, text, data_len);
    free(text);
    if (why != NULL)
        return 0;
    must(json_is_object(body.fields));
    for (int is_form = 0; is_form <= 1; is_form++) {
        body.is_form = is_form != 0;
        json_object_foreach (body.fields, name, value)
            read_field(&body, name);
    }
    must(body_get_string(&body, "\x01", &name) == FIELD_ABSENT ||
         json_object_get(body.fields, "\x01") != NULL);
    char *again = json_dumps(body.fields, JSON_COMPACT); /* what is said back to people is made like this */
    must(again != NULL);
    free(again);
    body_deinit(&body);
    return 0;
}
