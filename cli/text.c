#include "text.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "base/clock.h"
#include "base/mem.h"

#define MINUTE 60u
#define HOUR 3600u
#define DAY 86400u
#define DURATION_MAX_S (10u * 365 * DAY)

/* The next character: its bytes and columns. Broken UTF-8 and controls are one byte, one column, not good. */
struct glyph {
    size_t bytes, columns;
    bool good;
};

static struct glyph glyph_at(const char *text)
{
    mbstate_t state = {0};
    wchar_t wide;
    size_t bytes = mbrtowc(&wide, text, MB_LEN_MAX, &state);
    int columns;

    if (bytes == 0 || bytes > MB_LEN_MAX)
        return (struct glyph){.bytes = 1, .columns = 1};
    columns = wcwidth(wide);
    if (columns < 0)
        return (struct glyph){.bytes = bytes, .columns = 1};
    return (struct glyph){.bytes = bytes, .columns = (size_t)columns, .good = true};
}

size_t text_width(const char *text)
{
    size_t columns = 0;

    while (*text != '\0') {
        struct glyph g = glyph_at(text);
        columns += g.columns;
        text += g.bytes;
    }
    return columns;
}

char *text_clean(const char *text)
{
    char *clean = mem_alloc(strlen(text) + 1), *at = clean;

    while (*text != '\0') {
        struct glyph g = glyph_at(text);
        if (g.good) {
            memcpy(at, text, g.bytes);
            at += g.bytes;
        } else {
            *at++ = *text == '\n' || *text == '\t' ? ' ' : '?';
        }
        text += g.bytes;
    }
    *at = '\0';
    return clean;
}

char *text_cut(const char *text, size_t columns, const char *mark)
{
    size_t room, used = 0;
    const char *at = text;

    if (text_width(text) <= columns)
        return mem_string(text);
    if (text_width(mark) > columns)
        mark = "";
    room = columns - text_width(mark);
    while (*at != '\0') {
        struct glyph g = glyph_at(at);
        if (used + g.columns > room)
            break;
        used += g.columns;
        at += g.bytes;
    }
    return mem_printf("%.*s%s", (int)(at - text), text, mark);
}

bool text_is_utf8(const char *text)
{
    while (*text != '\0') {
        mbstate_t state = {0};
        size_t bytes = mbrtowc(NULL, text, MB_LEN_MAX, &state);
        if (bytes > MB_LEN_MAX)
            return false;
        text += bytes;
    }
    return true;
}

void text_bytes(char out[TEXT_SIZE], uint64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;

    if (bytes < 1000) {
        (void)snprintf(out, TEXT_SIZE, "%u B", (unsigned)bytes);
        return;
    }
    for (value /= 1000; value >= 999.5 && unit < 3; unit++)
        value /= 1000;
    (void)snprintf(out, TEXT_SIZE, "%.*f %s", value < 9.95 ? 1 : 0, value, units[unit]);
}

void text_duration(char out[TEXT_SIZE], uint64_t seconds)
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {{DAY, "d"}, {HOUR, "h"}, {MINUTE, "min"}, {1, "s"}};
    size_t i = 0;

    while (i < 3 && seconds < units[i].seconds)
        i++;
    uint64_t first = seconds / units[i].seconds;
    uint64_t second = i < 3 ? seconds % units[i].seconds / units[i + 1].seconds : 0;
    if (second == 0)
        (void)snprintf(out, TEXT_SIZE, "%llu %s", (unsigned long long)first, units[i].name);
    else
        (void)snprintf(out, TEXT_SIZE, "%llu %s %llu %s", (unsigned long long)first, units[i].name,
                       (unsigned long long)second, units[i + 1].name);
}

void text_ago(char out[TEXT_SIZE], const char *iso, uint64_t wall_ms)
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {{DAY, "d"}, {HOUR, "h"}, {MINUTE, "min"}, {1, "s"}};
    uint64_t then_ms, seconds;
    size_t i = 0;

    if (iso == NULL || !clock_parse(&then_ms, iso)) {
        (void)snprintf(out, TEXT_SIZE, "%s", iso == NULL ? "never" : "?");
        return;
    }
    seconds = wall_ms > then_ms ? (wall_ms - then_ms) / 1000 : 0; /* clocks of two machines differ */
    if (seconds == 0) {
        (void)snprintf(out, TEXT_SIZE, "now");
        return;
    }
    while (i < 3 && seconds < units[i].seconds)
        i++;
    (void)snprintf(out, TEXT_SIZE, "%llu %s ago", (unsigned long long)(seconds / units[i].seconds),
                   units[i].name);
}

void text_time(char out[TEXT_SIZE], const char *iso)
{
    uint64_t wall_ms;
    struct tm local;
    time_t seconds;

    if (iso == NULL || !clock_parse(&wall_ms, iso)) {
        (void)snprintf(out, TEXT_SIZE, "%s", iso == NULL ? "-" : "?");
        return;
    }
    seconds = (time_t)(wall_ms / 1000);
    if (localtime_r(&seconds, &local) == NULL || strftime(out, TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &local) == 0)
        (void)snprintf(out, TEXT_SIZE, "?");
}

bool text_parse_duration(uint64_t *seconds, const char *text)
{
    static const struct {
        const char *suffix;
        unsigned seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", MINUTE}, {"min", MINUTE}, {"h", HOUR}, {"d", DAY}};
    char *end;
    unsigned long long number;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0 || number > DURATION_MAX_S)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].suffix) == 0) {
            *seconds = number * units[i].seconds;
            return *seconds <= DURATION_MAX_S;
        }
    }
    return false;
}

bool text_parse_percent(double *percent, const char *text)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *percent = strtod(text, &end);
    if (*end == '%')
        end++;
    return *end == '\0' && isfinite(*percent) && *percent > 0 && *percent <= 100;
}
