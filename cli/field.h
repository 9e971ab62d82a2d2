/* field.h: members of what the server answered, whatever it is: absent, null and of another type are the
 * same. Views belong to the object. */
#ifndef CYAN_CLI_FIELD_H
#define CYAN_CLI_FIELD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

static inline const char *field_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key)); /* NULL: none */
}
static inline const char *field_text_or(const json_t *object, const char *key, const char *other)
{
    const char *text = field_text(object, key);

    return text != NULL ? text : other;
}
static inline bool field_has_number(const json_t *object, const char *key)
{
    return json_is_number(json_object_get(object, key));
}
static inline double field_number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key)); /* 0: none */
}
static inline json_int_t field_integer(const json_t *object, const char *key)
{
    return (json_int_t)field_number(object, key);
}
static inline uint64_t field_count(const json_t *object, const char *key)
{
    double number = field_number(object, key);

    return number > 0 ? (uint64_t)number : 0;
}
static inline bool field_is_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

#endif
