/* fuzz_http_form.c: a form, urlencoded or multipart, with any Content-Type, as it arrives in pieces of any
 * size. The first byte says which Content-Type (2: the first line is it), the second the size of the pieces.
 */
#include <microhttpd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/form.h"
#include "base/mem.h"

#define FILE_MAX_BYTES 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

static const char *content_type;

/* Of the library, which asks with it for the headers of a connection; there is none here. */
__attribute__((visibility("default"))) enum MHD_Result
MHD_lookup_connection_value_n(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *key,
                              size_t key_size, const char **value_ptr, size_t *value_size_ptr)
{
    (void)connection, (void)kind;
    must(key_size == strlen("Content-Type") && memcmp(key, "Content-Type", key_size) == 0);
    *value_ptr = content_type;
    if (value_size_ptr != NULL)
        *value_size_ptr = strlen(content_type);
    return MHD_YES;
}

static void check_values(const json_t *fields)
{
    const char *name;
    json_t *value;

    must(json_is_object(fields) && json_object_size(fields) <= BODY_FIELDS_MAX);
    json_object_foreach ((json_t *)fields, name, value) {
        const char *text = json_string_value(value);
        must(text != NULL || json_is_array(value));
        must(text == NULL || strlen(text) == json_string_length(value));
    }
}

static void read_form(const uint8_t *data, size_t data_len, size_t piece_len, size_t file_max_bytes)
{
    struct MHD_Connection *nobody =
        (struct MHD_Connection *)&content_type; /* is handed on, never looked into */
    struct form *form = form_new(nobody, file_max_bytes);
    struct form_file file;
    json_t *fields;
    bool too_large = false;

    if (form == NULL)
        return;
    for (size_t at = 0; at < data_len; at += piece_len)
        form_push(form, (const char *)data + at, data_len - at < piece_len ? data_len - at : piece_len);
    const char *why = form_end(form, &fields, &file, &too_large);
    must(why != NULL || !too_large);
    if (why != NULL)
        return;
    check_values(fields);
    must(file.data_len <= file_max_bytes && (file.field != NULL) == (file.name != NULL));
    form_file_deinit(&file);
    json_decref(fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    static const char *const types[] = {"application/x-www-form-urlencoded",
                                        "multipart/form-data; boundary=b"};
    char *own = NULL;

    if (data_len < 2)
        return 0;
    uint8_t kind = data[0] % 3;
    size_t piece_len = (size_t)data[1] + 1;
    data += 2;
    data_len -= 2;
    if (kind == 2) {
        const uint8_t *end = memchr(data, '\n', data_len);
        size_t type_len = end != NULL ? (size_t)(end - data) : data_len;
        own = mem_string_n((const char *)data, type_len);
        data_len -= type_len + (end != NULL);
        data += type_len + (end != NULL);
    }
    content_type = kind == 2 ? own : types[kind];
    read_form(data, data_len, piece_len, FILE_MAX_BYTES);
    read_form(data, data_len, piece_len, 0);
    free(own);
    return 0;
}
