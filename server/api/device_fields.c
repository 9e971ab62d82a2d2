#include "api/device_fields.h"

#include <string.h>

#include "api/respond.h"

#define NAME_MAX_BYTES 64
#define NOTES_MAX_BYTES 4096

bool device_fields_name(struct http_request *r, const char **name)
{
    enum field kind = body_get_string(&r->body, "name", name);

    if (kind == FIELD_ABSENT || (kind == FIELD_OK && (*name)[0] != '\0' && strlen(*name) <= NAME_MAX_BYTES))
        return true;
    respond_bad_field(r, "name", "must be 1 to 64 letters, digits, `_` or `-`.");
    return false;
}

bool device_fields_notes(struct http_request *r, const char **notes)
{
    enum field kind = body_get_string(&r->body, "notes", notes);

    if (kind == FIELD_NULL)
        *notes = "";
    if (kind == FIELD_WRONG || (*notes != NULL && strlen(*notes) > NOTES_MAX_BYTES)) {
        respond_bad_field(r, "notes", "must be text of at most 4096 bytes, or null.");
        return false;
    }
    return true;
}

bool device_fields_signal(struct http_request *r, bool *is_there, bool *signal)
{
    enum field kind = body_get_bool(&r->body, "signal", signal);

    *is_there = kind == FIELD_OK;
    if (kind == FIELD_OK || kind == FIELD_ABSENT)
        return true;
    respond_bad_field(r, "signal", "must be 1 or 0.");
    return false;
}

bool device_fields_forced(struct http_request *r, bool *is_there, bool *forced)
{
    enum field kind = body_get_bool(&r->body, "firmware_updates_forced", forced);

    *is_there = kind == FIELD_OK;
    if (kind == FIELD_OK || kind == FIELD_ABSENT)
        return true;
    respond_bad_field(r, "firmware_updates_forced", "must be true or false.");
    return false;
}

bool device_fields_names_application(struct http_request *r)
{
    if (json_object_get(r->body.fields, "app") == NULL && json_object_get(r->body.fields, "app_id") == NULL)
        return false;
    respond_error(r, 400, "This server knows no applications by name: send the binary as a file.");
    return true;
}
