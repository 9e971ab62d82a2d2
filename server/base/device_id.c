#include "base/device_id.h"

#include <string.h>

#include "base/bytes.h"

bool device_id_parse(struct device_id *id, const char *text, size_t text_len)
{
    return hex_decode(id->bytes, sizeof(id->bytes), text, text_len);
}

void device_id_format(char out[DEVICE_ID_TEXT_SIZE], const struct device_id *id)
{
    hex_encode(out, id->bytes, sizeof(id->bytes));
}

bool device_id_equal(const struct device_id *a, const struct device_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
