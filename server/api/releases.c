/* /v1/releases: named sets of module binaries: drafted, published, withdrawn. */
#include "fleet/release.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/device_json.h"
#include "api/handlers.h"
#include "api/http_request.h"
#include "api/module_json.h"
#include "api/query.h"
#include "api/respond.h"

#define ID_DIGITS_MAX 18

static void respond_release_err(struct http_request *r, enum fleet_err err, const char *why)
{
    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, "Release not found.");
    else
        respond_device_err(r, err, why);
}

static json_t *module(const json_t *row)
{
    json_t *object = json_object();

    (void)json_object_set(object, "module_id", json_object_get(row, "module_id"));
    (void)json_object_set(object, "role", json_object_get(row, "role"));
    module_json_head(object, (uint16_t)json_integer_value(json_object_get(row, "platform_id")),
                     (uint8_t)json_integer_value(json_object_get(row, "func")),
                     (uint8_t)json_integer_value(json_object_get(row, "idx")));
    (void)json_object_set(object, "version", json_object_get(row, "version"));
    (void)json_object_set(object, "size_bytes", json_object_get(row, "size_bytes"));
    (void)json_object_set(object, "status", json_object_get(row, "status"));
    return object;
}

static json_t *release_json(const struct release *release)
{
    json_t *rows = module_json_array(release->modules), *modules = json_array();
    const json_t *row;
    size_t i;

    json_array_foreach (rows, i, row)
        (void)json_array_append_new(modules, module(row));
    json_decref(rows);
    return json_pack("{sIsosssosososososo}", "id", (json_int_t)release->id, "name",
                     device_json_text(release->name), "state", release->state, "notes",
                     device_json_text(release->notes), "created_by", device_json_text(release->created_by),
                     "created_at", device_json_time(release->created_ms), "published_at",
                     device_json_time(release->published_ms), "withdrawn_reason",
                     device_json_text(release->withdrawn_reason), "modules", modules);
}

static void on_release(void *arg, enum fleet_err err, const struct release *release, const char *why)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_release_err(r, err, why);
    else
        respond_json(r, 200, json_pack("{so}", "release", release_json(release)));
}

static void on_created(void *arg, enum fleet_err err, const struct release *release, const char *why)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_release_err(r, err, why);
    else
        respond_json(r, 201, json_pack("{so}", "release", release_json(release)));
}

/* --- what a client says of a release; each reader returns false when it has answered 400 --- */

struct draft {
    struct release_change change;
    int64_t ids[RELEASE_MODULES_MAX]; /* targets, then stepping stones */
    size_t count;
};

/* Room for a person, none for what would look like an id or part a path. */
static bool is_name(const char *name)
{
    size_t characters = 0;

    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f || *c == '/')
            return false;
        characters += ((unsigned char)*c & 0xc0) != 0x80;
    }
    return characters >= 1 && characters <= RELEASE_NAME_MAX && name[0] != ' ' &&
           name[strlen(name) - 1] != ' ' && strspn(name, "0123456789") != strlen(name);
}

static bool read_name(struct http_request *r, struct draft *d, bool is_needed)
{
    char what[120];
    enum field field = body_get_string(&r->body, "name", &d->change.name);

    if ((field == FIELD_ABSENT && !is_needed) || (field == FIELD_OK && is_name(d->change.name)))
        return true;
    (void)snprintf(what, sizeof(what), "must have 1 to %d characters, no slash, and not digits alone.",
                   RELEASE_NAME_MAX);
    respond_bad_field(r, "name", what);
    return false;
}

static bool read_notes(struct http_request *r, struct draft *d)
{
    char what[64];
    enum field field = body_get_string(&r->body, "notes", &d->change.notes);

    if (field == FIELD_NULL)
        d->change.notes = "";
    if (field != FIELD_WRONG && (field != FIELD_OK || strlen(d->change.notes) <= RELEASE_NOTES_MAX))
        return true;
    (void)snprintf(what, sizeof(what), "must be text of at most %d bytes.", RELEASE_NOTES_MAX);
    respond_bad_field(r, "notes", what);
    return false;
}

static bool read_id(const json_t *value, int64_t *id)
{
    const char *text = json_string_value(value);

    *id = json_integer_value(value);
    if (text != NULL && strlen(text) <= ID_DIGITS_MAX && strspn(text, "0123456789") == strlen(text))
        *id = strtoll(text, NULL, 10);
    return *id > 0;
}

static bool read_modules(struct http_request *r, struct draft *d, const char *field, const int64_t **ids,
                         size_t *count)
{
    const json_t *list = json_object_get(r->body.fields, field), *value;
    char what[64];
    size_t i;

    *ids = d->ids + d->count;
    *count = 0;
    if (list == NULL)
        return true;
    d->change.has_modules = true;
    if (!json_is_array(list)) {
        respond_bad_field(r, field, "must be a list of firmware ids.");
        return false;
    }
    if (json_array_size(list) > RELEASE_MODULES_MAX - d->count) {
        (void)snprintf(what, sizeof(what), "is too long: a release has at most %d modules.",
                       RELEASE_MODULES_MAX);
        respond_bad_field(r, field, what);
        return false;
    }
    json_array_foreach (list, i, value) {
        if (!read_id(value, &d->ids[d->count++])) {
            respond_bad_field(r, field, "must be a list of firmware ids.");
            return false;
        }
    }
    *count = json_array_size(list);
    return true;
}

static bool read_draft(struct http_request *r, struct draft *d, bool is_new)
{
    return read_name(r, d, is_new) && read_notes(r, d) &&
           read_modules(r, d, "targets", &d->change.targets, &d->change.target_count) &&
           read_modules(r, d, "stepping_stones", &d->change.stepping_stones, &d->change.stepping_stone_count);
}

void release_create(struct http_request *r)
{
    struct draft *d = http_request_scratch(r, sizeof(*d));

    if (read_draft(r, d, true))
        fleet_create_release(r->api->fleet, &r->actor, &d->change, on_created, r);
}

void release_edit(struct http_request *r)
{
    struct draft *d = http_request_scratch(r, sizeof(*d));

    if (read_draft(r, d, false))
        fleet_edit_release(r->api->fleet, &r->actor, http_request_param(r, "release"), &d->change, on_release,
                           r);
}

void release_publish(struct http_request *r)
{
    fleet_publish_release(r->api->fleet, &r->actor, http_request_param(r, "release"), on_release, r);
}

void release_withdraw(struct http_request *r)
{
    const char *reason;

    if (module_json_reason(r, &reason))
        fleet_withdraw_release(r->api->fleet, &r->actor, http_request_param(r, "release"), reason, on_release,
                               r);
}

/* --- reading --- */

void release_read(struct http_request *r)
{
    fleet_get_release(r->api->fleet, http_request_param(r, "release"), on_release, r);
}

struct page {
    uint32_t page, per_page;
};

static void on_list(void *arg, enum fleet_err err, const struct release *rows, size_t count, uint64_t total)
{
    struct http_request *r = arg;
    const struct page *p = r->scratch;
    json_t *list;

    if (err != FLEET_OK) {
        respond_release_err(r, err, NULL);
        return;
    }
    list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, release_json(&rows[i]));
    respond_json(r, 200,
                 json_pack("{soso}", "releases", list, "meta", query_meta(p->page, p->per_page, total)));
}

void releases_list(struct http_request *r)
{
    struct page *p = http_request_scratch(r, sizeof(*p));

    if (query_page(r, &p->page, &p->per_page))
        fleet_list_releases(r->api->fleet, p->page, p->per_page, on_list, r);
}
