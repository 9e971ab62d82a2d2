#include "api/form.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/target.h"
#include "base/bytes.h"
#include "base/mem.h"

#define POST_BUFFER_BYTES 4096
#define FILE_FIRST_BYTES 65536u

/* A value may come in several pieces, an empty one in none with data. */
struct form {
    struct MHD_PostProcessor *post; /* ours */
    json_t *fields;                 /* ours */
    char *name;                     /* ours: of the value being gathered, NULL before the first */
    char *value;                    /* ours */
    size_t value_len, values_len, count;
    struct form_file file; /* ours */
    size_t file_size, file_max_bytes;
    bool in_file;    /* the part being gathered is a file */
    bool in_more;    /* and not the first */
    bool was_empty;  /* what came last was the beginning of a part, without content */
    const char *why; /* set at the first fault */
    bool broken, too_large;
};

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

static void value_reset(struct form *f)
{
    if (f->value != NULL)
        bytes_wipe(f->value, f->value_len);
    free(f->value);
    free(f->name);
    f->value = NULL;
    f->name = NULL;
    f->value_len = 0;
}

static void refuse(struct form *f, const char *why, bool too_large)
{
    f->why = why;
    f->too_large = too_large;
}

static void begin_part(struct form *f, const char *name, const char *file_name)
{
    flush(f);
    value_reset(f);
    f->in_file = file_name != NULL && f->file_max_bytes > 0;
    f->in_more = f->in_file && f->file.field != NULL;
    if (f->why != NULL)
        return;
    if (!target_is_utf8(name) || (f->in_file && !target_is_utf8(file_name)))
        refuse(f, "A name of the form is not text in UTF-8.", false);
    else if (++f->count > BODY_FIELDS_MAX)
        refuse(f, "The form has too many fields.", false);
    if (f->why != NULL)
        return;
    if (!f->in_file) {
        f->name = mem_string(name);
        return;
    }
    if (f->in_more) {
        f->file.more++;
        return;
    }
    f->file.field = mem_string(name);
    f->file.name = mem_string(file_name);
}

static void add_to_file(struct form *f, const char *data, size_t data_len)
{
    struct form_file *file = &f->file;

    if (data_len > f->file_max_bytes - file->data_len) {
        refuse(f, "The file is too large.", true);
        return;
    }
    if (data_len > f->file_size - file->data_len) {
        f->file_size = f->file_size == 0 ? FILE_FIRST_BYTES : f->file_size * 2;
        if (f->file_size < file->data_len + data_len)
            f->file_size = file->data_len + data_len;
        file->data = mem_grow(file->data, f->file_size, 1);
    }
    if (data_len > 0)
        memcpy(file->data + file->data_len, data, data_len);
    file->data_len += data_len;
}

static void add_to_value(struct form *f, const char *data, size_t data_len)
{
    if (data_len > BODY_MAX_BYTES - f->values_len) {
        refuse(f, "A value of the form is too long.", false);
        return;
    }
    f->value = mem_grow(f->value, f->value_len + data_len + 1, 1);
    if (data_len > 0)
        memcpy(f->value + f->value_len, data, data_len);
    f->value_len += data_len;
    f->values_len += data_len;
}

/* The library tells of a part as soon as its header is read, and if nothing has come of its content yet, of
 * the same part once more, again from its beginning. */
static bool is_told_again(const struct form *f, const char *name, const char *file_name)
{
    if (!f->was_empty || f->in_file != (file_name != NULL))
        return false;
    if (f->in_more) /* nothing of it is kept */
        return true;
    if (f->in_file)
        return strcmp(f->file.field, name) == 0 && strcmp(f->file.name, file_name) == 0;
    return f->name != NULL && strcmp(f->name, name) == 0;
}

/* NOLINTNEXTLINE(readability-function-size): the signature is the library's */
static enum MHD_Result on_piece(void *arg, enum MHD_ValueKind kind, const char *name, const char *filename,
                                const char *content_type, const char *transfer_encoding, const char *data,
                                uint64_t offset, size_t data_len)
{
    struct form *f = arg;

    (void)kind, (void)content_type, (void)transfer_encoding;
    if (f->why != NULL)
        return MHD_NO;
    if (name == NULL)
        return MHD_YES; /* a part nobody can ask for */
    if (offset == 0 && !is_told_again(f, name, filename))
        begin_part(f, name, filename);
    f->was_empty = f->file_max_bytes > 0 && offset == 0 && data_len == 0;
    if (f->why == NULL && f->in_file && !f->in_more)
        add_to_file(f, data, data_len);
    else if (f->why == NULL && !f->in_file)
        add_to_value(f, data, data_len);
    return f->why == NULL ? MHD_YES : MHD_NO;
}

struct form *form_new(struct MHD_Connection *connection, size_t file_max_bytes)
{
    struct form *f = mem_alloc(sizeof(*f));

    f->file_max_bytes = file_max_bytes;
    f->post = MHD_create_post_processor(connection, POST_BUFFER_BYTES, on_piece, f);
    if (f->post == NULL) {
        free(f);
        return NULL;
    }
    f->fields = json_object();
    return f;
}

void form_push(struct form *f, const char *data, size_t data_len)
{
    if (!f->broken && f->why == NULL)
        f->broken = MHD_post_process(f->post, data, data_len) != MHD_YES;
}

const char *form_end(struct form *f, json_t **fields, struct form_file *file, bool *too_large)
{
    const char *why;

    /* Destroying ends the last value of a form; MHD_NO there means that the last part of a multipart was cut
     * off. */
    if (MHD_destroy_post_processor(f->post) != MHD_YES)
        f->broken = true;
    f->post = NULL;
    if (!f->broken)
        flush(f);
    if (f->broken && f->why == NULL)
        f->why = "The form is malformed or cut off (are its values percent-encoded?).";
    why = f->why;
    *too_large = f->too_large;
    if (why == NULL) {
        *fields = f->fields;
        *file = f->file;
        f->fields = NULL;
        f->file = (struct form_file){0};
    }
    form_free(f);
    return why;
}

void form_free(struct form *f)
{
    if (f == NULL)
        return;
    if (f->post != NULL)
        (void)MHD_destroy_post_processor(f->post);
    value_reset(f);
    form_file_deinit(&f->file);
    json_decref(f->fields);
    free(f);
}

void form_file_deinit(struct form_file *file)
{
    free(file->field);
    free(file->name);
    free(file->data);
    *file = (struct form_file){0};
}
