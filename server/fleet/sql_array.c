/* sql_array.c: array literals as PostgreSQL documentation 8.15.6 describes them. */
#include "fleet/sql_array.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/must.h"

static char *room(struct sql_array *a, size_t more)
{
    if (a->len + more > a->size) {
        a->size = (a->len + more) * 2;
        a->text = mem_grow(a->text, a->size, 1);
    }
    return a->text + a->len;
}

static void put(struct sql_array *a, const char *text, size_t text_len)
{
    memcpy(room(a, text_len + 1), text, text_len);
    a->len += text_len;
    a->text[a->len] = 0;
}

static void separate(struct sql_array *a)
{
    must(!a->ended);
    if (a->len > 1)
        put(a, ",", 1);
}

void sql_array_init(struct sql_array *a)
{
    *a = (struct sql_array){.text = NULL};
    put(a, "{", 1);
}

void sql_array_deinit(struct sql_array *a)
{
    free(a->text);
    a->text = NULL;
}

void sql_array_null(struct sql_array *a)
{
    separate(a);
    put(a, "NULL", 4);
}

void sql_array_text(struct sql_array *a, const char *value)
{
    if (!value) {
        sql_array_null(a);
        return;
    }
    separate(a);
    put(a, "\"", 1);
    for (const char *c = value; *c;) {
        size_t plain = strcspn(c, "\"\\");
        put(a, c, plain);
        c += plain;
        if (*c) {
            put(a, "\\", 1);
            put(a, c++, 1);
        }
    }
    put(a, "\"", 1);
}

void sql_array_words(struct sql_array *a, const char *words)
{
    char *list = mem_string(words), *rest = list, *word;
    while ((word = strsep(&rest, " ")) != NULL)
        if (*word)
            sql_array_text(a, word);
    free(list);
}

void sql_array_int(struct sql_array *a, int64_t value)
{
    char text[DECIMAL_TEXT_SIZE];
    size_t text_len = decimal_encode(text, value);
    separate(a);
    put(a, text, text_len);
}

void sql_array_bool(struct sql_array *a, bool value)
{
    separate(a);
    put(a, value ? "t" : "f", 1);
}

void sql_array_bytes(struct sql_array *a, const void *data, size_t data_len)
{
    separate(a);
    put(a, "\"\\\\x", 4);
    hex_encode(room(a, 2 * data_len + 1), data, data_len);
    a->len += 2 * data_len;
    put(a, "\"", 1);
}

const char *sql_array_end(struct sql_array *a)
{
    if (!a->ended)
        put(a, "}", 1);
    a->ended = true;
    return a->text;
}
