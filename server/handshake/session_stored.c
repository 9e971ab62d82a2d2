#include "handshake/session_stored.h"

#include <stdlib.h>
#include <string.h>

#include "store/nodes.h"

static bool get_number(const char **at, uint64_t *out)
{
    char *end;
    if (**at < '0' || **at > '9')
        return false;
    *out = strtoull(*at, &end, 10);
    if (*end != ':')
        return false;
    *at = end + 1;
    return true;
}

bool session_stored_read(const char *text, size_t text_len, struct session_stored *out)
{
    const char *at = text;
    uint64_t node;
    if (!get_number(&at, &node) || node >= NODES_MAX || !get_number(&at, &out->incarnation) ||
        !get_number(&at, &out->epoch) || *at == '\0' || !strchr("hrpu", *at) || at[1] != ':')
        return false;
    out->node = (uint32_t)node;
    out->let_go = *at == 'r' || *at == 'u';
    at += 2;
    if (!get_number(&at, &out->send_from) || out->send_from >> 48)
        return false;
    out->image = (const uint8_t *)at;
    out->image_len = text_len - (size_t)(at - text);
    return true;
}
