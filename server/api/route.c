#include "api/route.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "module/module_file.h"

/* Literal parts before `:part` ones of the same depth. */
static const struct route routes[] = {
    {"GET", "/health", ROUTE_PUBLIC, health_read},
    {"GET", "/metrics", ROUTE_PUBLIC, metrics_read},
    {"GET", "/v1/access_tokens", ROUTE_OWNER, tokens_list},
    {"DELETE", "/v1/access_tokens", ROUTE_OWNER, tokens_revoke_all},
    {"GET", "/v1/access_tokens/current", ROUTE_OWNER, tokens_read_current},
    {"DELETE", "/v1/access_tokens/current", ROUTE_OWNER, tokens_revoke_current},
    {"DELETE", "/v1/access_tokens/:token", ROUTE_PUBLIC,
     tokens_revoke}, /* holding it is the right to (rest-api 0.3) */
    {"GET", "/v1/campaigns", ROUTE_OPERATOR, campaigns_list},
    {"POST", "/v1/campaigns", ROUTE_OPERATOR, campaigns_create},
    {"GET", "/v1/campaigns/:campaign", ROUTE_OPERATOR, campaigns_read},
    {"POST", "/v1/campaigns/:campaign/abort", ROUTE_OPERATOR, campaign_abort},
    {"POST", "/v1/campaigns/:campaign/approve", ROUTE_OPERATOR, campaign_approve},
    {"POST", "/v1/campaigns/:campaign/archive", ROUTE_OPERATOR, campaign_archive},
    {"GET", "/v1/campaigns/:campaign/devices", ROUTE_OPERATOR, campaign_devices_list},
    {"GET", "/v1/campaigns/:campaign/events", ROUTE_OPERATOR, campaign_events_read},
    {"POST", "/v1/campaigns/:campaign/exclude", ROUTE_OPERATOR, campaign_exclude_order},
    {"GET", "/v1/campaigns/:campaign/export", ROUTE_OPERATOR, campaign_export_read},
    {"POST", "/v1/campaigns/:campaign/pause", ROUTE_OPERATOR, campaign_pause},
    {"POST", "/v1/campaigns/:campaign/plan", ROUTE_OPERATOR, campaign_plan_order},
    {"GET", "/v1/campaigns/:campaign/progress", ROUTE_OPERATOR, campaigns_progress},
    {"POST", "/v1/campaigns/:campaign/resume", ROUTE_OPERATOR, campaign_resume},
    {"POST", "/v1/campaigns/:campaign/retry", ROUTE_OPERATOR, campaign_retry_order},
    {"POST", "/v1/campaigns/:campaign/start", ROUTE_OPERATOR, campaign_start},
    {"POST", "/v1/campaigns/:campaign/submit", ROUTE_OPERATOR, campaign_submit},
    {"POST", "/v1/campaigns/:campaign/stages/:stage/resume", ROUTE_OPERATOR, campaign_stage_resume},
    {"POST", "/v1/campaigns/:campaign/stages/:stage/skip", ROUTE_OPERATOR, campaign_stage_skip},
    {"POST", "/v1/campaigns/:campaign/stages/:stage/widen", ROUTE_OPERATOR, campaign_stage_widen},
    {"GET", "/v1/devices", ROUTE_OWNER, devices_list},
    {"POST", "/v1/devices", ROUTE_OWNER, device_claim},
    {"POST", "/v1/devices/events", ROUTE_OWNER, events_publish},
    {"GET", "/v1/devices/:device", ROUTE_OWNER, device_read},
    {"PUT", "/v1/devices/:device", ROUTE_OWNER, device_update},
    {"DELETE", "/v1/devices/:device", ROUTE_OWNER, device_unclaim},
    {"GET", "/v1/devices/:device/modules", ROUTE_OWNER, modules_read},
    {"GET", "/v1/devices/:device/updates", ROUTE_OWNER, updates_list},
    {"DELETE", "/v1/devices/:device/updates/:update", ROUTE_OWNER, updates_cancel},
    {"POST", "/v1/devices/:device/ping", ROUTE_OWNER, ping_device},
    {"PUT", "/v1/devices/:device/ping", ROUTE_OWNER, ping_device},
    {"GET", "/v1/devices/:device/update_plan", ROUTE_OWNER, update_plan_read},
    {"POST", "/v1/devices/:device/:function", ROUTE_OWNER, function_call},
    {"GET", "/v1/devices/:device/:variable", ROUTE_OWNER, variable_read},
    {"POST", "/v1/diagnostics/:device/update", ROUTE_OWNER, vitals_update},
    {"GET", "/v1/firmware", ROUTE_OPERATOR, firmware_list},
    {"POST", "/v1/firmware", ROUTE_OPERATOR, firmware_upload},
    {"GET", "/v1/firmware/:firmware", ROUTE_OPERATOR, firmware_read},
    {"GET", "/v1/firmware/:firmware/binary", ROUTE_OPERATOR, firmware_download},
    {"POST", "/v1/firmware/:firmware/withdraw", ROUTE_OPERATOR, firmware_withdraw},
    {"GET", "/v1/nodes", ROUTE_OPERATOR, nodes_read},
    {"POST", "/v1/provisioning/:device", ROUTE_OWNER, provisioning_create},
    {"GET", "/v1/releases", ROUTE_OPERATOR, releases_list},
    {"POST", "/v1/releases", ROUTE_OPERATOR, release_create},
    {"GET", "/v1/releases/:release", ROUTE_OPERATOR, release_read},
    {"PUT", "/v1/releases/:release", ROUTE_OPERATOR, release_edit},
    {"POST", "/v1/releases/:release/publish", ROUTE_OPERATOR, release_publish},
    {"POST", "/v1/releases/:release/withdraw", ROUTE_OPERATOR, release_withdraw},
    {"GET", "/v1/rules", ROUTE_OPERATOR, rules_list},
    {"POST", "/v1/rules", ROUTE_OPERATOR, rules_create},
    {"PUT", "/v1/rules/:code", ROUTE_OPERATOR, rules_change},
    {"POST", "/v1/rules/:code/test", ROUTE_OPERATOR, rules_test},
    {"POST", "/v1/what_if", ROUTE_OPERATOR, what_if_ask},
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

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
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!fits(routes[i].pattern, target))
            continue;
        if (strcmp(routes[i].method, method) == 0) {
            *route = &routes[i];
            return ROUTE_FOUND;
        }
        if (strstr(allow, routes[i].method) == NULL)
            allow_add(allow, routes[i].method);
    }
    if (allow[0] == '\0')
        return ROUTE_UNKNOWN_PATH;
    (void)snprintf(allow + strlen(allow), ROUTE_ALLOW_SIZE - strlen(allow), "OPTIONS");
    return ROUTE_WRONG_METHOD;
}

size_t route_file_max_bytes(const struct route *route)
{
    return route->handle == firmware_upload || route->handle == device_update ? MODULE_FILE_MAX_BYTES : 0;
}

const char *route_param(const struct route *route, const struct target *target, size_t index)
{
    const char *pattern = route->pattern;

    for (size_t i = 0; i < target->count; i++) {
        size_t len;
        const char *part = next_part(&pattern, &len);
        if (part == NULL)
            return NULL;
        if (*part == ':' && index-- == 0)
            return target->segments[i];
    }
    return NULL;
}
