/* grid.h: rows in aligned columns. On a terminal the columns that may are made narrower until a row fits.
 *
 * Cells are added from left to right, row after row, and copied, cleaned of what a terminal would obey. */
#ifndef CYAN_CLI_GRID_H
#define CYAN_CLI_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "terminal.h"

struct grid_column {
    const char *title; /* NULL in the first: no head line */
    bool right;        /* numbers */
    bool shrinks;
};
struct grid;

struct grid *grid_new(const struct grid_column *columns /* outlive it */, size_t count);
void grid_free(struct grid *grid);
void grid_add(struct grid *grid, const char *text); /* NULL or "": `-` */
void grid_add_styled(struct grid *grid, const char *text, enum terminal_style style);
void grid_addf(struct grid *grid, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t grid_rows(const struct grid *grid);
void grid_print(const struct grid *grid, const struct terminal *terminal, FILE *out);

#endif
