#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "module/module_names.h"

#define PLATFORM_MAX 65535
#define LETTERS "bmsuacr"

void names_platform(char out[NAMES_SIZE], long id)
{
    const char *name = id >= 0 && id <= PLATFORM_MAX ? module_platform_name((uint16_t)id) : NULL;

    if (id < 0)
        (void)snprintf(out, NAMES_SIZE, "-");
    else if (name != NULL)
        (void)snprintf(out, NAMES_SIZE, "%s", name);
    else
        (void)snprintf(out, NAMES_SIZE, "%ld", id);
}

bool names_parse_platform(uint16_t *id, const char *text)
{
    char *end;
    unsigned long number;

    for (unsigned i = 0; i <= PLATFORM_MAX; i++) {
        const char *name = module_platform_name((uint16_t)i);
        if (name != NULL && strcasecmp(name, text) == 0) {
            *id = (uint16_t)i;
            return true;
        }
    }
    if (*text < '0' || *text > '9')
        return false;
    number = strtoul(text, &end, 10);
    *id = (uint16_t)number;
    return *end == '\0' && number <= PLATFORM_MAX;
}

void names_module(char out[NAMES_SIZE], const char *letter, long index)
{
    static const struct {
        char letter;
        bool several; /* of one function on a device */
        const char *name;
    } names[] = {{'b', false, "bootloader"},  {'m', false, "monolithic firmware"},
                 {'s', true, "system part"},  {'u', true, "user part"},
                 {'a', false, "radio stack"}, {'c', false, "network co-processor"},
                 {'r', false, "resource"}};

    for (size_t i = 0; letter != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].letter != letter[0])
            continue;
        if (names[i].several || index > 0)
            (void)snprintf(out, NAMES_SIZE, "%s %ld", names[i].name, index);
        else
            (void)snprintf(out, NAMES_SIZE, "%s", names[i].name);
        return;
    }
    (void)snprintf(out, NAMES_SIZE, "%.8s%ld", letter != NULL ? letter : "?", index);
}

bool names_parse_module(char *letter, uint8_t *index, const char *text, size_t text_len)
{
    char digits[4] = "";
    unsigned long number;

    if (text_len < 1 || text_len > 4 || strchr(LETTERS, text[0]) == NULL)
        return false;
    memcpy(digits, text + 1, text_len - 1);
    if (strspn(digits, "0123456789") != text_len - 1)
        return false;
    number = strtoul(text_len > 1 ? digits : "0", NULL, 10);
    *letter = text[0];
    *index = (uint8_t)number;
    return number <= 255;
}
