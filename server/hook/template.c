#include "hook/template.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NAME_MAX_BYTES 128

struct text {
    char *data; /* ours */
    size_t len, size;
    size_t *room; /* as values have it */
};

static void put(struct text *t, const char *data, size_t data_len)
{
    if (t->room && data_len > *t->room) {
        *t->room = 0;
        return;
    }
    if (t->room)
        *t->room -= data_len;
    if (t->len + data_len + 1 > t->size) {
        t->size = (t->len + data_len + 1) * 2;
        t->data = mem_grow(t->data, t->size, 1);
    }
    memcpy(t->data + t->len, data, data_len);
    t->len += data_len;
    t->data[t->len] = '\0';
}

static void put_html(struct text *t, const char *value)
{
    static const char *const entities[] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"};
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        const char *entity = c < sizeof entities / sizeof *entities ? entities[c] : NULL;
        if (entity)
            put(t, entity, strlen(entity));
        else
            put(t, value, 1);
    }
}

static void put_percent(struct text *t, const char *value)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        char hex[3] = {'%', digits[c >> 4], digits[c & 15]};
        if ((isalnum(c) && c < 0x80) || strchr("-._~", c)) {
            put(t, value, 1);
            continue;
        }
        put(t, hex, sizeof hex);
    }
}

char *template_percent(const char *text)
{
    struct text t = {.data = NULL};
    put(&t, "", 0);
    put_percent(&t, text);
    return t.data;
}

/* --- one variable --- */

struct variable {
    char name[NAME_MAX_BYTES + 1];
    bool is_plain;  /* not to be escaped */
    size_t src_len; /* with its braces */
};

/* What stands at text, which begins with two braces. False: no variable of ours. */
static bool variable_read(struct variable *v, const char *text)
{
    bool is_triple = text[2] == '{', is_and = !is_triple && text[2] == '&';
    const char *name = text + 2 + (is_triple || is_and), *end = strstr(name, is_triple ? "}}}" : "}}");
    if (!end)
        return false;
    v->src_len = (size_t)(end - text) + (is_triple ? 3 : 2);
    v->is_plain = is_triple || is_and;
    while (name < end && *name == ' ')
        name++;
    while (end > name && end[-1] == ' ')
        end--;
    size_t name_len = (size_t)(end - name);
    if (name_len == 0 || name_len > NAME_MAX_BYTES || strchr("#^/!>=&{", *name))
        return false;
    for (size_t i = 0; i < name_len; i++)
        if ((unsigned char)name[i] <= ' ' || name[i] == '{' || name[i] == '}')
            return false;
    memcpy(v->name, name, name_len);
    v->name[name_len] = '\0';
    return true;
}

const char *template_flaw(const char *text)
{
    struct variable v;
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, "{{")) != NULL; at += v.src_len) {
        if (!variable_read(&v, at))
            return "Of templates only plain variables are supported, {{NAME}} or {{{NAME}}}: no sections, "
                   "partials or "
                   "comments.";
        if (++count > TEMPLATE_VARIABLES_MAX)
            return "A template may have at most 64 variables.";
    }
    return NULL;
}

size_t template_variables(const char *text)
{
    struct variable v;
    size_t count = 0;
    for (; (text = strstr(text, "{{")) != NULL && variable_read(&v, text); text += v.src_len)
        count++;
    return count;
}

static const json_t *member(const json_t *value, const char *key)
{
    if (json_is_array(value)) {
        char *end;
        unsigned long index = strtoul(key, &end, 10);
        return isdigit((unsigned char)*key) && *end == '\0' ? json_array_get(value, index) : NULL;
    }
    return json_object_get(value, key); /* NULL of anything else */
}

static const json_t *find(const json_t *data, const char *path)
{
    char copy[NAME_MAX_BYTES + 1], *rest = copy, *key;
    const json_t *whole = json_object_get(data, path); /* a name with a dot in it */
    if (whole)
        return whole;
    memcpy(copy, path, strlen(path) + 1);
    while (data && (key = strsep(&rest, ".")) != NULL)
        data = member(data, key);
    return data;
}

/* From malloc. */
static char *value_of(const char *name, const struct template_values *values)
{
    const struct {
        const char *name, *old_name, *value;
    } known[] = {
        {"PARTICLE_EVENT_NAME", "SPARK_EVENT_NAME", values->event_name},
        {"PARTICLE_EVENT_VALUE", "SPARK_EVENT_VALUE", values->event_value},
        {"PARTICLE_DEVICE_ID", "SPARK_CORE_ID", values->device_id},
        {"PARTICLE_PUBLISHED_AT", "SPARK_PUBLISHED_AT", values->published_at},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i].name) || !strcmp(name, known[i].old_name))
            return mem_string(known[i].value);
    const json_t *found = find(values->data, name);
    if (json_is_string(found))
        return mem_string(json_string_value(found));
    if (!found || json_is_null(found))
        return mem_string("");
    char *text = json_dumps(found, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    return text ? text : mem_string("");
}

/* --- a whole text --- */

static char *render(const char *text, const struct template_values *values, bool is_url)
{
    struct text t = {.room = values->room};
    struct variable v;
    const char *at;
    put(&t, "", 0);
    while ((!t.room || *t.room > 0) && (at = strstr(text, "{{")) != NULL) {
        put(&t, text, (size_t)(at - text));
        if (!variable_read(&v, at)) {
            put(&t, at, 2);
            text = at + 2;
            continue;
        }
        char *value = value_of(v.name, values);
        if (is_url)
            put_percent(&t, value);
        else if (v.is_plain)
            put(&t, value, strlen(value));
        else
            put_html(&t, value);
        free(value);
        text = at + v.src_len;
    }
    put(&t, text, strlen(text));
    return t.data;
}

char *template_render(const char *text, const struct template_values *values)
{
    return render(text, values, false);
}

char *template_render_url(const char *text, const struct template_values *values)
{
    return render(text, values, true);
}

json_t *template_render_json(const json_t *value, const struct template_values *values)
{
    const char *key;
    const json_t *item;
    size_t i;
    if (json_is_string(value)) {
        char *text = render(json_string_value(value), values, false);
        json_t *string = json_string(text);
        free(text);
        return string ? string : json_string("");
    }
    if (json_is_array(value)) {
        json_t *array = json_array();
        json_array_foreach (value, i, item)
            (void)json_array_append_new(array, template_render_json(item, values));
        return array;
    }
    if (json_is_object(value)) {
        json_t *object = json_object();
        json_object_foreach ((json_t *)value, key, item)
            (void)json_object_set_new(object, key, template_render_json(item, values));
        return object;
    }
    return json_deep_copy(value);
}
