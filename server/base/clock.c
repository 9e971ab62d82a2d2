#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/must.h"

static uint64_t read_ms(clockid_t id)
{
    struct timespec t;
    int ret = clock_gettime(id, &t);
    must(ret == 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* So that what was before this machine started can be told too: 35 years. */
#define BEFORE_START_MS ((uint64_t)1 << 40)

uint64_t clock_ms(void)
{
    return read_ms(CLOCK_MONOTONIC) + BEFORE_START_MS;
}

uint64_t clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

#define WALL_MAX_MS 253402300799999ULL /* 9999-12-31T23:59:59.999Z: the last one of 24 characters */

void clock_format(char out[CLOCK_TEXT_SIZE], uint64_t wall_ms)
{
    static _Thread_local char text[CLOCK_TEXT_SIZE]; /* of that second: there are many lines in one */
    static _Thread_local time_t text_s = -1;
    struct tm tm;

    if (wall_ms > WALL_MAX_MS)
        wall_ms = WALL_MAX_MS;
    time_t wall_s = (time_t)(wall_ms / 1000);
    if (wall_s != text_s) {
        must(gmtime_r(&wall_s, &tm) == &tm);
        must(strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.000Z", &tm) == CLOCK_TEXT_SIZE - 1);
        text_s = wall_s;
    }
    memcpy(out, text, sizeof(text));
    unsigned ms = (unsigned)(wall_ms % 1000);
    out[20] = (char)('0' + ms / 100);
    out[21] = (char)('0' + ms / 10 % 10);
    out[22] = (char)('0' + ms % 10);
}

/* Exactly `count` digits at *at, which moves past them; -1 when they are not there. */
static int take_digits(const char **at, int count)
{
    int value = 0;

    for (int i = 0; i < count; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    *at += count;
    return value;
}

static bool take_char(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date(struct tm *tm, const char **at)
{
    int year = take_digits(at, 4);
    if (year < 1970 || !take_char(at, '-'))
        return false;
    int month = take_digits(at, 2);
    if (month < 1 || month > 12 || !take_char(at, '-'))
        return false;
    int day = take_digits(at, 2);
    if (day < 1 || day > days_in_month(year, month))
        return false;
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    tm->tm_mday = day;
    return true;
}

/* hh:mm[:ss[.fraction]]; digits of the fraction after the third are dropped. */
static bool take_time(struct tm *tm, int *ms, const char **at)
{
    tm->tm_hour = take_digits(at, 2);
    if (tm->tm_hour < 0 || tm->tm_hour > 23 || !take_char(at, ':'))
        return false;
    tm->tm_min = take_digits(at, 2);
    if (tm->tm_min < 0 || tm->tm_min > 59)
        return false;
    if (!take_char(at, ':'))
        return true;
    tm->tm_sec = take_digits(at, 2);
    if (tm->tm_sec < 0 || tm->tm_sec > 60) /* 60: a leap second */
        return false;
    if (!take_char(at, '.'))
        return true;
    if (**at < '0' || **at > '9')
        return false;
    for (int scale = 100; **at >= '0' && **at <= '9'; scale /= 10, (*at)++)
        *ms += (**at - '0') * scale;
    return true;
}

/* Z, +hh:mm or -hh:mm. */
static bool take_offset(int *offset_s, const char **at)
{
    *offset_s = 0;
    if (take_char(at, 'Z'))
        return true;
    int sign = **at == '-' ? -1 : 1;
    if (!take_char(at, '+') && !take_char(at, '-'))
        return false;
    int hours = take_digits(at, 2);
    if (hours < 0 || hours > 23 || !take_char(at, ':'))
        return false;
    int minutes = take_digits(at, 2);
    if (minutes < 0 || minutes > 59)
        return false;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool clock_parse(uint64_t *wall_ms, const char *text)
{
    struct tm tm;
    int ms = 0, offset_s = 0;
    const char *at = text;

    memset(&tm, 0, sizeof(tm));
    if (!take_date(&tm, &at))
        return false;
    if (*at != '\0') {
        if (!take_char(&at, 'T') || !take_time(&tm, &ms, &at) || !take_offset(&offset_s, &at) || *at != '\0')
            return false;
    }
    int64_t wall_s = (int64_t)timegm(&tm) - offset_s;
    if (wall_s < 0) /* 1970-01-01 with an offset east of Greenwich */
        return false;
    *wall_ms = (uint64_t)wall_s * 1000 + (uint64_t)ms;
    return true;
}
