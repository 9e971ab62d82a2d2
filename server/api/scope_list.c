#include "api/scope_list.h"

#include <stdio.h>
#include <string.h>

#include "api/respond.h"
#include "fleet/scope.h"

#define MALFORMED                                                                                            \
    "must be a list of scopes, as in [\"devices:list\", \"devices:get\"], of at most 1024 bytes."

static bool add(char list[FLEET_SCOPES_SIZE], const char *scope, size_t scope_len)
{
    char one[FLEET_SCOPES_SIZE];
    size_t len = strlen(list);

    if (scope_len == 0 || len + 1 + scope_len >= FLEET_SCOPES_SIZE)
        return false;
    memcpy(one, scope, scope_len);
    one[scope_len] = '\0';
    if (!scope_is_valid(one))
        return false;
    (void)snprintf(list + len, FLEET_SCOPES_SIZE - len, "%s%s", len > 0 ? " " : "", one);
    return true;
}

static bool gather(char list[FLEET_SCOPES_SIZE], const json_t *value)
{
    const char *text = json_string_value(value);
    const json_t *item;
    size_t i, len;

    json_array_foreach (value, i, item) {
        text = json_string_value(item);
        if (text == NULL || !add(list, text, strlen(text)))
            return false;
    }
    if (json_is_array(value) || value == NULL || json_is_null(value))
        return true;
    if (text == NULL)
        return false;
    for (; *(text += strspn(text, " ")) != '\0'; text += len) {
        len = strcspn(text, " ");
        if (!add(list, text, len))
            return false;
    }
    return true;
}

enum field scope_list_read(struct http_request *r, const char *field, char list[FLEET_SCOPES_SIZE])
{
    list[0] = '\0';
    if (!gather(list, json_object_get(r->body.fields, field))) {
        respond_bad_field(r, field, MALFORMED);
        return FIELD_WRONG;
    }
    /* without any it would be all */
    if (r->actor.has_scopes && !scope_covers_all(r->actor.scopes, list[0] != '\0' ? list : "*")) {
        respond_forbidden(r, "The token cannot give away more than it may itself.");
        return FIELD_WRONG;
    }
    return list[0] != '\0' ? FIELD_OK : FIELD_ABSENT;
}
