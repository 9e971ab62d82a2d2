/* /v1/products: products listed, made, read, changed, deleted. Others of their paths are in product_*.c. */
#include "fleet/product.h"

#include <string.h>

#include "api/device_json.h"
#include "api/handlers.h"
#include "api/http_request.h"
#include "api/module_json.h"
#include "api/query.h"
#include "api/respond.h"

#define PER_PAGE_DEFAULT 1000 /* clients read the one page that they ask for as all there is */
#define PLATFORM_MAX 65535
#define LOCATION_MAX_BYTES 4096

static void respond_product_err(struct http_request *r, enum fleet_err err, const char *why)
{
    if (err == FLEET_NOT_FOUND)
        respond_error(r, 404, "Product not found");
    else if (err == FLEET_FORBIDDEN)
        respond_forbidden(r, why);
    else
        respond_device_err(r, err, why);
}

/* With what was never set as it counts then. */
static json_t *settings_json(const char *text)
{
    json_t *settings =
        json_pack("{s{}s{sb}sb}", "location", "known_application", "opt_in", 0, "quarantine", 1);
    json_t *set = json_loads(text, 0, NULL);

    (void)json_object_update(settings, set);
    json_decref(set);
    return settings;
}

static json_t *product_json(const struct product *p)
{
    return json_pack("{sisisosssosososo}", "id", p->id, "platform_id", p->platform_id, "name",
                     device_json_text(p->name), "slug", p->slug, "description",
                     device_json_text(p->description), "user", device_json_text(p->owner), "groups",
                     module_json_array(p->groups), "settings", settings_json(p->settings));
}

static void on_product(void *arg, enum fleet_err err, const struct product *product, const char *why)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_product_err(r, err, why);
    else
        respond_json(r, 200, json_pack("{so}", "product", product_json(product)));
}

static void on_created(void *arg, enum fleet_err err, const struct product *product, const char *why)
{
    struct http_request *r = arg;

    if (err != FLEET_OK)
        respond_product_err(r, err, why);
    else
        respond_json(r, 201, json_pack("{sbso}", "ok", 1, "product", product_json(product)));
}

void product_read(struct http_request *r)
{
    fleet_get_product(r->api->fleet, r->product_id, on_product, r);
}

/* --- what a client says of a product; each reader returns false when it has answered 400 --- */

/* Fields come in an object `product`, in a form as `product[name]`, or as they are. */
static void unwrap(struct body *b)
{
    static const char prefix[] = "product[";
    json_t *inner = json_object_get(b->fields, "product");
    json_t *value, *flat;
    const char *key;

    if (json_is_object(inner)) {
        json_incref(inner);
        json_decref(b->fields);
        b->fields = inner;
        return;
    }
    flat = json_object();
    json_object_foreach (b->fields, key, value) {
        size_t len = strlen(key);
        if (len > sizeof(prefix) && strncmp(key, prefix, sizeof(prefix) - 1) == 0 && key[len - 1] == ']')
            (void)json_object_setn_new(flat, key + sizeof(prefix) - 1, len - sizeof(prefix),
                                       json_incref(value));
    }
    (void)json_object_update(b->fields, flat);
    json_decref(flat);
}

static bool is_name(const char *name)
{
    size_t characters = 0;

    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
        characters += ((unsigned char)*c & 0xc0) != 0x80;
    }
    return characters >= 1 && characters <= PRODUCT_NAME_MAX && strspn(name, " ") < strlen(name);
}

static bool read_name(struct http_request *r, struct product_change *change, bool is_needed)
{
    enum field field = body_get_string(&r->body, "name", &change->name);

    if ((field == FIELD_ABSENT && !is_needed) || (field == FIELD_OK && is_name(change->name)))
        return true;
    respond_bad_field(r, "name", "must have 1 to 64 characters.");
    return false;
}

static bool read_description(struct http_request *r, struct product_change *change)
{
    enum field field = body_get_string(&r->body, "description", &change->description);

    if (field == FIELD_NULL)
        change->description = "";
    if (field != FIELD_WRONG && (field != FIELD_OK || strlen(change->description) <= PRODUCT_DESCRIPTION_MAX))
        return true;
    respond_bad_field(r, "description", "must be text of at most 4096 bytes.");
    return false;
}

static bool read_platform(struct http_request *r, struct product_change *change, bool is_new)
{
    int64_t platform = -1;
    enum field field = body_get_int(&r->body, "platform_id", &platform);

    if (!is_new && field == FIELD_ABSENT)
        return true;
    if (!is_new) {
        respond_bad_field(r, "platform_id", "of a product cannot be changed.");
        return false;
    }
    if (field != FIELD_OK || platform < 0 || platform > PLATFORM_MAX) {
        respond_bad_field(r, "platform_id", "must be the number of a platform, for example 12 for Argons.");
        return false;
    }
    change->platform_id = (int)platform;
    return true;
}

static bool read_quarantine(struct http_request *r, const struct body *from, json_t *out)
{
    bool quarantine = true;
    enum field field = body_get_bool(from, "quarantine", &quarantine);

    if (field == FIELD_OK)
        (void)json_object_set_new(out, "quarantine", json_boolean(quarantine));
    if (field == FIELD_OK || field == FIELD_ABSENT)
        return true;
    respond_bad_field(r, "quarantine", "must be true or false.");
    return false;
}

static bool read_known_application(struct http_request *r, const json_t *settings, json_t *out)
{
    const json_t *known = json_object_get(settings, "known_application");
    const json_t *opt_in = json_object_get(known, "opt_in");

    if (known == NULL)
        return true;
    if (json_is_boolean(opt_in)) {
        (void)json_object_set_new(out, "known_application",
                                  json_pack("{sb}", "opt_in", (int)json_is_true(opt_in)));
        return true;
    }
    respond_bad_field(r, "known_application", "must be {\"opt_in\": true} or false.");
    return false;
}

static bool read_location(struct http_request *r, const json_t *settings, json_t *out)
{
    json_t *location = json_object_get(settings, "location");

    if (location == NULL)
        return true;
    if (json_is_object(location) && json_dumpb(location, NULL, 0, JSON_COMPACT) <= LOCATION_MAX_BYTES) {
        (void)json_object_set(out, "location", location);
        return true;
    }
    respond_bad_field(r, "location", "must be an object of at most 4096 bytes.");
    return false;
}

/* In the request's scratch memory. */
struct said {
    struct product_change change;
    char settings[LOCATION_MAX_BYTES + 256];
};

/* `settings` as they are answered, or `quarantine` alone; others are ignored, like all unknown fields. */
static bool read_settings(struct http_request *r, struct said *said)
{
    json_t *settings = json_object_get(r->body.fields, "settings");
    json_t *out = json_object();
    const struct body inner = {.fields = settings};
    bool fine = read_quarantine(r, &r->body, out);

    if (fine && json_is_object(settings))
        fine = read_quarantine(r, &inner, out) && read_known_application(r, settings, out) &&
               read_location(r, settings, out);
    else if (fine && settings != NULL) {
        respond_bad_field(r, "settings", "must be an object.");
        fine = false;
    }
    if (fine && json_object_size(out) > 0) {
        size_t len = json_dumpb(out, said->settings, sizeof(said->settings) - 1, JSON_COMPACT);
        must(len < sizeof(said->settings));
        said->settings[len] = '\0';
        said->change.settings = said->settings;
    }
    json_decref(out);
    return fine;
}

static bool read_change(struct http_request *r, struct said *said, bool is_new)
{
    unwrap(&r->body);
    return read_name(r, &said->change, is_new) && read_platform(r, &said->change, is_new) &&
           read_description(r, &said->change) && read_settings(r, said);
}

void product_create(struct http_request *r)
{
    struct said *said = http_request_scratch(r, sizeof(*said));

    if (read_change(r, said, true))
        fleet_create_product(r->api->fleet, &r->actor, &said->change, on_created, r);
}

void product_edit(struct http_request *r)
{
    struct said *said = http_request_scratch(r, sizeof(*said));

    if (!read_change(r, said, false))
        return;
    if (said->change.name == NULL && said->change.description == NULL && said->change.settings == NULL)
        respond_error(r, 400, "Nothing to do?");
    else
        fleet_change_product(r->api->fleet, &r->actor, r->product_id, &said->change, on_product, r);
}

static void on_deleted(void *arg, enum fleet_err err, const struct product *product, const char *why)
{
    struct http_request *r = arg;

    (void)product;
    if (err != FLEET_OK)
        respond_product_err(r, err, why);
    else
        respond_no_content(r);
}

void product_delete(struct http_request *r)
{
    fleet_delete_product(r->api->fleet, &r->actor, r->product_id, on_deleted, r);
}

/* --- the list --- */

struct page {
    uint32_t page, per_page;
};

static void on_list(void *arg, enum fleet_err err, const struct product *rows, size_t count, uint64_t total)
{
    struct http_request *r = arg;
    const struct page *p = r->scratch;
    json_t *list;

    if (err != FLEET_OK) {
        respond_product_err(r, err, NULL);
        return;
    }
    list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, product_json(&rows[i]));
    respond_json(r, 200,
                 json_pack("{soso}", "products", list, "meta", query_meta(p->page, p->per_page, total)));
}

void products_list(struct http_request *r)
{
    struct page *p = http_request_scratch(r, sizeof(*p));
    int page = 1, per_page = PER_PAGE_DEFAULT;

    if (!query_number(r, "page", 1, QUERY_PAGE_MAX, &page) ||
        !query_number(r, "per_page", 1, QUERY_PER_PAGE_MAX, &per_page))
        return;
    *p = (struct page){.page = (uint32_t)page, .per_page = (uint32_t)per_page};
    fleet_list_products(r->api->fleet, &r->actor, p->page, p->per_page, on_list, r);
}
