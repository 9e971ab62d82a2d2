#include "fleet/selector.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/device_id.h"
#include "base/must.h"
#include "module/module_names.h"

#define NAME_MAX_CHARS 64

__attribute__((format(printf, 2, 3))) static bool refuse(char why[SELECTOR_WHY_SIZE], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, SELECTOR_WHY_SIZE, format, args);
    va_end(args);
    return false;
}

static bool is_number(const json_t *value, json_int_t min, json_int_t max)
{
    return json_is_integer(value) && json_integer_value(value) >= min && json_integer_value(value) <= max;
}

static bool take_platforms(json_t *out, const json_t *value, char why[SELECTOR_WHY_SIZE])
{
    json_t *list = json_is_array(value) ? json_deep_copy(value) : json_pack("[O]", (json_t *)value), *one;
    size_t i;
    json_object_set_new(out, "platform_id", list);
    if (json_array_size(list) < 1 || json_array_size(list) > SELECTOR_PLATFORMS_MAX)
        return refuse(why, "`platform_id` of the selector must be a number or a list of 1 to %d.",
                      SELECTOR_PLATFORMS_MAX);
    json_array_foreach (list, i, one)
        if (!is_number(one, 0, 65535))
            return refuse(why, "`platform_id` of the selector must be numbers from 0 to 65535.");
    return true;
}

static bool take_product(json_t *out, const json_t *value, char why[SELECTOR_WHY_SIZE])
{
    if (!is_number(value, 0, 65535))
        return refuse(why, "`product_id` of the selector must be a number from 0 to 65535.");
    json_object_set(out, "product_id", (json_t *)value);
    return true;
}

static bool take_deep_update(json_t *out, const json_t *value, char why[SELECTOR_WHY_SIZE])
{
    if (!json_is_boolean(value))
        return refuse(why, "`requires_deep_update` of the selector must be true or false.");
    json_object_set(out, "requires_deep_update", (json_t *)value);
    return true;
}

static bool take_devices(json_t *out, const json_t *value, char why[SELECTOR_WHY_SIZE])
{
    json_t *list = json_array(), *one;
    size_t i;
    json_object_set_new(out, "devices", list);
    if (!json_is_array(value) || json_array_size(value) < 1 || json_array_size(value) > SELECTOR_DEVICES_MAX)
        return refuse(why, "`devices` of the selector must be a list of 1 to %d device ids.",
                      SELECTOR_DEVICES_MAX);
    json_array_foreach ((json_t *)value, i, one) {
        const char *text = json_string_value(one);
        struct device_id id;
        char clean[DEVICE_ID_TEXT_SIZE];
        if (text == NULL || !device_id_parse(&id, text, strlen(text)))
            return refuse(why,
                          "`devices` of the selector: number %zu is no device id, which has 24 hex digits.",
                          i + 1);
        device_id_format(clean, &id);
        json_array_append_new(list, json_string(clean));
    }
    return true;
}

static bool is_name(const char *name)
{
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '*')
        len--;
    if (len > NAME_MAX_CHARS || strlen(name) == 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '-')
            return false;
    return true;
}

static bool take_names(json_t *out, const json_t *value, char why[SELECTOR_WHY_SIZE])
{
    json_t *one;
    size_t i;
    if (!json_is_array(value) || json_array_size(value) < 1 || json_array_size(value) > SELECTOR_NAMES_MAX)
        return refuse(why, "`names` of the selector must be a list of 1 to %d names.", SELECTOR_NAMES_MAX);
    json_array_foreach ((json_t *)value, i, one)
        if (!json_is_string(one) || !is_name(json_string_value(one)))
            return refuse(why,
                          "`names` of the selector: number %zu is no name of letters, digits, `_` and `-`, "
                          "with a `*` at its end for all that begin so.",
                          i + 1);
    json_object_set(out, "names", (json_t *)value);
    return true;
}

static bool take_version(json_t *list, const json_t *one, char why[SELECTOR_WHY_SIZE])
{
    const char *letter = json_string_value(json_object_get(one, "f")), *key;
    const json_t *index = json_object_get(one, "n"), *below = json_object_get(one, "below");
    json_t *value;
    if (!json_is_object(one))
        return refuse(why,
                      "`versions` of the selector must be like [{\"f\": \"s\", \"n\": 1, \"below\": 3100}].");
    json_object_foreach ((json_t *)one, key, value)
        if (strcmp(key, "f") != 0 && strcmp(key, "n") != 0 && strcmp(key, "below") != 0)
            return refuse(why, "`versions` of the selector: `%.40s` means nothing; known are f, n and below.",
                          key);
    if (letter == NULL || strlen(letter) != 1 || module_function_of_letter(*letter) == MODULE_NONE)
        return refuse(why, "`f` in `versions` of the selector must be one of r, b, m, s, u, c, a.");
    if (index != NULL && !is_number(index, 0, 255))
        return refuse(why, "`n` in `versions` of the selector must be a number from 0 to 255.");
    if (!is_number(below, 1, 65535))
        return refuse(why, "`below` in `versions` of the selector must be a number from 1 to 65535.");
    json_array_append_new(list, json_pack("{s:s,s:I,s:O}", "f", letter, "n",
                                          index ? json_integer_value(index) : (json_int_t)0, "below", below));
    return true;
}

static bool take_versions(json_t *out, const json_t *value, char why[SELECTOR_WHY_SIZE])
{
    json_t *list = json_array(), *one;
    size_t i;
    json_object_set_new(out, "versions", list);
    if (!json_is_array(value) || json_array_size(value) < 1 || json_array_size(value) > SELECTOR_VERSIONS_MAX)
        return refuse(why, "`versions` of the selector must be a list of 1 to %d.", SELECTOR_VERSIONS_MAX);
    json_array_foreach ((json_t *)value, i, one)
        if (!take_version(list, one, why))
            return false;
    return true;
}

static bool take_all(json_t *out, const json_t *value, char why[SELECTOR_WHY_SIZE])
{
    if (!json_is_true(value))
        return refuse(why, "`all` of the selector must be true, or left out.");
    json_object_set_new(out, "all", json_true());
    return true;
}

static const struct {
    const char *key;
    bool (*take)(json_t *out, const json_t *value, char *why);
} keys[] = {
    {"platform_id", take_platforms},
    {"product_id", take_product},
    {"requires_deep_update", take_deep_update},
    {"devices", take_devices},
    {"names", take_names},
    {"versions", take_versions},
    {"all", take_all},
};
#define KEY_COUNT (sizeof keys / sizeof *keys)

static bool take(json_t *out, const char *key, const json_t *value, char why[SELECTOR_WHY_SIZE])
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (!strcmp(key, keys[i].key))
            return keys[i].take(out, value, why);
    return refuse(why,
                  "The selector has a key `%.40s` that means nothing; known are platform_id, product_id, "
                  "requires_deep_update, devices, names, versions and all.",
                  key);
}

static bool read_all(json_t *out, const json_t *json, char why[SELECTOR_WHY_SIZE])
{
    const char *key;
    json_t *value;
    if (!json_is_object(json))
        return refuse(why, "`selector` must be an object, as in {\"platform_id\": 12}.");
    if (json_object_size(json) == 0)
        return refuse(why, "The selector is empty; {\"all\": true} selects every device.");
    json_object_foreach ((json_t *)json, key, value)
        if (!take(out, key, value, why))
            return false;
    return true;
}

bool selector_parse(struct selector *s, const json_t *json, char why[SELECTOR_WHY_SIZE])
{
    json_t *out = json_object();
    bool good = read_all(out, json, why);
    s->text = NULL;
    if (good) {
        s->text = json_dumps(out, JSON_COMPACT | JSON_SORT_KEYS);
        must(s->text);
    }
    json_decref(out);
    return good;
}

void selector_deinit(struct selector *s)
{
    free(s->text);
    s->text = NULL;
}
