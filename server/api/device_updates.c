/* PUT /v1/devices/:device with a file: flashes it; GET /v1/devices/:device/updates and the end of one. */
#include "api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "api/device_json.h"
#include "api/form.h"
#include "api/reached.h"
#include "api/respond.h"
#include "device/describe.h"
#include "fleet/device_updates.h"
#include "fleet/firmware.h"

#define PER_PAGE_DEFAULT 25
#define PER_PAGE_MAX 100
#define PAGE_MAX 100000

/* --- flash --- */

/* What the database tells as milliseconds, clients read as ISO 8601. */
static void set_time(json_t *object, const char *key)
{
    json_int_t wall_ms = json_integer_value(json_object_get(object, key));

    (void)json_object_set_new(object, key, device_json_time(wall_ms > 0 ? (uint64_t)wall_ms : 0));
}

static void respond_held(struct http_request *r, const char *held_by)
{
    json_t *holder = held_by != NULL ? json_loads(held_by, 0, NULL) : NULL;

    if (holder != NULL)
        set_time(holder, "since");
    respond_json(r, 409,
                 json_pack("{sbsss[s]so}", "ok", 0, "error", "This device is being updated already.",
                           "errors", "This device is being updated already.", "held_by",
                           holder != NULL ? holder : json_null()));
}

static void on_flash(void *arg, enum fleet_err err, const struct fleet_flash *flash)
{
    struct http_request *r = arg;
    char id[DEVICE_ID_TEXT_SIZE];

    switch (err) {
    case FLEET_OK:
        device_id_format(id, &flash->id);
        respond_json(r, 200, json_pack("{ssss}", "id", id, "status", "Update started"));
        return;
    case FLEET_CONFLICT:
        if (flash->is_offline)
            respond_error(r, 408, "Timed out.");
        else
            respond_held(r, flash->held_by);
        return;
    default:
        respond_device_err(r, err, flash->why);
    }
}

/* NOLINTNEXTLINE(readability-function-size): the signature is the fleet's */
static void on_uploaded(void *arg, enum fleet_err err, const struct firmware *firmware, bool is_new,
                        const char *why)
{
    struct http_request *r = arg;

    (void)is_new;
    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK)
        respond_device_err(r, err, why);
    else
        fleet_flash_device(r->api->fleet, &r->actor, http_request_device(r), firmware->id, on_flash, r);
}

static void on_found(void *arg, enum fleet_err err, const struct fleet_device *device)
{
    struct http_request *r = arg;
    struct form_file *file;

    if (!http_request_continue(r))
        return;
    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    if (!reached_may_ask(r, device))
        return;
    if (!device->connected) {
        respond_error(r, 408, "Timed out.");
        return;
    }
    file = http_request_file(r);
    uint8_t *data = file->data;
    file->data = NULL;
    fleet_upload_firmware(r->api->fleet, &r->actor, data, file->data_len, file->name, on_uploaded, r);
}

static bool is_source(const char *name)
{
    static const char *const endings[] = {".ino", ".cpp", ".c", ".h", ".hpp", ".properties"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot != NULL && i < sizeof(endings) / sizeof(endings[0]); i++) {
        if (strcmp(dot, endings[i]) == 0)
            return true;
    }
    return false;
}

void device_flash(struct http_request *r)
{
    const struct form_file *file = http_request_file(r);

    if (is_source(file->name))
        respond_error(r, 501, "compile is not supported by this server");
    else if (!respond_extra_files(
                 r)) /* first whether there is such a device: a file that is for nobody is not kept */
        fleet_get_device(r->api->fleet, &r->actor, http_request_device(r), on_found, r);
}

/* --- list --- */

static json_t *step_json(json_t *step)
{
    uint8_t function = (uint8_t)json_integer_value(json_object_get(step, "func"));
    char letter[2] = {module_function_letter(function), '\0'};

    (void)json_object_set_new(step, "function", device_json_text(letter));
    (void)json_object_del(step, "func");
    set_time(step, "started_at");
    set_time(step, "ended_at");
    return step;
}

static json_t *update_json(json_t *update)
{
    json_t *step;
    size_t i;

    json_array_foreach (json_object_get(update, "steps"), i, step)
        (void)step_json(step);
    set_time(update, "created_at");
    set_time(update, "next_at");
    set_time(update, "started_at");
    set_time(update, "ended_at");
    return update;
}

struct page {
    int64_t page, per_page;
};

static void on_updates(void *arg, enum fleet_err err, const char *updates, uint64_t total)
{
    struct http_request *r = arg;
    const struct page *page = r->scratch;
    json_t *list, *update;
    size_t i;

    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    list = json_loads(updates, 0, NULL);
    json_array_foreach (list, i, update)
        (void)update_json(update);
    json_int_t pages = ((json_int_t)total + page->per_page - 1) / page->per_page;
    respond_json(r, 200,
                 json_pack("{sos{sIsIsIsI}}", "updates", list != NULL ? list : json_array(), "meta", "page",
                           (json_int_t)page->page, "per_page", (json_int_t)page->per_page, "total_pages",
                           pages, "total_records", (json_int_t)total));
}

/* False when it has answered 400. */
static bool read_count(struct http_request *r, const char *name, int64_t most, int64_t *value)
{
    const char *text = http_request_query(r, name);

    if (text == NULL)
        return true;
    *value = *text != '\0' && strlen(text) <= 9 && strspn(text, "0123456789") == strlen(text)
                 ? strtol(text, NULL, 10)
                 : 0;
    if (*value >= 1 && *value <= most)
        return true;
    respond_bad_field(r, name, "must be a number from 1 on.");
    return false;
}

void updates_list(struct http_request *r)
{
    struct page *page = http_request_scratch(r, sizeof(*page));

    *page = (struct page){.page = 1, .per_page = PER_PAGE_DEFAULT};
    if (read_count(r, "page", PAGE_MAX, &page->page) &&
        read_count(r, "per_page", PER_PAGE_MAX, &page->per_page))
        fleet_list_updates(r->api->fleet, &r->actor, http_request_device(r), (uint32_t)page->page,
                           (uint32_t)page->per_page, on_updates, r);
}

/* --- cancel --- */

static void on_cancelled(void *arg, enum fleet_err err)
{
    struct http_request *r = arg;

    if (err == FLEET_CONFLICT)
        respond_error(r, 409, "This update is over, or the device is applying it already.");
    else if (err != FLEET_OK)
        respond_device_err(r, err, NULL);
    else
        respond_ok(r);
}

void updates_cancel(struct http_request *r)
{
    const char *text = http_request_param(r, "update");

    if (*text == '\0' || strlen(text) > 15 || strspn(text, "0123456789") != strlen(text))
        respond_error(r, 404, "No such update.");
    else
        fleet_cancel_update(r->api->fleet, &r->actor, http_request_device(r), strtoll(text, NULL, 10),
                            on_cancelled, r);
}
