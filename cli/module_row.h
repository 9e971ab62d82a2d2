/* module_row.h: how modules, their versions and lists of them are written for people. */
#ifndef CYAN_CLI_MODULE_ROW_H
#define CYAN_CLI_MODULE_ROW_H

#include <jansson.h>

#include "names.h"

/* `system part 1` of an object with f or function, n or index. */
void module_row_name(char out[NAMES_SIZE], const json_t *object);
/* `bootloader 3001, system part 1 3100` of a list of {f, n, v}; the caller frees. */
char *module_row_list(const json_t *list) __attribute__((malloc));
/* Sentences of a list of texts, each on a line after lead; nothing for an empty list. */
void module_row_print_sentences(const json_t *list, const char *lead);

#endif
