#include "api/body.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/form.h"

#define FORM_TYPE "application/x-www-form-urlencoded"

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

const char *body_parse_form(struct body *b, struct MHD_Connection *connection, const char *data,
                            size_t data_len)
{
    struct form *form = form_new(connection, 0);
    struct form_file file;
    bool too_large;
    const char *why;

    b->is_form = true;
    b->fields = NULL;
    if (form == NULL)
        return BODY_BAD_FORM;
    form_push(form, data, data_len);
    why = form_end(form, &b->fields, &file, &too_large);
    return why;
}

bool body_is_type(const char *content_type, const char *type)
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

    if (data_len > 0 &&
        (body_is_type(content_type, FORM_TYPE) || body_is_type(content_type, BODY_MULTIPART_TYPE)))
        return body_parse_form(b, connection, data, data_len);
    space = strspn(data, " \t\r\n");
    if (space == data_len || data[space] == '{' || body_is_type(content_type, "application/json"))
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
