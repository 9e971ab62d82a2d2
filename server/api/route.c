#include "api/route.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "base/mem.h"
#include "fleet/product_import.h"
#include "module/module_file.h"

/* Moves *pattern past its next part; NULL at the end. */
static const char *next_part(const char **pattern, size_t *len)
{
    const char *part = *pattern;

    if (*part != '/')
        return NULL;
    part++;
    *len = strcspn(part, "/");
    *pattern = part + *len;
    return part;
}

static bool fits(const char *pattern, const struct target *target)
{
    for (size_t i = 0; i < target->count; i++) {
        size_t len;
        const char *part = next_part(&pattern, &len);
        if (part == NULL)
            return false;
        if (*part == '*')
            return true;
        if (*part == ':')
            continue;
        if (strlen(target->segments[i]) != len || memcmp(target->segments[i], part, len) != 0)
            return false;
    }
    return *pattern == '\0';
}

static void allow_add(char allow[ROUTE_ALLOW_SIZE], const char *method)
{
    size_t used = strlen(allow);

    (void)snprintf(allow + used, ROUTE_ALLOW_SIZE - used, "%s%s", method,
                   strcmp(method, "GET") == 0 ? ", HEAD, " : ", ");
}

enum route_match route_find(const struct route **route, const char *method, const struct target *target,
                            char allow[ROUTE_ALLOW_SIZE])
{
    allow[0] = '\0';
    if (strcmp(method, "OPTIONS") == 0)
        return ROUTE_OPTIONS;
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    const struct route *row;
    for (size_t i = 0; (row = route_at(i)) != NULL; i++) {
        if (!fits(row->pattern, target))
            continue;
        if (strcmp(row->method, method) == 0) {
            *route = row;
            return ROUTE_FOUND;
        }
        if (strstr(allow, row->method) == NULL)
            allow_add(allow, row->method);
    }
    if (allow[0] == '\0')
        return ROUTE_UNKNOWN_PATH;
    (void)snprintf(allow + strlen(allow), ROUTE_ALLOW_SIZE - strlen(allow), "OPTIONS");
    return ROUTE_WRONG_METHOD;
}

bool route_reads_file(const struct route *route)
{
    return route->handle != compile_refuse;
}

size_t route_file_max_bytes(const struct route *route)
{
    if (!route_reads_file(route))
        return MODULE_FILE_MAX_BYTES;
    if (route->handle == product_devices_import)
        return IMPORT_FILE_MAX_BYTES;
    return route->handle == firmware_upload || route->handle == product_firmware_upload ||
                   route->handle == device_update || route->handle == product_device_update
               ? MODULE_FILE_MAX_BYTES
               : 0;
}

const char *route_access_name(enum route_access access)
{
    static const char *const names[] = {[ROUTE_PUBLIC] = "public",
                                        [ROUTE_OWNER] = "owner",
                                        [ROUTE_OPERATOR] = "operator",
                                        [ROUTE_ADMIN] = "admin"};

    return names[access];
}

const char *route_param(const struct route *route, const struct target *target, const char *name)
{
    const char *pattern = route->pattern;

    for (size_t i = 0; i < target->count; i++) {
        size_t len;
        const char *part = next_part(&pattern, &len);
        if (part == NULL)
            return NULL;
        if (*part == ':' && strlen(name) == len - 1 && memcmp(part + 1, name, len - 1) == 0)
            return target->segments[i];
    }
    return NULL;
}

char *route_rest(const struct route *route, const struct target *target)
{
    const char *pattern = route->pattern;
    size_t first = 0, size = 2, part_len, used = 0;
    const char *part;
    char *rest;

    for (; (part = next_part(&pattern, &part_len)) != NULL && *part != '*'; first++)
        ;
    if (part == NULL)
        return NULL;
    for (size_t i = first; i < target->count; i++)
        size += strlen(target->segments[i]) + 1;
    rest = mem_alloc(size);
    for (size_t i = first; i < target->count; i++)
        used += (size_t)snprintf(rest + used, size - used, "%s%s", i > first ? "/" : "", target->segments[i]);
    if (target->has_trailing_slash)
        rest[used] = '/';
    return rest;
}
