/* /v1/firmware: module binaries: uploaded, listed, fetched, withdrawn. */
#include "fleet/firmware.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/device_json.h"
#include "api/handlers.h"
#include "api/http_request.h"
#include "api/module_json.h"
#include "api/query.h"
#include "api/respond.h"
#include "base/mem.h"
#include "fleet/firmware_cache.h"
#include "module/module_file.h"

#define ID_DIGITS_MAX 18
#define PLATFORM_MAX 65535

static void respond_firmware_err(struct http_request *r, enum fleet_err err, const char *why)
{
    char *text;

    if (err == FLEET_NOT_FOUND) {
        respond_error(r, 404, "Firmware not found.");
    } else if (err == FLEET_INVALID) {
        text = mem_printf("The file is refused: %s.", why);
        respond_error(r, 400, text);
        free(text);
    } else {
        respond_device_err(r, err, why);
    }
}

static json_t *flags_json(uint8_t flags)
{
    static const struct {
        uint8_t flag;
        const char *name;
    } names[] = {
        {MODULE_FLAG_DROP_HEADER, "drop_header"},
        {MODULE_FLAG_COMPRESSED, "compressed"},
        {MODULE_FLAG_COMBINED, "combined"},
        {MODULE_FLAG_ENCRYPTED, "encrypted"},
        {MODULE_FLAG_PREFIX_EXTENSIONS, "prefix_extensions"},
    };
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((flags & names[i].flag) != 0)
            (void)json_array_append_new(list, json_string(names[i].name));
    }
    return list;
}

static json_t *number_or_null(int number)
{
    return number >= 0 ? json_integer(number) : json_null();
}

static json_t *firmware_json(const struct firmware *f)
{
    json_t *object = json_pack("{sI}", "id", (json_int_t)f->id);

    module_json_head(object, f->platform_id, f->function, f->index);
    (void)json_object_set_new(object, "function_name", json_string(module_function_name(f->function)));
    (void)json_object_set_new(object, "mcu", json_integer(f->mcu));
    (void)json_object_set_new(object, "version", json_integer(f->version));
    (void)json_object_set_new(object, "size_bytes", json_integer(f->size_bytes));
    (void)json_object_set_new(object, "sha256", json_string(f->sha256));
    (void)json_object_set_new(object, "suffix_sha256", device_json_text(f->suffix_sha256));
    (void)json_object_set_new(object, "flags", flags_json(f->flags));
    (void)json_object_set_new(object, "dependencies", module_json_list(f->dependencies));
    (void)json_object_set_new(object, "combined", module_json_list(f->combined));
    (void)json_object_set_new(object, "product_id", number_or_null(f->product_id));
    (void)json_object_set_new(object, "product_version", number_or_null(f->product_version));
    (void)json_object_set_new(object, "file_name", device_json_text(f->file_name));
    (void)json_object_set_new(object, "status", json_string(f->status));
    (void)json_object_set_new(object, "withdrawn_reason", device_json_text(f->withdrawn_reason));
    (void)json_object_set_new(object, "uploaded_by", device_json_text(f->uploaded_by));
    (void)json_object_set_new(object, "uploaded_at", device_json_time(f->uploaded_ms));
    (void)json_object_set_new(object, "releases", module_json_array(f->releases));
    return object;
}

static void on_firmware(void *arg, enum fleet_err err, const struct firmware *f, bool is_new, const char *why)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_firmware_err(r, err, why);
    else
        respond_json(r, is_new ? 201 : 200, json_pack("{so}", "firmware", firmware_json(f)));
}

void firmware_upload(struct http_request *r)
{
    struct form_file *file = http_request_file(r);
    uint8_t *data;

    if (respond_extra_files(r))
        return;
    if (file == NULL || strcmp(file->field, "file") != 0) {
        respond_error(r, 400,
                      "Send the module binary as part `file` of multipart/form-data, with a file name.");
        return;
    }
    data = file->data;
    file->data = NULL;
    fleet_upload_firmware(r->api->fleet, &r->actor, data, file->data_len,
                          file->name[0] != '\0' ? file->name : NULL, on_firmware, r);
}

/* Answers 404 when it is no number that a binary can have. */
static bool read_id(struct http_request *r, int64_t *id)
{
    const char *text = http_request_param(r, "firmware");
    size_t len = strlen(text);

    if (len == 0 || len > ID_DIGITS_MAX || strspn(text, "0123456789") != len) {
        respond_firmware_err(r, FLEET_NOT_FOUND, NULL);
        return false;
    }
    *id = strtoll(text, NULL, 10);
    return true;
}

void firmware_read(struct http_request *r)
{
    int64_t id;

    if (read_id(r, &id))
        fleet_get_firmware(r->api->fleet, id, on_firmware, r);
}

void firmware_withdraw(struct http_request *r)
{
    const char *reason;
    int64_t id;

    if (!read_id(r, &id) || !module_json_reason(r, &reason))
        return;
    fleet_withdraw_firmware(r->api->fleet, &r->actor, id, reason, on_firmware, r);
}

/* --- the list --- */

static void on_list(void *arg, enum fleet_err err, const struct firmware *rows, size_t count, uint64_t total)
{
    struct http_request *r = arg;
    const struct firmware_filter *filter = r->scratch;
    json_t *list;

    if (err != FLEET_OK) {
        respond_firmware_err(r, err, NULL);
        return;
    }
    list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, firmware_json(&rows[i]));
    respond_json(
        r, 200,
        json_pack("{soso}", "firmware", list, "meta", query_meta(filter->page, filter->per_page, total)));
}

static bool read_function(struct http_request *r, int *function)
{
    const char *text = http_request_query(r, "function");

    if (text == NULL)
        return true;
    *function = text[0] != '\0' && text[1] == '\0' ? module_function_of_letter(text[0]) : MODULE_NONE;
    if (*function != MODULE_NONE)
        return true;
    respond_bad_field(r, "function", "must be one of the letters r, b, m, s, u, c, a, t.");
    return false;
}

static bool read_status(struct http_request *r, const char **status)
{
    *status = http_request_query(r, "status");
    if (*status == NULL || strcmp(*status, "active") == 0 || strcmp(*status, "withdrawn") == 0)
        return true;
    respond_bad_field(r, "status", "must be active or withdrawn.");
    return false;
}

void firmware_list(struct http_request *r)
{
    struct firmware_filter *filter = http_request_scratch(r, sizeof(*filter));

    *filter = (struct firmware_filter){.platform_id = -1, .function = -1};
    if (query_number(r, "platform_id", 0, PLATFORM_MAX, &filter->platform_id) &&
        read_function(r, &filter->function) && read_status(r, &filter->status) &&
        query_page(r, &filter->page, &filter->per_page))
        fleet_list_firmware(r->api->fleet, filter, on_list, r);
}

/* --- its bytes --- */

static void release_blob(void *ctx)
{
    firmware_release(ctx);
}

static void on_blob(void *arg, enum fleet_err err, const struct firmware_blob *blob)
{
    struct http_request *r = arg;
    struct http_content content;

    if (err != FLEET_OK) {
        respond_firmware_err(r, err, NULL);
        return;
    }
    firmware_hold(blob);
    content = (struct http_content){
        .data = blob->data, .data_len = blob->data_len, .release = release_blob, .ctx = (void *)blob};
    http_request_answer_content(r, 200, "application/octet-stream", &content);
}

/* What may stand between quotes in a header and be a file's name everywhere. */
void firmware_name_download(struct http_request *r, const char *file_name)
{
    char name[4 * FIRMWARE_FILE_NAME_MAX + 1], value[4 * FIRMWARE_FILE_NAME_MAX + 40];

    (void)snprintf(name, sizeof(name), "%s", file_name);
    for (char *c = name; *c != '\0'; c++) {
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@", *c) == NULL)
            *c = '_';
    }
    (void)snprintf(value, sizeof(value), "attachment; filename=\"%s\"", name);
    http_request_add_header(r, "Content-Disposition", value);
}

static void name_download(struct http_request *r, const struct firmware *f)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "firmware-%lld.bin", (long long)f->id);
    firmware_name_download(r, f->file_name != NULL ? f->file_name : name);
}

static void on_named(void *arg, enum fleet_err err, const struct firmware *f, bool is_new, const char *why)
{
    struct http_request *r = arg;

    (void)is_new, (void)why;
    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK) {
        respond_firmware_err(r, err, NULL);
        return;
    }
    name_download(r, f);
    (void)firmware_get(fleet_firmware_cache(r->api->fleet), f->id, on_blob, r);
}

void firmware_download(struct http_request *r)
{
    int64_t id;

    if (read_id(r, &id))
        fleet_get_firmware(r->api->fleet, id, on_named, r);
}
