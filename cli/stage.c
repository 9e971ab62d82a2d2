#include "stage.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "text.h"

#define COUNT_MAX 10000000

#define refuse(why, ...) ((void)snprintf(why, STAGE_WHY_SIZE, __VA_ARGS__), false)

static bool parse_count(uint64_t *count, const char *text)
{
    char *end;
    unsigned long long number;

    if (*text < '0' || *text > '9')
        return false;
    number = strtoull(text, &end, 10);
    *count = number;
    return *end == '\0' && number <= COUNT_MAX;
}

/* Whole numbers stay whole. */
static json_t *number(double value)
{
    return value == (double)(json_int_t)value ? json_integer((json_int_t)value) : json_real(value);
}

enum gate_kind { PERCENT, COUNT, DURATION };
static const struct {
    const char *key, *field;
    enum gate_kind kind;
} gates[] = {
    {"soak", "soak_s", DURATION},   {"fail", "max_failure_percent", PERCENT},
    {"min", "min_resolved", COUNT}, {"coverage", "coverage_percent", PERCENT},
    {"lost", "max_lost", COUNT},
};

static bool set_gate(json_t *gate, const char *key, const char *value, char why[STAGE_WHY_SIZE])
{
    for (size_t i = 0; i < sizeof(gates) / sizeof(gates[0]); i++) {
        double percent;
        uint64_t count;
        if (strcmp(gates[i].key, key) != 0)
            continue;
        if (gates[i].kind == PERCENT && text_parse_percent(&percent, value))
            return json_object_set_new(gate, gates[i].field, number(percent)) == 0;
        if (gates[i].kind == COUNT && parse_count(&count, value))
            return json_object_set_new(gate, gates[i].field, json_integer((json_int_t)count)) == 0;
        if (gates[i].kind == DURATION && text_parse_duration(&count, value))
            return json_object_set_new(gate, gates[i].field, json_integer((json_int_t)count)) == 0;
        return refuse(why, "%s=%.40s: it is a %s", key, value,
                      gates[i].kind == PERCENT ? "percentage like 5%"
                      : gates[i].kind == COUNT ? "number"
                                               : "time like 2h");
    }
    return refuse(why, "%.40s: a stage knows soak, fail, min, coverage, lost and small-canary", key);
}

static bool set_size(json_t *stage, const char *size, char why[STAGE_WHY_SIZE])
{
    double percent;
    uint64_t count;

    if (strchr(size, '%') != NULL && text_parse_percent(&percent, size))
        return json_object_set_new(stage, "percent", number(percent)) == 0;
    if (parse_count(&count, size) && count > 0)
        return json_object_set_new(stage, "max_devices", json_integer((json_int_t)count)) == 0;
    return refuse(why, "%.40s: a stage has a share of the devices like 5%%, or a number of them", size);
}

static bool set_parts(json_t *stage, json_t *gate, char *parts, char why[STAGE_WHY_SIZE])
{
    char *rest = NULL, *size = strtok_r(parts, ",", &rest), *part;

    if (size == NULL || !set_size(stage, size, why))
        return size != NULL ? false : refuse(why, "how large? NAME:5%%");
    while ((part = strtok_r(NULL, ",", &rest)) != NULL) {
        char *equals = strchr(part, '=');
        if (equals != NULL)
            *equals = '\0';
        if (equals == NULL && strcmp(part, "small-canary") == 0)
            (void)json_object_set_new(gate, "allow_small_canary", json_true());
        else if (!set_gate(gate, part, equals != NULL ? equals + 1 : "", why))
            return false;
    }
    return true;
}

json_t *stage_parse(const char *text, char why[STAGE_WHY_SIZE])
{
    const char *colon = strchr(text, ':');
    json_t *stage = json_object(), *gate = json_object();
    char *parts;
    bool good;

    if (colon == NULL || colon == text) {
        json_decref(stage);
        json_decref(gate);
        (void)refuse(why, "%.60s: a stage is NAME:SIZE[,soak=2h,...], like canary:5%%,soak=1h", text);
        return NULL;
    }
    (void)json_object_set_new(stage, "name", json_stringn(text, (size_t)(colon - text)));
    parts = mem_string(colon + 1);
    good = set_parts(stage, gate, parts, why);
    free(parts);
    (void)json_object_set_new(stage, "gate", gate);
    if (good)
        return stage;
    json_decref(stage);
    return NULL;
}

static bool parse_clock(char out[6], const char *text, size_t len)
{
    unsigned hour, minute;
    char copy[6], after;

    if (len != 5)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (copy[2] != ':' || strspn(copy, "0123456789:") != len ||
        sscanf(copy, "%2u:%2u%c", &hour, &minute, &after) != 2 || hour > 23 || minute > 59)
        return false;
    memcpy(out, copy, sizeof(copy));
    return true;
}

static bool add_days(json_t *window, const char *text, char why[STAGE_WHY_SIZE])
{
    static const char *const days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    json_t *list = json_array();

    (void)json_object_set_new(window, "days", list);
    while (*text != '\0') {
        size_t len = strcspn(text, ","), day = 0;
        while (day < 7 && (len != 3 || strncasecmp(days[day], text, 3) != 0))
            day++;
        if (day == 7)
            return refuse(why, "%.40s: days are mon, tue, wed, thu, fri, sat, sun", text);
        (void)json_array_append_new(list, json_integer((json_int_t)day + 1));
        text += len + (text[len] == ',' ? 1 : 0);
    }
    return true;
}

json_t *stage_parse_window(const char *text, char why[STAGE_WHY_SIZE])
{
    size_t times = strcspn(text, "@,");
    const char *zone = text + times, *dash = memchr(text, '-', times);
    char from[6], to[6];
    json_t *window;

    if (dash == NULL || !parse_clock(from, text, (size_t)(dash - text)) ||
        !parse_clock(to, dash + 1, (size_t)(text + times - dash - 1))) {
        (void)refuse(why, "%.60s: a window is like 22:00-06:00@Europe/Berlin,mon,tue", text);
        return NULL;
    }
    window = json_pack("{ssss}", "from", from, "to", to);
    if (*zone == '@') {
        size_t len = strcspn(zone + 1, ",");
        (void)json_object_set_new(window, "tz", json_stringn(zone + 1, len));
        zone += 1 + len;
    }
    if (*zone == ',' && !add_days(window, zone + 1, why)) {
        json_decref(window);
        return NULL;
    }
    return window;
}
