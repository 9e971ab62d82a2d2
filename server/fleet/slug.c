#include "fleet/slug.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/random.h"

#define WORDS_MAX 30

void slug_with_random(char out[SLUG_SIZE], const char *name, const char *instead)
{
    char words[WORDS_MAX + 1], hex[11];
    uint8_t random[5];
    int len = 0;
    for (; *name && len < WORDS_MAX; name++) {
        unsigned char c = (unsigned char)*name;
        if (c < 0x80 && isalnum(c))
            words[len++] = (char)tolower(c);
        else if (len > 0 && words[len - 1] != '-')
            words[len++] = '-';
    }
    while (len > 0 && words[len - 1] == '-')
        len--;
    words[len] = '\0';
    random_bytes(random, sizeof random);
    hex_encode(hex, random, sizeof random);
    snprintf(out, SLUG_SIZE, "%s-%s", len ? words : instead, hex);
}
