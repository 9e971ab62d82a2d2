/* /v1/products/:product/firmware: the versions of a product's firmware: uploaded, listed, changed, fetched.
 */
#include "fleet/product_firmware.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/product_answer.h"
#include "api/respond.h"
#include "base/mem.h"
#include "fleet/firmware.h"
#include "fleet/firmware_cache.h"

#define VERSION_DIGITS_MAX 5

bool product_answer_read_version(struct http_request *r, int *version)
{
    const char *text = http_request_param(r, "version");
    size_t len = strlen(text);

    *version = len > 0 && len <= VERSION_DIGITS_MAX && strspn(text, "0123456789") == len ? atoi(text) : 0;
    if (*version >= 1 && *version <= PRODUCT_FIRMWARE_VERSION_MAX)
        return true;
    product_answer_err(r, FLEET_NOT_FOUND, NULL);
    return false;
}

void product_answer_err(struct http_request *r, enum fleet_err err, const char *why)
{
    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, "Firmware version not found");
    else
        respond_device_err(r, err, why);
}

void product_answer_json(void *arg, enum fleet_err err, const char *json, const char *why)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        product_answer_err(r, err, why);
    else
        respond_json_text(r, 200, json);
}

void product_firmware_list(struct http_request *r)
{
    fleet_list_product_firmware(r->api->fleet, r->product_id, product_answer_json, r);
}

void product_firmware_read(struct http_request *r)
{
    int version;

    if (product_answer_read_version(r, &version))
        fleet_get_product_firmware(r->api->fleet, r->product_id, version, product_answer_json, r);
}

/* --- a new one --- */

/* Texts of the body; each reader returns false when it has answered 400. *text stays when there is none. */
static bool read_text(struct http_request *r, const char *name, size_t max_bytes, const char **text)
{
    const char *value;
    char what[64];
    enum field kind = body_get_string(&r->body, name, &value);

    if (kind == FIELD_ABSENT || kind == FIELD_NULL)
        return true;
    if (kind == FIELD_OK && strlen(value) <= max_bytes) {
        *text = value;
        return true;
    }
    (void)snprintf(what, sizeof(what), "must be text of at most %zu bytes.", max_bytes);
    respond_bad_field(r, name, what);
    return false;
}

static bool read_mandatory(struct http_request *r, bool *has, bool *mandatory)
{
    enum field kind = body_get_bool(&r->body, "mandatory", mandatory);

    *has = kind == FIELD_OK;
    if (kind != FIELD_WRONG)
        return true;
    respond_bad_field(r, "mandatory", "must be true or false.");
    return false;
}

static bool read_new_version(struct http_request *r, int *version)
{
    int64_t number;

    if (body_get_int(&r->body, "version", &number) == FIELD_OK && number >= 1 &&
        number <= PRODUCT_FIRMWARE_VERSION_MAX) {
        *version = (int)number;
        return true;
    }
    respond_bad_field(r, "version", "must be a number from 1 to 65535.");
    return false;
}

static bool is_sentence(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && text[len - 1] == '.';
}

static void on_uploaded(void *arg, enum fleet_err err, const char *json, const char *why)
{
    struct http_request *r = arg;
    char *text;

    if (err == FLEET_OK) {
        respond_json_text(r, 201, json);
    } else if (err == FLEET_INVALID) {
        text = mem_printf("The file is refused: %s%s", why, is_sentence(why) ? "" : ".");
        respond_error(r, 400, text);
        free(text);
    } else if (err == FLEET_NOT_FOUND) {
        respond_error(r, 404, "Product not found");
    } else {
        product_answer_err(r, err, why);
    }
}

void product_firmware_upload(struct http_request *r)
{
    struct product_firmware_upload upload = {.product_id = r->product_id, .title = "", .description = ""};
    struct form_file *file = http_request_file(r);
    bool has_mandatory;

    if (respond_extra_files(r))
        return;
    if (file == NULL) {
        respond_error(r, 400,
                      "Send the binary as part `file` or `binary` of multipart/form-data, with a file name.");
        return;
    }
    if (!read_new_version(r, &upload.version) ||
        !read_text(r, "title", PRODUCT_FIRMWARE_TITLE_MAX, &upload.title) ||
        !read_text(r, "description", PRODUCT_FIRMWARE_DESCRIPTION_MAX, &upload.description) ||
        !read_mandatory(r, &has_mandatory, &upload.is_mandatory))
        return;
    uint8_t *data = file->data;
    file->data = NULL;
    fleet_upload_product_firmware(r->api->fleet, &r->actor, &upload, data, file->data_len,
                                  file->name[0] != '\0' ? file->name : NULL, on_uploaded, r);
}

/* --- changes --- */

void product_firmware_edit(struct http_request *r)
{
    struct product_firmware_edit edit = {.product_id = r->product_id};

    if (!product_answer_read_version(r, &edit.version) ||
        !read_text(r, "title", PRODUCT_FIRMWARE_TITLE_MAX, &edit.title) ||
        !read_text(r, "description", PRODUCT_FIRMWARE_DESCRIPTION_MAX, &edit.description) ||
        !read_mandatory(r, &edit.has_mandatory, &edit.is_mandatory))
        return;
    if (edit.title == NULL && edit.description == NULL && !edit.has_mandatory)
        respond_error(r, 400, "Nothing to do?");
    else
        fleet_edit_product_firmware(r->api->fleet, &r->actor, &edit, product_answer_json, r);
}

static void on_deleted(void *arg, enum fleet_err err, const char *json, const char *why)
{
    struct http_request *r = arg;

    (void)json;
    if (err != FLEET_OK)
        product_answer_err(r, err, why);
    else
        respond_no_content(r);
}

void product_firmware_delete(struct http_request *r)
{
    int version;

    if (product_answer_read_version(r, &version))
        fleet_delete_product_firmware(r->api->fleet, &r->actor, r->product_id, version, on_deleted, r);
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
        product_answer_err(r, err, NULL);
        return;
    }
    firmware_hold(blob);
    content = (struct http_content){
        .data = blob->data, .data_len = blob->data_len, .release = release_blob, .ctx = (void *)blob};
    http_request_answer_content(r, 200, "application/octet-stream", &content);
}

static void on_binary(void *arg, enum fleet_err err, int64_t module_id, const char *file_name)
{
    struct http_request *r = arg;

    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK) {
        product_answer_err(r, err, NULL);
        return;
    }
    firmware_name_download(r, file_name);
    (void)firmware_get(fleet_firmware_cache(r->api->fleet), module_id, on_blob, r);
}

void product_firmware_download(struct http_request *r)
{
    int version;

    if (product_answer_read_version(r, &version))
        fleet_find_product_binary(r->api->fleet, r->product_id, version, on_binary, r);
}
