#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_MAX_BYTES                                                                                       \
    2048 /* longer lines are cut, so that one line is one write and never mixes with another */

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static enum log_level level_shown = LOG_INFO;

void log_set_level(enum log_level level)
{
    __atomic_store_n(&level_shown, level, __ATOMIC_RELAXED);
}

bool log_enabled(enum log_level level)
{
    return level <= __atomic_load_n(&level_shown, __ATOMIC_RELAXED);
}

bool log_level_parse(enum log_level *level, const char *name)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_write(enum log_level level, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    char when[CLOCK_TEXT_SIZE];
    int saved_errno = errno;
    va_list args;

    if (!log_enabled(level))
        return;
    clock_format(when, clock_wall_ms());
    size_t used = (size_t)snprintf(line, sizeof(line), "%s %s ", when, level_names[level]);
    va_start(args, format);
    int added = vsnprintf(line + used, sizeof(line) - used, format, args);
    va_end(args);
    if (added < 0)
        return;
    used += (size_t)added;
    if (used > sizeof(line) - 2) /* room for the newline */
        used = sizeof(line) - 2;
    line[used++] = '\n';

    const char *at = line;
    while (used > 0) {
        ssize_t wrote = write(STDERR_FILENO, at, used);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) /* nobody reads: there is nowhere left to say so */
            break;
        at += wrote;
        used -= (size_t)wrote;
    }
    errno = saved_errno;
}

const char *log_quote(char *out, size_t out_size, const void *text, size_t text_len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = text;
    size_t at = 0;

    if (out_size < 3) { /* not even room for "" */
        if (out_size > 0)
            out[0] = '\0';
        return out;
    }
    out[at++] = '"';
    for (size_t i = 0; i < text_len; i++) {
        uint8_t c = from[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        if (at + (plain ? 1 : 4) + 2 > out_size) /* closing quote and NUL */
            break;
        if (plain) {
            out[at++] = (char)c;
            continue;
        }
        out[at++] = '\\';
        out[at++] = 'x';
        out[at++] = digits[c >> 4];
        out[at++] = digits[c & 15];
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}
