#include "selector.h"

#include <stdlib.h>
#include <string.h>

#include "base/device_id.h"
#include "field.h"
#include "names.h"
#include "rest.h"

#define VERSION_MAX 65535

static enum cli_exit add_platforms(const struct cli *cli, json_t *selector)
{
    json_t *list = json_array();
    const char *text;
    uint16_t id;
    size_t at = 0;

    while ((text = call_each(cli->call, "platform", &at)) != NULL) {
        if (!names_parse_platform(&id, text)) {
            json_decref(list);
            return cli_fail(CLI_USAGE, "--platform %s: no platform has this name; its number does as well",
                            text);
        }
        (void)json_array_append_new(list, json_integer(id));
    }
    if (json_array_size(list) > 0)
        (void)json_object_set(selector, "platform_id", list);
    json_decref(list);
    return CLI_OK;
}

/* Ids as they are; names are asked for, so that a wrong one is told now. */
static enum cli_exit add_devices(const struct cli *cli, json_t *selector)
{
    json_t *list = json_array();
    const char *text;
    size_t at = 0;
    enum cli_exit code = CLI_OK;

    while (code == CLI_OK && (text = call_each(cli->call, "device", &at)) != NULL) {
        struct device_id id;
        json_t *device;
        if (device_id_parse(&id, text, strlen(text))) {
            (void)json_array_append_new(list, json_string(text));
            continue;
        }
        code = cli_get(cli, &device, "/v1/devices/%s", text);
        if (code != CLI_OK) {
            cli_note(cli, "(--device %s)", text);
            break;
        }
        (void)json_array_append(list, json_object_get(device, "id"));
        json_decref(device);
    }
    if (json_array_size(list) > 0)
        (void)json_object_set(selector, "devices", list);
    json_decref(list);
    return code;
}

static void add_names(const struct cli *cli, json_t *selector)
{
    json_t *list = json_array();
    const char *text;
    size_t at = 0;

    while ((text = call_each(cli->call, "name", &at)) != NULL)
        (void)json_array_append_new(list, json_string(text));
    if (json_array_size(list) > 0)
        (void)json_object_set(selector, "names", list);
    json_decref(list);
}

/* `s1:3100`: those whose system part 1 is below 3100. */
static enum cli_exit add_versions(const struct cli *cli, json_t *selector)
{
    json_t *list = json_array();
    const char *text;
    size_t at = 0;

    while ((text = call_each(cli->call, "below", &at)) != NULL) {
        const char *colon = strchr(text, ':');
        char letter[2] = "", *end = NULL;
        uint8_t index;
        long below = colon != NULL ? strtol(colon + 1, &end, 10) : 0;
        if (colon == NULL || !names_parse_module(letter, &index, text, (size_t)(colon - text)) ||
            *end != '\0' || below < 1 || below > VERSION_MAX) {
            json_decref(list);
            return cli_fail(CLI_USAGE, "--below %s: it is a module and a version, like s1:3100 or b0:1001",
                            text);
        }
        letter[1] = '\0';
        (void)json_array_append_new(
            list, json_pack("{sssisI}", "f", letter, "n", (int)index, "below", (json_int_t)below));
    }
    if (json_array_size(list) > 0)
        (void)json_object_set(selector, "versions", list);
    json_decref(list);
    return CLI_OK;
}

json_t *selector_load_json(const char *file)
{
    json_error_t error;
    json_t *value = strcmp(file, "-") == 0 ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error)
                                           : json_load_file(file, JSON_REJECT_DUPLICATES, &error);

    if (value == NULL)
        (void)cli_fail(CLI_USAGE, "%s is not JSON: line %d: %s", file, error.line, error.text);
    return value;
}

json_t *selector_read(const struct cli *cli, enum cli_exit *code)
{
    const struct call *call = cli->call;
    json_t *selector = json_object();

    *code = add_platforms(cli, selector);
    if (*code == CLI_OK)
        *code = add_versions(cli, selector);
    if (*code == CLI_OK)
        *code = add_devices(cli, selector);
    add_names(cli, selector);
    if (call_has(call, "product"))
        (void)json_object_set_new(selector, "product_id",
                                  json_integer((json_int_t)call_number(call, "product", 0)));
    if (call_has(call, "requires-deep-update"))
        (void)json_object_set_new(selector, "requires_deep_update", json_true());
    if (call_has(call, "all"))
        (void)json_object_set_new(selector, "all", json_true());
    if (*code == CLI_OK && json_object_size(selector) == 0)
        *code =
            cli_fail(CLI_USAGE, "for which devices? --platform, --name, --device, --below, ..., or --all");
    if (*code == CLI_OK)
        return selector;
    json_decref(selector);
    return NULL;
}

/* A member of a selector, one value or a list of them, as words. */
static void print_member(FILE *out, const char *key, const json_t *value)
{
    char name[NAMES_SIZE];

    if (json_is_object(value)) {
        names_module(name, field_text(value, "f"), (long)field_integer(value, "n"));
        (void)fprintf(out, "%s below %lld", name, (long long)field_integer(value, "below"));
    } else if (json_is_integer(value) && strcmp(key, "platform_id") == 0) {
        names_platform(name, (long)json_integer_value(value));
        (void)fprintf(out, "platform %s", name);
    } else if (json_is_integer(value)) {
        (void)fprintf(out, "product %lld", (long long)json_integer_value(value));
    } else if (json_is_string(value)) {
        (void)fprintf(out, "%s %s", strcmp(key, "names") == 0 ? "name" : "device", json_string_value(value));
    } else {
        (void)fputs(strcmp(key, "all") == 0 ? "all" : "needs deep update", out);
    }
}

#define NAMED_MAX 8 /* of a list; more are counted */

char *selector_describe(const json_t *selector)
{
    char *text = NULL;
    const char *key;
    json_t *value, *one;
    size_t len = 0, i;
    FILE *out = open_memstream(&text, &len);

    must(out != NULL);
    json_object_foreach ((json_t *)selector, key, value) {
        if (ftell(out) > 0)
            (void)fputs("; ", out);
        if (!json_is_array(value))
            print_member(out, key, value);
        if (json_array_size(value) > NAMED_MAX) {
            (void)fprintf(out, "%zu %s", json_array_size(value), key);
            continue;
        }
        json_array_foreach (value, i, one) {
            (void)fputs(i > 0 ? " or " : "", out);
            print_member(out, key, one);
        }
    }
    must(fclose(out) == 0);
    return text;
}
