/* clock.h: the two clocks and their text form. */
#ifndef CYAN_BASE_CLOCK_H
#define CYAN_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Milliseconds since an arbitrary start; never goes back, not touched by clock changes. For every deadline.
 */
uint64_t clock_ms(void);
/* Unix time in milliseconds. For what people and devices read. */
uint64_t clock_wall_ms(void);

#define CLOCK_TEXT_SIZE 25 /* 2014-07-02T23:15:00.409Z and NUL */
void clock_format(char out[CLOCK_TEXT_SIZE], uint64_t wall_ms);
/* ISO 8601 with Z or a +hh:mm offset, seconds and fraction optional, or a bare date; false when it is
 * neither. */
bool clock_parse(uint64_t *wall_ms, const char *text);

#endif
