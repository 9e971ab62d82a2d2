/* PUT /v1/products/:product/firmware/release: a version for groups or for all devices of a product; and
 * GET /v1/products/:product/impact: what that would do. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/product_answer.h"
#include "api/query.h"
#include "api/respond.h"
#include "base/mem.h"
#include "fleet/product_firmware.h"

#define GROUPS_MAX 256
#define GROUP_NAME_MAX 64 /* bytes */
#define IMPACT_ACTION "edit_groups_for_firmware"

/* What is asked for; names are those of texts. */
struct wish {
    struct product_firmware_release release;
    const char *groups[GROUPS_MAX];
    char *texts; /* ours: names that came separated by commas; NULL: none did */
    bool says_default, says_groups;
};

static void wish_deinit(struct wish *w)
{
    free(w->texts);
    w->texts = NULL;
}

static bool add_group(struct wish *w, const char *name)
{
    if (name == NULL || *name == '\0' || strlen(name) > GROUP_NAME_MAX ||
        w->release.group_count == GROUPS_MAX)
        return false;
    w->groups[w->release.group_count++] = name;
    return true;
}

static bool add_separated(struct wish *w, const char *text)
{
    char *place = NULL;

    if (w->texts != NULL)
        return false;
    w->texts = mem_string(text);
    for (char *name = strtok_r(w->texts, ",", &place); name != NULL; name = strtok_r(NULL, ",", &place)) {
        if (!add_group(w, name))
            return false;
    }
    return true;
}

/* A list of names, or names separated by commas. */
static bool add_groups(struct wish *w, const json_t *groups)
{
    const json_t *name;
    size_t i;

    if (json_is_string(groups))
        return add_separated(w, json_string_value(groups));
    if (!json_is_array(groups))
        return false;
    json_array_foreach (groups, i, name) {
        if (!add_group(w, json_string_value(name)))
            return false;
    }
    return true;
}

/* Each reader returns false when it has answered 400. */
static bool read_groups(struct http_request *r, struct wish *w, const json_t *groups)
{
    w->release.groups = w->groups;
    w->says_groups = groups != NULL && !json_is_null(groups);
    if (!w->says_groups || add_groups(w, groups))
        return true;
    respond_bad_field(r, "groups", "must be a list of at most 256 names of groups.");
    return false;
}

static bool read_version(struct http_request *r, struct wish *w)
{
    int64_t number;

    if (body_get_int(&r->body, "version", &number) == FIELD_OK && number >= 1 &&
        number <= PRODUCT_FIRMWARE_VERSION_MAX) {
        w->release.version = (int)number;
        return true;
    }
    respond_bad_field(r, "version", "must be a number from 1 to 65535.");
    return false;
}

static bool read_bool(struct http_request *r, const char *name, bool *value, bool *is_said)
{
    enum field kind = body_get_bool(&r->body, name, value);

    *is_said = *is_said || kind == FIELD_OK;
    if (kind != FIELD_WRONG)
        return true;
    respond_bad_field(r, name, "must be true or false.");
    return false;
}

/* A release that says to whom neither way is one to all, as before there were groups. */
static bool read_release(struct http_request *r, struct wish *w)
{
    bool at_once = false, says_at_once = false;

    if (!read_version(r, w) || !read_groups(r, w, json_object_get(r->body.fields, "groups")) ||
        !read_bool(r, "product_default", &w->release.is_default, &w->says_default) ||
        !read_bool(r, "intelligent", &w->release.at_once, &says_at_once) ||
        !read_bool(r, "immediate", &at_once, &says_at_once))
        return false;
    w->release.at_once = w->release.at_once || at_once;
    if (!w->says_default && !w->says_groups)
        w->release.is_default = true;
    if (w->release.is_default || w->release.group_count > 0)
        return true;
    respond_error(r, 400, "Say to whom: product_default, or groups.");
    return false;
}

void product_firmware_release(struct http_request *r)
{
    struct wish w = {.release = {.product_id = r->product_id}};

    if (read_release(r, &w))
        fleet_release_product_firmware(r->api->fleet, &r->actor, &w.release, product_answer_json, r);
    wish_deinit(&w);
}

/* --- what it would do --- */

static bool read_impact(struct http_request *r, struct wish *w)
{
    const char *action = http_request_query(r, "action"),
               *is_default = http_request_query(r, "product_default");
    const char *groups = http_request_query(r, "groups");

    if (groups == NULL)
        groups = http_request_query(r, "groups[]");
    if (action == NULL || strcmp(action, IMPACT_ACTION) != 0) {
        respond_bad_field(r, "action", "must be " IMPACT_ACTION ".");
        return false;
    }
    w->release.version = 0;
    if (!query_number(r, "firmware_version", 1, PRODUCT_FIRMWARE_VERSION_MAX, &w->release.version))
        return false;
    if (w->release.version == 0) {
        respond_bad_field(r, "firmware_version", "must be a number from 1 to 65535.");
        return false;
    }
    w->release.groups = w->groups;
    if (groups != NULL && !add_separated(w, groups)) {
        respond_bad_field(r, "groups", "must be at most 256 names of groups, separated by commas.");
        return false;
    }
    w->release.is_default =
        is_default != NULL && (strcmp(is_default, "true") == 0 || strcmp(is_default, "1") == 0);
    return true;
}

void product_impact_read(struct http_request *r)
{
    struct wish w = {.release = {.product_id = r->product_id}};

    if (read_impact(r, &w))
        fleet_preview_product_firmware(r->api->fleet, &w.release, product_answer_json, r);
    wish_deinit(&w);
}
