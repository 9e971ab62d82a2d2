/* table.h: rows in aligned columns. On a terminal the columns that may are made narrower until a row fits.
 *
 * Cells are added from left to right, row after row, and copied, cleaned of what a terminal would obey. */
#ifndef CYAN_CLI_TABLE_H
#define CYAN_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "terminal.h"

struct table_column {
    const char *title; /* NULL in the first: no head line */
    bool right;        /* numbers */
    bool shrinks;
};
struct table;

struct table *table_new(const struct table_column *columns /* outlive it */, size_t count);
void table_free(struct table *table);
void table_add(struct table *table, const char *text); /* NULL or "": `-` */
void table_add_styled(struct table *table, const char *text, enum terminal_style style);
void table_addf(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t table_rows(const struct table *table);
void table_print(const struct table *table, const struct terminal *terminal, FILE *out);

#endif
