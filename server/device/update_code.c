/* update_code.c: the error codes of devices (device-protocol 5.4). */
#include <string.h>

#include <jansson.h>

#include "device/text.h"
#include "device/update_inner.h"

static const struct code {
    int32_t code;
    bool is_final;
    const char *text;
} codes[] = {
    {-100, false, "unknown error on the device"},
    {-110, false, "the device is busy"},
    {-120, true, "the device does not support this"},
    {-130, false, "the device does not allow this"},
    {-140, false, "the device cancelled the update"},
    {-150, false, "the device aborted the update"},
    {-160, false, "the device waited too long"},
    {-170, false, "the device did not find what it needs"},
    {-190, true, "the file is too large for the device"},
    {-210, false, "the device is in a state in which it takes no update"},
    {-219, false, "the device could not write to its flash memory"},
    {-240, false, "the device says that the protocol was violated"},
    {-250, false, "internal error on the device"},
    {-260, false, "the device has no memory left"},
    {-270, false, "the device says that an argument is invalid"},
    {-280, false, "the device says that data is invalid"},
    {-1300, false, "the device does not find the module"},
    {-1310, true, "the device does not support this kind of module"},
    {-1320, false, "the device says that the module is not valid"},
    {-1330, false, "the checksum of the module is wrong on the device"},
    {-1331, false, "the parts of a file sent in several attempts do not fit together"},
    {-1340, true, "the module depends on others that the device does not have"},
    {-1350, true, "the module belongs to an address this device does not have"},
    {-1351, true, "the module has a size the device does not take"},
    {-1360, true, "the module is for another platform"},
    {-1370, true, "the module has a format the device does not know"},
    {-1380, false, "the application on the device does not want updates now"},
    {-1390, false, "the device could not take the update"},
    {-1801, true, "the device is protected"},
};

static const struct code *find(int32_t device_code)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i].code == device_code)
            return &codes[i];
    }
    return NULL;
}

const char *device_update_code_text(int32_t device_code)
{
    const struct code *code = find(device_code);

    if (code != NULL)
        return code->text;
    return device_code == 0 ? "the device gave no reason" : "the device gave a reason that is not known";
}

bool device_update_code_is_final(int32_t device_code)
{
    const struct code *code = find(device_code);

    return code != NULL && code->is_final;
}

/* Cut at the end of a character. Control characters become spaces. */
static void copy_message(char *out, size_t out_size, const char *text)
{
    size_t len = strlen(text);

    if (len >= out_size) {
        len = out_size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(out, text, len);
    out[len] = '\0';
    for (char *at = out; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = ' ';
    }
    if (!text_is_clean(out, len)) /* C1 controls */
        out[0] = '\0';
}

void update_code_read(struct device_update_result *result, const uint8_t *body, size_t body_len)
{
    result->device_code = 0;
    result->message[0] = '\0';
    json_t *root = json_loadb((const char *)body, body_len, 0, NULL);
    if (root == NULL)
        return;
    const json_t *code = json_object_get(root, "code");
    const char *message = json_string_value(json_object_get(root, "message"));
    if (json_is_integer(code) && json_integer_value(code) >= INT32_MIN &&
        json_integer_value(code) <= INT32_MAX)
        result->device_code = (int32_t)json_integer_value(code);
    if (message != NULL)
        copy_message(result->message, sizeof(result->message), message);
    json_decref(root);
}
