#include "campaign/stage.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DEVICES_MAX 100000000
#define SECONDS_MAX 31536000

/* One number of an object: its name, what it may be, what it is when it is not there (NONE: left out). */
struct number {
    const char *name;
    double min, max, preset;
    bool is_whole;
};
#define NONE (-1)

static const struct number gate_numbers[] = {
    {"max_failure_percent", 0.01, 99, 5, false}, {"min_resolved", 1, DEVICES_MAX, 5, true},
    {"coverage_percent", 0, 100, 90, false},     {"soak_s", 0, SECONDS_MAX, 3600, true},
    {"max_lost", 1, DEVICES_MAX, 3, true},
};
static const struct number limit_numbers[] = {
    {"transfers", 1, 100000, 100, true},       {"disruption", 1, DEVICES_MAX, NONE, true},
    {"start_per_min", 1, 1000000, NONE, true}, {"verify_s", 0, SECONDS_MAX, 0, true},
    {"tail_s", 0, SECONDS_MAX, 2592000, true},
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

__attribute__((format(printf, 2, 3))) static bool refuse(char why[STAGE_WHY_SIZE], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, STAGE_WHY_SIZE, format, args);
    va_end(args);
    return false;
}

/* Takes one number of `from` into `to`. where: as in `limits` or `stages[0].gate`. */
static bool take_number(json_t *to, const json_t *from, const char *where, const struct number *n,
                        char why[STAGE_WHY_SIZE])
{
    const json_t *value = json_object_get(from, n->name);
    bool fits = n->is_whole ? json_is_integer(value) : json_is_number(value);
    double number = fits ? json_number_value(value) : n->preset;
    if (value != NULL && !json_is_null(value) && !(fits && number >= n->min && number <= n->max))
        return refuse(why, "%s.%s must be a%s number from %.10g to %.10g.", where, n->name,
                      n->is_whole ? " whole" : "", n->min, n->max);
    if (number >= 0)
        (void)json_object_set_new(to, n->name,
                                  n->is_whole ? json_integer((json_int_t)number) : json_real(number));
    return true;
}

static bool take_numbers(json_t *to, const json_t *from, const char *where, const struct number *numbers,
                         size_t count, char why[STAGE_WHY_SIZE])
{
    for (size_t i = 0; i < count; i++) {
        if (!take_number(to, from, where, &numbers[i], why))
            return false;
    }
    return true;
}

/* A misspelt limit would be none. */
static bool knows_keys(const json_t *object, const char *where, const char *const *known,
                       char why[STAGE_WHY_SIZE])
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)object, key, value) {
        const char *const *k = known;
        while (*k != NULL && strcmp(*k, key) != 0)
            k++;
        if (*k == NULL)
            return refuse(why, "%s has a field %.40s, which means nothing here.", where, key);
    }
    return true;
}

/* --- gate --- */

static const char *const gate_keys[] = {"max_failure_percent",
                                        "min_resolved",
                                        "coverage_percent",
                                        "soak_s",
                                        "max_lost",
                                        "allow_small_canary",
                                        NULL};

static bool gate_check(json_t *to, const json_t *gate, const char *where, char why[STAGE_WHY_SIZE])
{
    const json_t *small = json_object_get(gate, "allow_small_canary");
    if (gate != NULL && !json_is_object(gate))
        return refuse(why, "%s must be an object.", where);
    if (!knows_keys(gate, where, gate_keys, why) ||
        !take_numbers(to, gate, where, gate_numbers, COUNT(gate_numbers), why))
        return false;
    if (small != NULL && !json_is_boolean(small))
        return refuse(why, "%s.allow_small_canary must be true or false.", where);
    (void)json_object_set_new(to, "allow_small_canary", json_boolean(small == NULL || json_is_true(small)));
    return true;
}

static double gate_number(const json_t *gate, size_t which)
{
    const json_t *value = json_object_get(gate, gate_numbers[which].name);
    return json_is_number(value) ? json_number_value(value) : gate_numbers[which].preset;
}

void gate_rules_read(struct gate_rules *rules, const json_t *gate)
{
    const json_t *small = json_object_get(gate, "allow_small_canary");
    *rules = (struct gate_rules){
        .max_failure = gate_number(gate, 0) / 100,
        .min_resolved = (uint32_t)gate_number(gate, 1),
        .coverage = gate_number(gate, 2) / 100,
        .soak_s = (uint32_t)gate_number(gate, 3),
        .max_lost = (uint32_t)gate_number(gate, 4),
        .allow_small_canary = small == NULL || json_is_true(small),
    };
}

/* --- stages --- */

static const char *const stage_keys[] = {"name", "percent", "max_devices", "gate", NULL};
static const struct number stage_percent = {"percent", 0.001, 100, NONE, false};
static const struct number stage_devices = {"max_devices", 1, DEVICES_MAX, NONE, true};

static bool stage_name(json_t *to, const json_t *stage, size_t n, const char *where, char why[STAGE_WHY_SIZE])
{
    const json_t *name = json_object_get(stage, "name");
    size_t name_len = json_string_length(name);
    if (name == NULL || json_is_null(name)) {
        (void)json_object_set_new(to, "name", json_sprintf("stage %zu", n));
        return true;
    }
    if (!json_is_string(name) || name_len == 0 || name_len > STAGE_NAME_MAX ||
        strlen(json_string_value(name)) != name_len)
        return refuse(why, "%s.name must be 1 to %d bytes of text.", where, STAGE_NAME_MAX);
    (void)json_object_set(to, "name", (json_t *)name);
    return true;
}

static bool stage_check(json_t *to, const json_t *stage, size_t n, char why[STAGE_WHY_SIZE])
{
    char where[32], gate_where[40];
    json_t *gate = json_object();
    (void)snprintf(where, sizeof where, "stages[%zu]", n);
    (void)snprintf(gate_where, sizeof gate_where, "%s.gate", where);
    (void)json_object_set_new(to, "gate", gate);
    if (!json_is_object(stage))
        return refuse(why, "%s must be an object.", where);
    if (!knows_keys(stage, where, stage_keys, why) || !stage_name(to, stage, n, where, why) ||
        !take_number(to, stage, where, &stage_percent, why) ||
        !take_number(to, stage, where, &stage_devices, why))
        return false;
    if ((json_object_get(to, "percent") == NULL) == (json_object_get(to, "max_devices") == NULL))
        return refuse(why, "%s must have either percent or max_devices.", where);
    return gate_check(gate, json_object_get(stage, "gate"), gate_where, why);
}

/* Each takes more than the one before, as far as numbers of one kind can say. */
static bool stages_grow(const json_t *stages, char why[STAGE_WHY_SIZE])
{
    static const char *const sizes[] = {"percent", "max_devices"};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        double before = 0;
        size_t n;
        json_t *stage;
        json_array_foreach (stages, n, stage) {
            const json_t *size = json_object_get(stage, sizes[s]);
            if (size != NULL && json_number_value(size) <= before)
                return refuse(
                    why, "stages[%zu].%s must be more than that of the stages before: each includes them.", n,
                    sizes[s]);
            if (size != NULL)
                before = json_number_value(size);
        }
    }
    return true;
}

json_t *stages_check(const json_t *stages, char why[STAGE_WHY_SIZE])
{
    json_t *checked = json_array(), *all = json_pack("[{sssi}]", "name", "all", "percent", 100), *stage;
    size_t n;
    bool fine = true;
    if (stages == NULL || json_is_null(stages))
        stages = all;
    if (json_array_size(stages) == 0 || json_array_size(stages) > STAGES_MAX)
        fine = refuse(why, "stages must be a list of 1 to %d stages.", STAGES_MAX);
    json_array_foreach (stages, n, stage) {
        json_t *to = json_object();
        fine = fine && stage_check(to, stage, n, why);
        (void)json_array_append_new(checked, to);
    }
    fine = fine && stages_grow(checked, why);
    json_decref(all);
    if (fine)
        return checked;
    json_decref(checked);
    return NULL;
}

/* --- limits --- */

static const char *const limit_keys[] = {"transfers", "disruption", "start_per_min", "verify_s", "tail_s",
                                         "window",    NULL};
static const char *const window_keys[] = {"from", "to", "tz", "days", NULL};

static bool is_time_of_day(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == 5 && text[2] == ':' && strspn(text, "0123456789") == 2 &&
           strspn(text + 3, "0123456789") == 2 && memcmp(text, "24", 2) < 0 && text[3] < '6';
}

static bool days_check(json_t *to, const json_t *days, char why[STAGE_WHY_SIZE])
{
    size_t n;
    json_t *day;
    if (days == NULL || json_is_null(days))
        return true;
    if (json_array_size(days) < 1 || json_array_size(days) > 7)
        return refuse(why, "limits.window.days must be a list of 1 to 7 days, Monday 1 to Sunday 7.");
    json_array_foreach (days, n, day) {
        if (!json_is_integer(day) || json_integer_value(day) < 1 || json_integer_value(day) > 7)
            return refuse(why, "limits.window.days[%zu] must be a day from Monday 1 to Sunday 7.", n);
    }
    (void)json_object_set(to, "days", (json_t *)days);
    return true;
}

/* Whether the time zone exists is Postgres's to say, which keeps the clocks. */
static bool window_check(json_t *to, const json_t *window, char why[STAGE_WHY_SIZE])
{
    const json_t *tz = json_object_get(window, "tz");
    json_t *checked;
    if (window == NULL || json_is_null(window))
        return true;
    if (!json_is_object(window))
        return refuse(why, "limits.window must be an object.");
    if (!knows_keys(window, "limits.window", window_keys, why))
        return false;
    if (!is_time_of_day(json_object_get(window, "from")) || !is_time_of_day(json_object_get(window, "to")))
        return refuse(why, "limits.window.from and .to must be times of day like 22:00.");
    if (!json_is_string(tz) || json_string_length(tz) == 0 || json_string_length(tz) > 64 ||
        strlen(json_string_value(tz)) != json_string_length(tz))
        return refuse(why, "limits.window.tz must be a time zone like Europe/Berlin.");
    checked = json_pack("{sOsOsO}", "from", json_object_get(window, "from"), "to",
                        json_object_get(window, "to"), "tz", tz);
    (void)json_object_set_new(to, "window", checked);
    return days_check(checked, json_object_get(window, "days"), why);
}

json_t *limits_check(const json_t *limits, char why[STAGE_WHY_SIZE])
{
    json_t *checked = json_object();
    if (json_is_null(limits))
        limits = NULL;
    if (limits != NULL && !json_is_object(limits))
        (void)refuse(why, "limits must be an object.");
    else if (knows_keys(limits, "limits", limit_keys, why) &&
             take_numbers(checked, limits, "limits", limit_numbers, COUNT(limit_numbers), why) &&
             window_check(checked, json_object_get(limits, "window"), why))
        return checked;
    json_decref(checked);
    return NULL;
}
