/* rule_parse.c: the body of a transition_rule, read strictly: what is not understood is refused, never left
 * out, because a rule that says less than its author meant can cost devices. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "plan/rule.h"

#define NO_BOUND 65536u /* one more than any version */

static const char *const kind_names[] = {
    "requires", "forbids", "must_pass_through", "unreachable", "prefers", "collateral", "deep_update_needed",
};
#define KIND_COUNT (sizeof kind_names / sizeof *kind_names)

const char *rule_kind_name(enum rule_kind kind)
{
    must((size_t)kind < KIND_COUNT);
    return kind_names[kind];
}

bool rule_kind_parse(enum rule_kind *kind, const char *name)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (!strcmp(name, kind_names[i])) {
            *kind = (enum rule_kind)i;
            return true;
        }
    return false;
}

__attribute__((format(printf, 2, 3))) static bool refuse(char why[RULE_WHY_SIZE], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, RULE_WHY_SIZE, format, args);
    va_end(args);
    return false;
}

/* names: the keys that may be there, separated by spaces. */
static bool has_only(const json_t *object, const char *where, const char *names, char why[RULE_WHY_SIZE])
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return refuse(why, "%s must be an object.", where);
    json_object_foreach ((json_t *)object, key, value) {
        size_t len = strlen(key);
        const char *at = names;
        while ((at = strstr(at, key)) != NULL &&
               !((at == names || at[-1] == ' ') && (at[len] == ' ' || at[len] == 0)))
            at++;
        if (len == 0 || at == NULL)
            return refuse(why, "%s has a key `%.40s` that means nothing there; known are: %s.", where, key,
                          names);
    }
    return true;
}

struct int_field {
    const char *key;
    uint32_t min, max;
};

/* An absent one leaves value as it is. */
static bool read_int(uint32_t *value, const json_t *object, const char *where, const struct int_field *field,
                     char why[RULE_WHY_SIZE])
{
    const json_t *number = json_object_get(object, field->key);
    if (number == NULL)
        return true;
    if (!json_is_integer(number) || json_integer_value(number) < field->min ||
        json_integer_value(number) > field->max)
        return refuse(why, "`%s` of %s must be a number from %u to %u.", field->key, where, field->min,
                      field->max);
    *value = (uint32_t)json_integer_value(number);
    return true;
}

/* Letters of describes (device-protocol 4.4.3); r0 of a Core is its CC3000 patch. */
static uint8_t function_of(const char *letter)
{
    static const char letters[] = "nrbmsu_ca"; /* place = number */
    const char *at =
        letter != NULL && strlen(letter) == 1 && *letter != '_' ? strchr(letters, *letter) : NULL;
    return at != NULL ? (uint8_t)(at - letters) : 0;
}

static bool read_module(struct rule_condition *c, const json_t *object, const char *where,
                        char why[RULE_WHY_SIZE])
{
    uint32_t index = 0;
    c->function = function_of(json_string_value(json_object_get(object, "module")));
    if (c->function == 0)
        return refuse(why, "`module` of %s must be one of r, b, m, s, u, c, a.", where);
    if (!read_int(&index, object, where, &(struct int_field){"index", 0, 255}, why))
        return false;
    c->index = (uint8_t)index;
    c->below = NO_BOUND;
    return true;
}

static bool read_is(struct rule_condition *c, const json_t *list, const char *where, char why[RULE_WHY_SIZE])
{
    size_t i;
    json_t *value;
    if (!json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > RULE_IS_MAX)
        return refuse(why, "`is` of %s must be a list of 1 to %d versions.", where, RULE_IS_MAX);
    json_array_foreach ((json_t *)list, i, value) {
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) > UINT16_MAX)
            return refuse(why, "`is` of %s must be versions from 0 to 65535.", where);
        c->is[c->is_count++] = (uint16_t)json_integer_value(value);
    }
    return true;
}

static bool read_bounds(struct rule_condition *c, const json_t *object, const char *where,
                        char why[RULE_WHY_SIZE])
{
    const json_t *is = json_object_get(object, "is");
    if (!read_int(&c->from, object, where, &(struct int_field){"from", 0, UINT16_MAX}, why) ||
        !read_int(&c->below, object, where, &(struct int_field){"below", 1, UINT16_MAX}, why))
        return false;
    if (c->from >= c->below)
        return refuse(why, "`from` of %s must be less than its `below`.", where);
    return is == NULL || read_is(c, is, where, why);
}

static bool has_bound(const json_t *object)
{
    return json_object_get(object, "from") || json_object_get(object, "below") ||
           json_object_get(object, "is");
}

static bool read_condition(struct rule_condition *c, const json_t *object, const char *where,
                           bool needs_bound, char why[RULE_WHY_SIZE])
{
    if (!has_only(object, where, "module index from below is", why) || !read_module(c, object, where, why) ||
        !read_bounds(c, object, where, why))
        return false;
    if (needs_bound && !has_bound(object))
        return refuse(why, "%s must have at least one of `from`, `below` and `is`.", where);
    return true;
}

/* One condition, or a list of them that all hold. */
static bool read_conditions(struct plan_rule *rule, const json_t *body, const char *key, bool needs_bound,
                            char why[RULE_WHY_SIZE])
{
    const json_t *value = json_object_get(body, key);
    char where[24];
    size_t i;
    json_t *one;
    (void)snprintf(where, sizeof where, "`%s`", key);
    if (json_is_object(value)) {
        rule->has_count = 1;
        return read_condition(&rule->has[0], value, where, needs_bound, why);
    }
    if (!json_is_array(value) || json_array_size(value) < 1 || json_array_size(value) > RULE_CONDITIONS_MAX)
        return refuse(why, "`%s` must be a condition or a list of 1 to %d conditions.", key,
                      RULE_CONDITIONS_MAX);
    rule->has_count = json_array_size(value);
    json_array_foreach ((json_t *)value, i, one)
        if (!read_condition(&rule->has[i], one, where, needs_bound, why))
            return false;
    return true;
}

static bool read_step(struct plan_rule *rule, const json_t *body, char why[RULE_WHY_SIZE])
{
    const json_t *step = json_object_get(body, "step");
    if (step == NULL)
        return refuse(
            why, "the body must have a `step`, as in {\"module\": \"s\", \"index\": 1, \"from\": 5600}.");
    return read_condition(&rule->step, step, "`step`", false, why);
}

static bool read_requires(struct plan_rule *rule, const json_t *body, char why[RULE_WHY_SIZE])
{
    const char *way = json_string_value(json_object_get(body, "way"));
    if (json_object_get(body, "way") == NULL) {
        if (!has_only(body, "the body", "step requires", why) || !read_step(rule, body, why))
            return false;
    } else if (!has_only(body, "the body", "way requires", why)) {
        return false;
    } else if (way == NULL || strcmp(way, "combined_bootloader_softdevice") != 0) {
        return refuse(why, "`way` must be combined_bootloader_softdevice.");
    }
    rule->step.is_way = way != NULL;
    return read_conditions(rule, body, "requires", true, why);
}

static bool read_forbids(struct plan_rule *rule, const json_t *body, char why[RULE_WHY_SIZE])
{
    return has_only(body, "the body", "has step", why) && read_step(rule, body, why) &&
           read_conditions(rule, body, "has", true, why);
}

static bool read_through(struct plan_rule *rule, const json_t *body, char why[RULE_WHY_SIZE])
{
    const json_t *through = json_object_get(body, "through");
    if (!has_only(body, "the body", "module index through", why) ||
        !read_module(&rule->step, body, "the body", why) ||
        !has_only(through, "`through`", "from below", why))
        return false;
    if (!json_object_get(through, "from") || !json_object_get(through, "below"))
        return refuse(why, "`through` must have `from` and `below`, as in {\"from\": 207, \"below\": 300}.");
    return read_bounds(&rule->step, through, "`through`", why);
}

static bool read_unreachable(struct plan_rule *rule, const json_t *body, char why[RULE_WHY_SIZE])
{
    if (!has_only(body, "the body", "all", why))
        return false;
    if (!json_is_array(json_object_get(body, "all")))
        return refuse(why, "`all` must be a list of 1 to %d conditions.", RULE_CONDITIONS_MAX);
    return read_conditions(rule, body, "all", true, why);
}

static bool read_prefers(struct plan_rule *rule, const json_t *body, char why[RULE_WHY_SIZE])
{
    if (!has_only(body, "the body", "has step cost", why) || !read_step(rule, body, why) ||
        !read_conditions(rule, body, "has", true, why))
        return false;
    if (json_object_get(body, "cost") == NULL)
        return refuse(why,
                      "the body must have a `cost`: how many more bytes would be sent to have it otherwise.");
    return read_int(&rule->cost_bytes, body, "the body", &(struct int_field){"cost", 1, RULE_COST_MAX}, why);
}

static bool read_collateral(struct plan_rule *rule, const json_t *body, char why[RULE_WHY_SIZE])
{
    const json_t *moves = json_object_get(body, "moves");
    size_t i;
    json_t *one;
    if (!has_only(body, "the body", "step moves", why) || !read_step(rule, body, why))
        return false;
    if (!json_is_array(moves) || json_array_size(moves) < 1 || json_array_size(moves) > RULE_CONDITIONS_MAX)
        return refuse(why, "`moves` must be a list of 1 to %d modules.", RULE_CONDITIONS_MAX);
    rule->has_count = json_array_size(moves);
    json_array_foreach ((json_t *)moves, i, one)
        if (!has_only(one, "`moves`", "module index", why) ||
            !read_module(&rule->has[i], one, "`moves`", why))
            return false;
    return true;
}

static bool is_dotted(const char *text)
{
    for (size_t part = 0; part < 6; part++) {
        size_t digits = strspn(text, "0123456789");
        if (digits < 1 || digits > 9)
            return false;
        text += digits;
        if (*text == 0)
            return true;
        if (*text++ != '.')
            return false;
    }
    return false;
}

static bool read_deep_update(struct plan_rule *rule, const json_t *body, char why[RULE_WHY_SIZE])
{
    const char *fact = json_string_value(json_object_get(body, "fact"));
    const char *below = json_string_value(json_object_get(body, "below"));
    if (json_object_get(body, "fact") == NULL) {
        if (!has_only(body, "the body", "module index below", why) ||
            !read_module(&rule->step, body, "the body", why))
            return false;
        if (json_object_get(body, "below") == NULL)
            return refuse(why, "the body must have `below`, a version.");
        return read_bounds(&rule->step, body, "the body", why);
    }
    if (!has_only(body, "the body", "fact below", why))
        return false;
    if (fact == NULL || strcmp(fact, "cc3000_patch_version") != 0)
        return refuse(why, "`fact` must be cc3000_patch_version.");
    return (below != NULL && is_dotted(below)) ||
           refuse(why, "`below` must be a dotted version like \"1.28\".");
}

static bool is_code(const char *code)
{
    size_t len = strlen(code);
    return len >= 1 && len <= RULE_CODE_MAX && strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

static bool read_words(struct plan_rule *rule, const struct rule_words *words, char why[RULE_WHY_SIZE])
{
    if (!is_code(words->code))
        return refuse(why, "`code` must be 1 to %d small letters, digits, dots and dashes.", RULE_CODE_MAX);
    if (words->explain[0] == 0 || strlen(words->explain) > RULE_TEXT_MAX)
        return refuse(why, "`explain` must be a sentence of 1 to %d bytes.", RULE_TEXT_MAX);
    if (words->evidence[0] == 0 || strlen(words->evidence) > RULE_TEXT_MAX)
        return refuse(why, "`evidence` must say in 1 to %d bytes how this is known.", RULE_TEXT_MAX);
    (void)snprintf(rule->code, sizeof rule->code, "%s", words->code);
    (void)snprintf(rule->explain, sizeof rule->explain, "%s", words->explain);
    (void)snprintf(rule->evidence, sizeof rule->evidence, "%s", words->evidence);
    return true;
}

bool rule_parse(struct plan_rule *rule, enum rule_kind kind, const struct rule_words *words,
                const json_t *body, char why[RULE_WHY_SIZE])
{
    static bool (*const read[])(struct plan_rule *, const json_t *, char *) = {
        [RULE_REQUIRES] = read_requires,
        [RULE_FORBIDS] = read_forbids,
        [RULE_MUST_PASS_THROUGH] = read_through,
        [RULE_UNREACHABLE] = read_unreachable,
        [RULE_PREFERS] = read_prefers,
        [RULE_COLLATERAL] = read_collateral,
        [RULE_DEEP_UPDATE_NEEDED] = read_deep_update,
    };
    must((size_t)kind < KIND_COUNT);
    *rule = (struct plan_rule){.kind = kind};
    return read_words(rule, words, why) && read[kind](rule, body, why);
}
