/* /v1/products/:product/groups: the groups of a product. */
#include "fleet/product_group.h"

#include <string.h>

#include "api/device_json.h"
#include "api/handlers.h"
#include "api/http_request.h"
#include "api/respond.h"

static void respond_group_err(struct http_request *r, enum fleet_err err, const char *why)
{
    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, "Group not found");
    else
        respond_device_err(r, err, why);
}

static json_t *group_json(const struct product_group *g)
{
    return json_pack("{sssosososI}", "name", g->name, "description", device_json_text(g->description),
                     "color", device_json_text(g->color), "fw_version",
                     g->firmware_version >= 0 ? json_integer(g->firmware_version) : json_null(),
                     "device_count", (json_int_t)g->device_count);
}

static void respond_group(struct http_request *r, unsigned status, enum fleet_err err,
                          const struct product_group *group, const char *why)
{
    if (err != FLEET_OK)
        respond_group_err(r, err, why);
    else
        respond_json(r, status, json_pack("{so}", "group", group_json(group)));
}

static void on_group(void *arg, enum fleet_err err, const struct product_group *group, const char *why)
{
    respond_group(arg, 200, err, group, why);
}

static void on_created(void *arg, enum fleet_err err, const struct product_group *group, const char *why)
{
    respond_group(arg, 201, err, group, why);
}

void product_group_read(struct http_request *r)
{
    fleet_get_group(r->api->fleet, r->product_id, http_request_param(r, "group"), on_group, r);
}

/* --- what a client says of a group; each reader returns false when it has answered 400 --- */

static bool read_name(struct http_request *r, struct product_group_change *change, bool is_needed)
{
    enum field field = body_get_string(&r->body, "name", &change->name);

    if ((field == FIELD_ABSENT && !is_needed) || (field == FIELD_OK && product_group_is_name(change->name)))
        return true;
    respond_bad_field(r, "name", "must have 1 to 64 small letters, digits, `-` or `_`.");
    return false;
}

static bool read_text(struct http_request *r, const char *name, size_t max_bytes, const char **text,
                      const char *what)
{
    enum field field = body_get_string(&r->body, name, text);

    if (field == FIELD_NULL)
        *text = "";
    if (field != FIELD_WRONG && (field != FIELD_OK || strlen(*text) <= max_bytes))
        return true;
    respond_bad_field(r, name, what);
    return false;
}

static bool read_change(struct http_request *r, struct product_group_change *change, bool is_new)
{
    return read_name(r, change, is_new) &&
           read_text(r, "description", GROUP_DESCRIPTION_MAX, &change->description,
                     "must be text of at most 1024 bytes.") &&
           read_text(r, "color", GROUP_COLOR_MAX, &change->color, "must be text of at most 32 bytes.");
}

void product_group_create(struct http_request *r)
{
    struct product_group_change change = {.name = NULL};

    if (read_change(r, &change, true))
        fleet_create_group(r->api->fleet, &r->actor, r->product_id, &change, on_created, r);
}

void product_group_edit(struct http_request *r)
{
    struct product_group_change change = {.name = NULL};

    if (!read_change(r, &change, false))
        return;
    if (change.name == NULL && change.description == NULL && change.color == NULL)
        respond_error(r, 400, "Nothing to do?");
    else
        fleet_change_group(r->api->fleet, &r->actor, r->product_id, http_request_param(r, "group"), &change,
                           on_group, r);
}

static void on_deleted(void *arg, enum fleet_err err, const struct product_group *group, const char *why)
{
    struct http_request *r = arg;

    (void)group;
    if (err != FLEET_OK)
        respond_group_err(r, err, why);
    else
        respond_no_content(r);
}

void product_group_delete(struct http_request *r)
{
    fleet_delete_group(r->api->fleet, &r->actor, r->product_id, http_request_param(r, "group"), on_deleted,
                       r);
}

/* --- the list --- */

static void on_list(void *arg, enum fleet_err err, const struct product_group *rows, size_t count)
{
    struct http_request *r = arg;
    json_t *list;

    if (err != FLEET_OK) {
        respond_group_err(r, err, NULL);
        return;
    }
    list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, group_json(&rows[i]));
    respond_json(r, 200, json_pack("{so}", "groups", list));
}

void product_groups_list(struct http_request *r)
{
    fleet_list_groups(r->api->fleet, r->product_id, http_request_query(r, "name"), on_list, r);
}
