#include "device/describe.h"

#include <stdlib.h>
#include <string.h>

#include "device/describe_read.h"
#include "device/text.h"

#define FORMAT_OCTET_STREAM 42

bool describe_copy_text(char *out, size_t out_size, const char *text, size_t text_len)
{
    if (text_len >= out_size || !text_is_clean(text, text_len))
        return false;
    memcpy(out, text, text_len);
    out[text_len] = '\0';
    return true;
}

/* device-protocol 4.4.4, end. No protobuf message begins with 00 (field number 0 is invalid), so metrics are
 * known by it whatever the Content-Format says: theirs may be octet-stream too. */
static bool read_any(struct describe *d, uint16_t content_format, const uint8_t *body, size_t body_len,
                     const char **why)
{
    if (body_len > 0 && body[0] == 0)
        return describe_read_metrics(d, body, body_len, why);
    if (content_format == FORMAT_OCTET_STREAM)
        return describe_read_protobuf(d, body, body_len, why);
    if (body_len > 0 && body[0] == '{')
        return describe_read_json(d, body, body_len, why);
    *why = "neither JSON nor protobuf nor metrics";
    return false;
}

bool describe_parse(struct describe *d, uint16_t content_format, const uint8_t *body, size_t body_len,
                    const char **why)
{
    *d = (struct describe){.platform_id = -1};
    *why = "";
    if (read_any(d, content_format, body, body_len, why))
        return true;
    describe_free(d);
    return false;
}

void describe_free(struct describe *d)
{
    free(d->modules);
    free(d->functions);
    free(d->variables);
    free(d->metrics);
    *d = (struct describe){.platform_id = -1};
}
