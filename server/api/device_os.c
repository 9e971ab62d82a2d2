/* /v1/device-os/versions and /v1/build_targets: which Device OS there is. The former are the system parts of
 * published releases; of the latter there are none, since nothing is compiled here. */
#include "api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "api/http_request.h"
#include "api/respond.h"
#include "fleet/system_version.h"
#include "module/module_names.h"

#define PLATFORM_MAX 65535
#define PER_PAGE_DEFAULT 25

struct listing {
    int64_t platform_id, page, per_page;
    const char *version; /* of the path; NULL: all */
};

static json_t *version_json(const struct system_version *row)
{
    json_t *platforms = json_loads(row->platforms, 0, NULL);

    return json_pack("{sssssiso}", "version", row->release, "release_state", "ga", "internal_version",
                     row->version, "platforms", platforms != NULL ? platforms : json_array());
}

static void respond_one(struct http_request *r, const struct system_version *rows, size_t count)
{
    const struct listing *listing = r->scratch;

    for (size_t i = 0; i < count; i++) {
        if (strcmp(listing->version, rows[i].release) == 0 ||
            (i == 0 && strcmp(listing->version, "latest") == 0)) {
            respond_json(r, 200, version_json(&rows[i]));
            return;
        }
    }
    respond_error(r, 404, "Device OS version not found");
}

static void respond_page(struct http_request *r, const struct system_version *rows, size_t count)
{
    const struct listing *listing = r->scratch;
    json_t *list = json_array();
    size_t first = (size_t)((listing->page - 1) * listing->per_page);
    size_t end = first + (size_t)listing->per_page < count ? first + (size_t)listing->per_page : count;

    for (size_t i = first; i < end; i++)
        (void)json_array_append_new(list, version_json(&rows[i]));
    respond_json(r, 200,
                 json_pack("{sos{sIsIsIsI}}", "versions", list, "meta", "page", (json_int_t)listing->page,
                           "per_page", (json_int_t)listing->per_page, "total_pages",
                           (json_int_t)((count + (size_t)listing->per_page - 1) / (size_t)listing->per_page),
                           "total_records", (json_int_t)count));
}

static void on_list(void *arg, enum fleet_err err, const struct system_version *rows, size_t count)
{
    struct http_request *r = arg;

    if (err != FLEET_OK) {
        respond_device_err(r, err, NULL);
        return;
    }
    if (((const struct listing *)r->scratch)->version != NULL)
        respond_one(r, rows, count);
    else
        respond_page(r, rows, count);
}

/* False when it has answered 400. */
static bool read_number(struct http_request *r, const char *name, int64_t least, int64_t most, int64_t *value)
{
    const char *text = http_request_query(r, name);

    if (text == NULL)
        return true;
    *value = *text != '\0' && strlen(text) <= 9 && strspn(text, "0123456789") == strlen(text)
                 ? strtol(text, NULL, 10)
                 : -1;
    if (*value >= least && *value <= most)
        return true;
    respond_bad_field(r, name, "is not a number that fits.");
    return false;
}

static void list(struct http_request *r, const char *version)
{
    struct listing *listing = http_request_scratch(r, sizeof(*listing));

    *listing =
        (struct listing){.platform_id = -1, .page = 1, .per_page = PER_PAGE_DEFAULT, .version = version};
    if (read_number(r, "platform_id", 0, PLATFORM_MAX, &listing->platform_id) &&
        read_number(r, "page", 1, SYSTEM_VERSIONS_MAX, &listing->page) &&
        read_number(r, "per_page", 1, SYSTEM_VERSIONS_MAX, &listing->per_page))
        fleet_list_system_versions(r->api->fleet, (int)listing->platform_id, on_list, r);
}

void device_os_list(struct http_request *r)
{
    list(r, NULL);
}

void device_os_read(struct http_request *r)
{
    list(r, http_request_param(r, "os_version"));
}

void build_targets_list(struct http_request *r)
{
    json_t *platforms = json_object();

    for (uint16_t id = 0; id < UINT8_MAX; id++) {
        const char *name = module_platform_name(id);
        if (name != NULL)
            (void)json_object_set_new(platforms, name, json_integer(id));
    }
    respond_json(r, 200, json_pack("{s[]so}", "targets", "platforms", platforms));
}
