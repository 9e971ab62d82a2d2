#include "fleet/device_filter.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define NUMBER_MAX 65535

enum kind { KIND_TRI, KIND_NUMBER, KIND_TIME, KIND_TEXT };

/* The second spelling is that of the devices of a product. */
static const struct field {
    const char *name, *other; /* other: NULL, or the same by another name */
    enum kind kind;
    size_t at;
} fields[] = {
    {"requires_deep_update", NULL, KIND_TRI, offsetof(struct fleet_filter, requires_deep_update)},
    {"connected", "online", KIND_TRI, offsetof(struct fleet_filter, connected)},
    {"quarantined", NULL, KIND_TRI, offsetof(struct fleet_filter, quarantined)},
    {"development", NULL, KIND_TRI, offsetof(struct fleet_filter, development)},
    {"platform_id", "platformId", KIND_NUMBER, offsetof(struct fleet_filter, platform_id)},
    {"product_id", NULL, KIND_NUMBER, offsetof(struct fleet_filter, product_id)},
    {"firmware_version", "firmwareVersion", KIND_NUMBER, offsetof(struct fleet_filter, firmware_version)},
    {"name", NULL, KIND_TEXT, offsetof(struct fleet_filter, name)},
    {"last_heard_before", "lastHeardBefore", KIND_TIME, offsetof(struct fleet_filter, heard_before_ms)},
    {"last_heard_after", "lastHeardAfter", KIND_TIME, offsetof(struct fleet_filter, heard_after_ms)},
    {"device_id", "deviceId", KIND_TEXT, offsetof(struct fleet_filter, id_part)},
    {"device_name", "deviceName", KIND_TEXT, offsetof(struct fleet_filter, name_part)},
    {"serial", "serialNumber", KIND_TEXT, offsetof(struct fleet_filter, serial_part)},
    {"groups", NULL, KIND_TEXT, offsetof(struct fleet_filter, groups)},
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)

void fleet_filter_init(struct fleet_filter *filter)
{
    *filter = (struct fleet_filter){
        .requires_deep_update = FLEET_ANY,
        .connected = FLEET_ANY,
        .quarantined = FLEET_ANY,
        .development = FLEET_ANY,
        .platform_id = -1,
        .product_id = -1,
        .firmware_version = -1,
        .page = 1,
        .per_page = FLEET_PAGE_MAX,
    };
}

/* --- reading --- */

static bool refuse(char why[DEVICE_FILTER_WHY_SIZE], const char *name, const char *what)
{
    (void)snprintf(why, DEVICE_FILTER_WHY_SIZE, "%s %s", name, what);
    return false;
}

static bool read_tri(enum fleet_tri *tri, const char *text)
{
    bool yes = !strcmp(text, "true") || !strcmp(text, "1");
    if (!yes && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
        return false;
    *tri = yes ? FLEET_YES : FLEET_NO;
    return true;
}

static bool read_number(int *number, const char *text)
{
    size_t text_len = strlen(text);
    if (text_len == 0 || text_len > 5 || strspn(text, "0123456789") != text_len)
        return false;
    *number = (int)strtol(text, NULL, 10);
    return *number <= NUMBER_MAX;
}

static bool read_field(struct fleet_filter *filter, const struct field *field, const char *name,
                       const char *text, char why[DEVICE_FILTER_WHY_SIZE])
{
    void *at = (char *)filter + field->at;
    switch (field->kind) {
    case KIND_TRI:
        return read_tri(at, text) || refuse(why, name, "must be true or false.");
    case KIND_NUMBER:
        return read_number(at, text) || refuse(why, name, "must be a number from 0 to 65535.");
    case KIND_TIME:
        return clock_parse(at, text) || refuse(why, name, "must be a time like 2014-07-02T23:15:00.409Z.");
    case KIND_TEXT:
        break;
    }
    if (*text == '\0')
        return refuse(why, name, "must not be empty.");
    *(const char **)at = text;
    return true;
}

bool device_filter_read(struct fleet_filter *filter, const json_t *values, char why[DEVICE_FILTER_WHY_SIZE])
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const char *names[] = {fields[i].name, fields[i].other};
        for (size_t n = 0; n < 2; n++) {
            const char *text = names[n] ? json_string_value(json_object_get(values, names[n])) : NULL;
            if (text && !read_field(filter, &fields[i], names[n], text, why))
                return false;
        }
    }
    return true;
}

/* --- as JSON --- */

static const struct field *field_of(const char *name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (!strcmp(name, fields[i].name) || (fields[i].other && !strcmp(name, fields[i].other)))
            return &fields[i];
    return NULL;
}

/* Of `["a", "b"]`: `a,b`. NULL when it is no list of texts. */
static char *joined(const json_t *list)
{
    char *text = mem_string("");
    size_t i;
    json_t *one;
    json_array_foreach ((json_t *)list, i, one) {
        if (!json_is_string(one)) {
            free(text);
            return NULL;
        }
        char *longer = mem_printf("%s%s%s", text, i ? "," : "", json_string_value(one));
        free(text);
        text = longer;
    }
    return text;
}

/* NULL: it is of no type a query could have. */
static json_t *as_text(const json_t *value)
{
    char number[24];
    if (json_is_boolean(value))
        return json_string(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value)) {
        (void)snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return json_string(number);
    }
    if (json_is_string(value))
        return json_incref((json_t *)value);
    if (!json_is_array(value))
        return NULL;
    char *text = joined(value);
    json_t *made = text ? json_string(text) : NULL;
    free(text);
    return made;
}

static bool add_canonical(json_t *out, const char *name, const json_t *value,
                          char why[DEVICE_FILTER_WHY_SIZE])
{
    const struct field *field = field_of(name);
    if (!strcmp(name, "all"))
        return json_is_true(value) || refuse(why, "`all` of the filter", "must be true, or left out.");
    if (!field) {
        (void)snprintf(why, DEVICE_FILTER_WHY_SIZE, "The filter has a name that means nothing: `%.40s`.",
                       name);
        return false;
    }
    json_t *text = as_text(value);
    if (!text)
        return refuse(why, field->name, "of the filter must be true, false, a number or a text.");
    json_object_set_new(out, field->name, text);
    return true;
}

json_t *device_filter_canonical(const json_t *filter, char why[DEVICE_FILTER_WHY_SIZE])
{
    struct fleet_filter read;
    json_t *out = json_object(), *value;
    const char *name;
    bool good = json_is_object(filter) && json_object_size(filter) > 0;
    if (!good)
        (void)refuse(why, "filter",
                     "must be an object that names what devices have; {\"all\": true} is every one.");
    json_object_foreach ((json_t *)filter, name, value)
        good = good && add_canonical(out, name, value, why);
    fleet_filter_init(&read);
    if (good && device_filter_read(&read, out, why))
        return out;
    json_decref(out);
    return NULL;
}

bool device_filter_is_prefix(const struct fleet_filter *filter)
{
    size_t name_len = filter->name ? strlen(filter->name) : 0;
    return name_len && filter->name[name_len - 1] == '*';
}

void device_filter_of_product(struct fleet_filter *filter, int product_id)
{
    bool waits = filter->quarantined == FLEET_YES;
    filter->in_product = waits ? 0 : product_id;
    filter->waits_for = waits ? product_id : 0;
    filter->quarantined = FLEET_ANY;
}

/* --- parameters --- */

static struct pg_param tri(enum fleet_tri value)
{
    return value == FLEET_ANY ? pg_text(NULL) : fleet_bool(value == FLEET_YES);
}

static struct pg_param number(struct fleet_number *n, int value)
{
    return value < 0 ? pg_text(NULL) : fleet_int(n, value);
}

static struct pg_param instant(struct fleet_number *n, uint64_t wall_ms)
{
    return wall_ms ? fleet_int(n, (int64_t)wall_ms) : pg_text(NULL);
}

/* Names, ids and serial numbers are printable ASCII; a text that is not, or is longer, is none of them. */
static bool is_plausible(const char *text, size_t max)
{
    size_t len = text ? strlen(text) : 0;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0x80 || (unsigned char)text[i] < ' ')
            return false;
    return len <= max;
}

/* `ab_` becomes `ab\_` of a LIKE pattern, in lower case when either is meant. */
static size_t escape(char *out, const char *text, size_t text_len, bool lower)
{
    size_t at = 0;
    for (size_t i = 0; i < text_len; i++) {
        if (strchr("%_\\", text[i]))
            out[at++] = '\\';
        out[at++] = lower ? (char)tolower((unsigned char)text[i]) : text[i];
    }
    return at;
}

static struct pg_param prefix(char *out, const char *name)
{
    size_t at = escape(out, name, strlen(name) - 1, false);
    memcpy(out + at, "%", 2);
    return pg_text(out);
}

static struct pg_param part(char *out, const char *text)
{
    if (!text)
        return pg_text(NULL);
    *out = '%';
    size_t at = 1 + escape(out + 1, text, strlen(text), true);
    memcpy(out + at, "%", 2);
    return pg_text(out);
}

static struct pg_param copied(char *out, const char *text)
{
    return text ? pg_text(strcpy(out, text)) : pg_text(NULL);
}

static void fill_texts(struct device_filter_params *p, const struct fleet_filter *filter)
{
    struct pg_param none = pg_text(NULL), *params = p->params;
    bool whole = filter->id_part && device_id_parse(&p->id, filter->id_part, strlen(filter->id_part));
    bool begins = device_filter_is_prefix(filter);
    params[6] = begins ? none : copied(p->texts[0], filter->name);
    params[7] = begins ? prefix(p->texts[1], filter->name) : none;
    params[11] = whole ? none : part(p->texts[2], filter->id_part);
    params[12] = part(p->texts[3], filter->name_part);
    params[13] = part(p->texts[4], filter->serial_part);
    params[14] = copied(p->groups, filter->groups);
    params[17] = whole ? fleet_id(&p->id) : none;
}

bool device_filter_fill(struct device_filter_params *p, const struct fleet_actor *actor,
                        const struct fleet_filter *filter)
{
    struct pg_param *params = p->params;
    struct fleet_number *n = p->numbers;
    bool owned = actor->role == FLEET_OWNER && filter->in_product == 0 && filter->waits_for == 0;
    if (!is_plausible(filter->name, DEVICE_FILTER_TEXT_MAX + 1) ||
        !is_plausible(filter->id_part, DEVICE_FILTER_TEXT_MAX) ||
        !is_plausible(filter->name_part, DEVICE_FILTER_TEXT_MAX) ||
        !is_plausible(filter->serial_part, DEVICE_FILTER_TEXT_MAX) ||
        !is_plausible(filter->groups, DEVICE_FILTER_GROUPS_MAX))
        return false;
    params[0] = owned ? fleet_int(&n[0], actor->user_id) : pg_text(NULL);
    params[1] = tri(filter->requires_deep_update);
    params[2] = tri(filter->connected);
    params[3] = tri(filter->quarantined);
    params[4] = number(&n[1], filter->platform_id);
    params[5] = number(&n[2], filter->product_id);
    params[8] = instant(&n[3], filter->heard_before_ms);
    params[9] = instant(&n[4], filter->heard_after_ms);
    params[10] = filter->in_product ? fleet_int(&n[5], filter->in_product) : pg_text(NULL);
    params[15] = number(&n[6], filter->firmware_version);
    params[16] = tri(filter->development);
    params[18] = filter->waits_for ? fleet_int(&n[7], filter->waits_for) : pg_text(NULL);
    fill_texts(p, filter);
    return true;
}
