#include "api/body.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/target.h"
#include "base/bytes.h"
#include "base/mem.h"

#define POST_BUFFER_BYTES 4096
#define FORM_TYPE "application/x-www-form-urlencoded"
#define MULTIPART_TYPE "multipart/form-data"

/* A form as it is read. A value may come in several pieces, an empty one in none with data. */
struct form {
    json_t *fields; /* borrowed */
    char *name;     /* ours: of the value being gathered, NULL before the first */
    char *value;    /* ours */
    size_t value_len, count;
    const char *why; /* set at the first fault */
};

const char *body_parse_json(struct body *b, const char *data, size_t data_len)
{
    b->is_form = false;
    b->fields = NULL;
    if (strspn(data, " \t\r\n") == data_len) {
        b->fields = json_object();
        return NULL;
    }
    b->fields = json_loadb(data, data_len, 0, NULL);
    if (b->fields == NULL)
        return "The body is not valid JSON.";
    if (!json_is_object(b->fields)) {
        body_deinit(b);
        return "The body must be a JSON object.";
    }
    return NULL;
}

static void put(struct form *f, json_t *value)
{
    size_t name_len = strlen(f->name);

    if (name_len < 3 || strcmp(f->name + name_len - 2, "[]") != 0) {
        (void)json_object_set_new(f->fields, f->name, value);
        return;
    }
    f->name[name_len - 2] = '\0';
    json_t *list = json_object_get(f->fields, f->name);
    if (!json_is_array(list)) {
        list = json_array();
        if (json_object_set_new(f->fields, f->name, list) != 0) { /* list is gone with it */
            json_decref(value);
            return;
        }
    }
    (void)json_array_append_new(list, value);
}

/* Stores the value gathered so far, if any. */
static void flush(struct form *f)
{
    json_t *value;

    if (f->name == NULL || f->why != NULL)
        return;
    value = json_stringn(f->value != NULL ? f->value : "", f->value_len);
    if (value == NULL || memchr(json_string_value(value), '\0', f->value_len) != NULL) {
        json_decref(value);
        f->why = "A value of the form is not text in UTF-8.";
        return;
    }
    put(f, value);
}

static void form_reset(struct form *f)
{
    if (f->value != NULL)
        bytes_wipe(f->value, f->value_len);
    free(f->value);
    free(f->name);
    f->value = NULL;
    f->name = NULL;
    f->value_len = 0;
}

/* NOLINTNEXTLINE(readability-function-size): the signature is the library's */
static enum MHD_Result on_piece(void *arg, enum MHD_ValueKind kind, const char *name, const char *filename,
                                const char *content_type, const char *transfer_encoding, const char *data,
                                uint64_t offset, size_t data_len)
{
    struct form *f = arg;

    (void)kind, (void)filename, (void)content_type, (void)transfer_encoding;
    if (f->why != NULL)
        return MHD_NO;
    if (name == NULL)
        return MHD_YES; /* a part nobody can ask for */
    if (offset == 0) {
        flush(f);
        form_reset(f);
        f->name = mem_string(name);
        if (!target_is_utf8(name))
            f->why = "A name of the form is not text in UTF-8.";
        if (++f->count > BODY_FIELDS_MAX)
            f->why = "The form has too many fields.";
    }
    if (data_len > BODY_MAX_BYTES - f->value_len)
        f->why = "A value of the form is too long.";
    if (f->why != NULL)
        return MHD_NO;
    f->value = mem_grow(f->value, f->value_len + data_len + 1, 1);
    if (data_len > 0)
        memcpy(f->value + f->value_len, data, data_len);
    f->value_len += data_len;
    return MHD_YES;
}

const char *body_parse_form(struct body *b, struct MHD_Connection *connection, const char *data,
                            size_t data_len)
{
    struct form f = {.fields = json_object()};
    struct MHD_PostProcessor *post;
    bool whole;

    b->is_form = true;
    b->fields = f.fields;
    post = MHD_create_post_processor(connection, POST_BUFFER_BYTES, on_piece, &f);
    if (post == NULL) {
        body_deinit(b);
        return "The Content-Type of the form is malformed (is the boundary missing?).";
    }
    whole = MHD_post_process(post, data, data_len) == MHD_YES;
    /* Destroying ends the last value of a form; MHD_NO there means that the last part of a multipart was cut
     * off. */
    whole = MHD_destroy_post_processor(post) == MHD_YES && whole;
    if (whole)
        flush(&f);
    form_reset(&f);
    if (whole && f.why == NULL)
        return NULL;
    body_deinit(b);
    return f.why != NULL ? f.why : "The form is malformed or cut off (are its values percent-encoded?).";
}

static bool is_type(const char *content_type, const char *type)
{
    size_t len = strlen(type);

    if (content_type == NULL || strncasecmp(content_type, type, len) != 0)
        return false;
    return content_type[len] == '\0' || strchr("; \t", content_type[len]) != NULL;
}

const char *body_parse(struct body *b, struct MHD_Connection *connection, const char *content_type,
                       const char *data, size_t data_len)
{
    size_t space;

    if (data_len > 0 && (is_type(content_type, FORM_TYPE) || is_type(content_type, MULTIPART_TYPE)))
        return body_parse_form(b, connection, data, data_len);
    space = strspn(data, " \t\r\n");
    if (space == data_len || data[space] == '{' || is_type(content_type, "application/json"))
        return body_parse_json(b, data, data_len);
    return "The body must be JSON or a form, named by its Content-Type.";
}

void body_deinit(struct body *b)
{
    json_decref(b->fields);
    b->fields = NULL;
}

static json_t *find(const struct body *b, const char *name, enum field *kind)
{
    json_t *value = json_object_get(b->fields, name);
    bool is_null = json_is_null(value) ||
                   (b->is_form && json_is_string(value) && strcmp(json_string_value(value), "null") == 0);

    *kind = value == NULL ? FIELD_ABSENT : is_null ? FIELD_NULL : FIELD_OK;
    return *kind == FIELD_OK ? value : NULL;
}

enum field body_get_string(const struct body *b, const char *name, const char **value)
{
    enum field kind;
    const json_t *found = find(b, name, &kind);

    if (found == NULL)
        return kind;
    *value = json_string_value(found);
    return *value != NULL ? FIELD_OK : FIELD_WRONG;
}

static enum field bool_parse(const char *text, bool *value)
{
    *value = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    if (*value || strcmp(text, "false") == 0 || strcmp(text, "0") == 0 || *text == '\0')
        return FIELD_OK;
    return FIELD_WRONG;
}

enum field body_get_bool(const struct body *b, const char *name, bool *value)
{
    enum field kind;
    const json_t *found = find(b, name, &kind);

    if (found == NULL)
        return kind;
    if (json_is_string(found))
        return bool_parse(json_string_value(found), value);
    *value = json_is_true(found) || (json_is_integer(found) && json_integer_value(found) == 1);
    if (json_is_boolean(found) || (json_is_integer(found) && (*value || json_integer_value(found) == 0)))
        return FIELD_OK;
    return FIELD_WRONG;
}

/* A number may come as text in JSON too: clients send "1" where 1 is meant (rest-api, Traps 7). */
enum field body_get_int(const struct body *b, const char *name, int64_t *value)
{
    enum field kind;
    const json_t *found = find(b, name, &kind);
    const char *text;
    char *end;

    if (found == NULL)
        return kind;
    if (json_is_integer(found)) {
        *value = json_integer_value(found);
        return FIELD_OK;
    }
    text = json_string_value(found);
    if (text == NULL || *text == '\0' || strspn(text, "-0123456789") != strlen(text))
        return FIELD_WRONG;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' ? FIELD_OK : FIELD_WRONG;
}
