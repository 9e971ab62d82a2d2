/* text.h: text for people: columns of UTF-8, times, sizes. LC_CTYPE must be a UTF-8 one (terminal_init). */
#ifndef CYAN_CLI_TEXT_H
#define CYAN_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

/* How many columns of a terminal it takes. */
size_t text_width(const char *text);
/* A copy without what a terminal would obey: control characters and broken UTF-8 become `?`. The caller
 * frees. */
char *text_clean(const char *text) __attribute__((malloc));
/* A copy of at most `columns`; what is cut away is shown by mark. The caller frees. */
char *text_cut(const char *text, size_t columns, const char *mark) __attribute__((malloc));
bool text_is_utf8(const char *text);

#define TEXT_SIZE 48
void text_bytes(char out[TEXT_SIZE], uint64_t bytes);      /* `829 kB` */
void text_duration(char out[TEXT_SIZE], uint64_t seconds); /* `1 h 5 min`: the two largest parts */
void text_ago(char out[TEXT_SIZE], const char *iso, uint64_t wall_ms); /* `3 min ago`; iso NULL: `never` */
void text_time(char out[TEXT_SIZE], const char *iso); /* of this machine's time zone; NULL: `-` */
/* `90`, `90s`, `15m`, `2h`, `7d`. */
must_check bool text_parse_duration(uint64_t *seconds, const char *text);
/* `5` or `5%` or `2.5%`, above 0 up to 100. */
must_check bool text_parse_percent(double *percent, const char *text);

#endif
