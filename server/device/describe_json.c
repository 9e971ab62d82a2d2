#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "device/describe_read.h"

static const char store_letters[] = "mfbt"; /* by enum module_store */

/* The readers below leave *out alone when the key is absent and return false when its value is of no use. */

static bool read_number(const json_t *object, const char *key, uint32_t max, uint32_t *out)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL)
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > max)
        return false;
    *out = (uint32_t)json_integer_value(value);
    return true;
}

static bool read_text(const json_t *object, const char *key, char *out, size_t out_size)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL)
        return true;
    return json_is_string(value) &&
           describe_copy_text(out, out_size, json_string_value(value), json_string_length(value));
}

/* One letter. */
static bool read_letter(const json_t *object, const char *key, char *out)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL)
        return true;
    if (!json_is_string(value) || json_string_length(value) != 1)
        return false;
    *out = json_string_value(value)[0];
    return true;
}

/* The index of a module is a number in a string (device-protocol 4.4.3). */
static bool read_index(const json_t *object, uint8_t *out)
{
    const json_t *value = json_object_get(object, "n");
    unsigned index = 0;

    if (value == NULL)
        return true;
    size_t text_len = json_string_length(value);
    const char *text = json_string_value(value);
    if (text == NULL || text_len == 0 || text_len > 3)
        return false;
    for (size_t i = 0; i < text_len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        index = index * 10 + (unsigned)(text[i] - '0');
    }
    *out = (uint8_t)index;
    return index <= UINT8_MAX;
}

static bool read_store(const json_t *object, uint8_t *out)
{
    char letter = 'm';

    if (!read_letter(object, "l", &letter))
        return false;
    const char *found = letter == '\0' ? NULL : strchr(store_letters, letter);
    if (found == NULL)
        return false;
    *out = (uint8_t)(found - store_letters);
    return true;
}

static bool read_hash(const json_t *object, struct module *m)
{
    const json_t *value = json_object_get(object, "u");

    if (value == NULL)
        return true;
    if (!json_is_string(value))
        return false;
    if (json_string_length(value) == 0)
        return true;
    m->has_hash = hex_decode(m->hash, sizeof(m->hash), json_string_value(value), json_string_length(value));
    return m->has_hash;
}

static bool read_dependencies(const json_t *object, struct module *m)
{
    const json_t *list = json_object_get(object, "d");
    const json_t *item;
    size_t i;

    if (list == NULL)
        return true;
    if (!json_is_array(list) || json_array_size(list) > DESCRIBE_DEPENDENCIES_MAX)
        return false;
    json_array_foreach (list, i, item) {
        struct module_dependency *dependency = &m->dependencies[m->dependency_count++];
        char letter = '_';
        uint32_t version = 0;
        if (!json_is_object(item) || !read_letter(item, "f", &letter) ||
            !read_index(item, &dependency->index) || !read_number(item, "v", UINT16_MAX, &version))
            return false;
        dependency->function = module_function_of_letter(letter);
        dependency->version = (uint16_t)version;
    }
    return true;
}

static bool read_module(const json_t *object, struct module *m)
{
    char letter = '_';
    uint32_t version = 0;

    if (!json_is_object(object) || !read_letter(object, "f", &letter) || !read_index(object, &m->index) ||
        !read_store(object, &m->store) || !read_number(object, "v", UINT16_MAX, &version) ||
        !read_number(object, "s", UINT32_MAX, &m->max_size_bytes) ||
        !read_number(object, "vc", UINT32_MAX, &m->checked_flags) ||
        !read_number(object, "vv", UINT32_MAX, &m->passed_flags) || !read_hash(object, m) ||
        !read_dependencies(object, m))
        return false;
    m->function = module_function_of_letter(letter);
    m->version = (uint16_t)version;
    return true;
}

static bool read_modules(struct describe *d, const json_t *list, const char **why)
{
    const json_t *item;
    size_t i;

    *why = "a module is not as it should be";
    if (!json_is_array(list))
        return false;
    if (json_array_size(list) > DESCRIBE_MODULES_MAX) {
        *why = "too many modules";
        return false;
    }
    d->modules = mem_array(json_array_size(list), sizeof(*d->modules));
    json_array_foreach (list, i, item) {
        if (!read_module(item, &d->modules[d->module_count]))
            return false;
        if (json_object_get(item, "f") !=
            NULL) /* early systems list empty slots, with nothing but size and place */
            d->module_count++;
        else
            d->modules[d->module_count] = (struct module){0};
    }
    d->parts |= DESCRIBE_SYSTEM;
    return true;
}

static bool read_name(char out[DESCRIBE_NAME_MAX + 1], const char *name, size_t name_len)
{
    return name_len > 0 && describe_copy_text(out, DESCRIBE_NAME_MAX + 1, name, name_len);
}

static bool read_functions(struct describe *d, const json_t *list, const char **why)
{
    const json_t *item;
    size_t i;

    *why = "the function names are not as they should be";
    if (!json_is_array(list))
        return false;
    if (json_array_size(list) > DESCRIBE_FUNCTIONS_MAX) {
        *why = "too many functions";
        return false;
    }
    d->functions = mem_array(json_array_size(list), sizeof(*d->functions));
    json_array_foreach (list, i, item) {
        if (!json_is_string(item) ||
            !read_name(d->functions[d->function_count], json_string_value(item), json_string_length(item)))
            return false;
        d->function_count++;
    }
    d->parts |= DESCRIBE_APPLICATION;
    return true;
}

static bool is_variable_type(const json_t *value)
{
    if (!json_is_integer(value))
        return false;
    json_int_t type = json_integer_value(value);
    return type == VARIABLE_BOOL || type == VARIABLE_INT32 || type == VARIABLE_STRING ||
           type == VARIABLE_DOUBLE;
}

static bool read_variables(struct describe *d, json_t *list, const char **why)
{
    const char *name;
    json_t *value;

    *why = "the variables are not as they should be";
    if (!json_is_object(list))
        return false;
    if (json_object_size(list) > DESCRIBE_VARIABLES_MAX) {
        *why = "too many variables";
        return false;
    }
    d->variables = mem_array(json_object_size(list), sizeof(*d->variables));
    json_object_foreach (list, name, value) {
        struct variable *variable = &d->variables[d->variable_count];
        if (!is_variable_type(value) || !read_name(variable->name, name, strlen(name)))
            return false;
        variable->type = (uint8_t)json_integer_value(value);
        d->variable_count++;
    }
    d->parts |= DESCRIBE_APPLICATION;
    return true;
}

static bool read_platform(struct describe *d, const json_t *root)
{
    uint32_t platform_id = UINT32_MAX;

    if (!read_number(root, "p", UINT16_MAX, &platform_id))
        return false;
    if (platform_id != UINT32_MAX) {
        d->platform_id = (int)platform_id;
        d->parts |= DESCRIBE_SYSTEM;
    }
    return true;
}

static bool read_root(struct describe *d, const json_t *root, const char **why)
{
    const json_t *modules = json_object_get(root, "m"), *functions = json_object_get(root, "f");
    json_t *variables = json_object_get(root, "v");

    *why = "platform, IMEI, ICCID, modem version or serial number is not as it should be";
    if (!read_platform(d, root) || !read_text(root, "imei", d->imei, sizeof(d->imei)) ||
        !read_text(root, "iccid", d->iccid, sizeof(d->iccid)) ||
        !read_text(root, "cellfw", d->modem_version, sizeof(d->modem_version)) ||
        !read_text(root, "sn", d->serial_number, sizeof(d->serial_number)))
        return false;
    if (modules != NULL && !read_modules(d, modules, why))
        return false;
    if (functions != NULL && !read_functions(d, functions, why))
        return false;
    if (variables != NULL && !read_variables(d, variables, why))
        return false;
    *why = "it describes nothing";
    return d->parts != 0;
}

bool describe_read_json(struct describe *d, const uint8_t *body, size_t body_len, const char **why)
{
    json_t *root = json_loadb((const char *)body, body_len, JSON_REJECT_DUPLICATES, NULL);

    *why = "not well-formed JSON";
    if (root == NULL)
        return false;
    bool read = json_is_object(root) && read_root(d, root, why);
    json_decref(root);
    return read;
}
