#include "fleet/scope.h"

#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz0123456789._-"

/* The next of a list, which moves past it; false at the end. */
static bool next(const char **list, const char **scope, size_t *scope_len)
{
    *list += strspn(*list, " ");
    *scope = *list;
    *scope_len = strcspn(*list, " ");
    *list += *scope_len;
    return *scope_len > 0;
}

static bool is_side(const char *text, size_t len)
{
    return len > 0 && (strspn(text, LETTERS) >= len || (len == 1 && *text == '*'));
}

bool scope_is_valid(const char *scope)
{
    const char *colon = strchr(scope, ':');
    if (strcmp(scope, "*") == 0)
        return true;
    return colon && is_side(scope, (size_t)(colon - scope)) && is_side(colon + 1, strlen(colon + 1));
}

static bool side_covers(const char *has, size_t has_len, const char *wanted, size_t wanted_len)
{
    return (has_len == 1 && *has == '*') || (has_len == wanted_len && memcmp(has, wanted, has_len) == 0);
}

static bool covers(const char *has, size_t has_len, const char *wanted, size_t wanted_len)
{
    const char *has_colon = memchr(has, ':', has_len), *colon = memchr(wanted, ':', wanted_len);
    if (has_len == 1 && *has == '*')
        return true;
    if (!has_colon || !colon)
        return false;
    size_t has_left = (size_t)(has_colon - has), left = (size_t)(colon - wanted);
    return side_covers(has, has_left, wanted, left) &&
           side_covers(has_colon + 1, has_len - has_left - 1, colon + 1, wanted_len - left - 1);
}

static bool covers_one(const char *list, const char *wanted, size_t wanted_len)
{
    const char *scope;
    size_t scope_len;
    while (next(&list, &scope, &scope_len))
        if (covers(scope, scope_len, wanted, wanted_len))
            return true;
    return false;
}

bool scope_covers(const char *list, const char *wanted)
{
    return covers_one(list, wanted, strlen(wanted));
}

bool scope_covers_all(const char *list, const char *wanted_list)
{
    const char *wanted;
    size_t wanted_len;
    while (next(&wanted_list, &wanted, &wanted_len))
        if (!covers_one(list, wanted, wanted_len))
            return false;
    return true;
}

bool scope_only_reads(const char *list)
{
    const char *scope;
    size_t scope_len;
    while (next(&list, &scope, &scope_len)) {
        const char *colon = memchr(scope, ':', scope_len);
        size_t action_len = colon ? scope_len - (size_t)(colon - scope) - 1 : 0;
        if (!side_covers("get", 3, colon ? colon + 1 : "", action_len) &&
            !side_covers("list", 4, colon ? colon + 1 : "", action_len))
            return false;
    }
    return true;
}
