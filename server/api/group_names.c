#include "api/group_names.h"

#include <string.h>

#include "api/respond.h"
#include "fleet/product_device.h"
#include "fleet/product_group.h"

/* NULL: it is neither list nor text. */
static json_t *listed(const json_t *said)
{
    const char *text = json_string_value(said);
    json_t *list;

    if (json_is_array(said))
        return json_deep_copy(said);
    if (text == NULL && said != NULL && !json_is_null(said))
        return NULL;
    list = json_array();
    for (size_t len; text != NULL && *text != '\0'; text += len + (text[len] == ',')) {
        len = strcspn(text, ",");
        (void)json_array_append_new(list, json_stringn(text, len));
    }
    return list;
}

static bool are_names(const json_t *list)
{
    const json_t *value;
    size_t i;

    json_array_foreach ((json_t *)list, i, value) {
        if (!json_is_string(value) || !product_group_is_name(json_string_value(value)))
            return false;
    }
    return json_array_size(list) <= PRODUCT_DEVICE_GROUPS_MAX;
}

json_t *group_names_read(struct http_request *r, const json_t *said, const char *field)
{
    json_t *list = listed(said);

    if (list != NULL && are_names(list))
        return list;
    json_decref(list);
    respond_bad_field(r, field,
                      "must be a list of at most 100 names of groups: small letters, digits, `-` or `_`.");
    return NULL;
}
