#include "module_row.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "field.h"
#include "text.h"

/* The number of an index, which describes write as text. */
static long index_of(const json_t *object, const char *key)
{
    const char *text = field_text(object, key);

    return text != NULL ? strtol(text, NULL, 10) : (long)field_integer(object, key);
}

void module_row_name(char out[NAMES_SIZE], const json_t *object)
{
    const char *letter = field_text(object, "f");

    if (letter == NULL)
        letter = field_text(object, "function");
    names_module(out, letter, index_of(object, json_object_get(object, "n") != NULL ? "n" : "index"));
}

char *module_row_list(const json_t *list)
{
    char *text = NULL, name[NAMES_SIZE];
    size_t len = 0, i;
    FILE *out = open_memstream(&text, &len);
    json_t *one;

    must(out != NULL);
    json_array_foreach (list, i, one) {
        module_row_name(name, one);
        (void)fprintf(out, "%s%s %lld", i > 0 ? ", " : "", name, (long long)field_integer(one, "v"));
    }
    must(fclose(out) == 0);
    return text;
}

void module_row_print_sentences(const json_t *list, const char *lead)
{
    json_t *one;
    size_t i;

    json_array_foreach (list, i, one) {
        const char *text = json_string_value(one);
        char *clean = text_clean(text != NULL ? text : "?");
        (void)printf("%s%s\n", lead, clean);
        free(clean);
    }
}
