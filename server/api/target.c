#include "api/target.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

bool target_unescape(char *text)
{
    char *out = text;

    for (const char *in = text; *in != '\0'; in++) {
        uint8_t byte;
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        if (strnlen(in, 3) < 3 || !hex_decode(&byte, 1, in + 1, 2) || byte == 0)
            return false;
        *out++ = (char)byte;
        in += 2;
    }
    *out = '\0';
    return true;
}

bool target_is_utf8(const char *text)
{
    json_t *probe = json_string(text); /* NULL when it is not */

    json_decref(probe);
    return probe != NULL;
}

static enum target_err split(struct target *t, char *rest)
{
    while (rest != NULL) {
        char *segment = strsep(&rest, "/");
        if (*segment == '\0' && rest == NULL && t->count > 0) {
            t->has_trailing_slash = true;
            return TARGET_OK;
        }
        if (*segment == '\0' || t->count == TARGET_SEGMENTS_MAX)
            return TARGET_NOWHERE;
        if (!target_unescape(segment) || !target_is_utf8(segment))
            return TARGET_BAD_ESCAPE;
        t->segments[t->count++] = segment;
    }
    return TARGET_OK;
}

enum target_err target_parse(struct target *t, const char *path)
{
    enum target_err err;

    memset(t, 0, sizeof(*t));
    if (path[0] != '/')
        return TARGET_NOWHERE;
    t->text = mem_string(path + 1);
    err = split(t, t->text);
    if (err != TARGET_OK)
        target_deinit(t);
    return err;
}

void target_deinit(struct target *t)
{
    free(t->text);
    memset(t, 0, sizeof(*t));
}
