/* names.h: words for what the protocol has numbers and letters for. */
#ifndef CYAN_CLI_NAMES_H
#define CYAN_CLI_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

#define NAMES_SIZE 64
/* `Argon`, or the number. id below 0: `-`. */
void names_platform(char out[NAMES_SIZE], long id);
/* A number, or a name in any case. */
must_check bool names_parse_platform(uint16_t *id, const char *text);
/* `system part 1`, `bootloader`: of the letter of describes, with the index where there are several. */
void names_module(char out[NAMES_SIZE], const char *letter, long index);
/* `s1`, `c0`: letter and index; false when it is not. */
must_check bool names_parse_module(char *letter, uint8_t *index, const char *text, size_t text_len);

#endif
