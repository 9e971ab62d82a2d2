/* csv.h: fields of a CSV file (RFC 4180) as spreadsheets open it safely.
 *
 * A text that a spreadsheet would take for a formula (it begins with = + - @, a tab or a line break) is led
 * by an apostrophe. */
#ifndef CYAN_API_CSV_H
#define CYAN_API_CSV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CSV_TYPE "text/csv; charset=utf-8"

/* Each writes the comma before it, but for the first field of a line. */
struct csv {
    FILE *out; /* borrowed */
    unsigned fields;
};
void csv_text(struct csv *c, const char *text); /* NULL: empty */
void csv_number(struct csv *c, int number);     /* below 0: empty */
void csv_bool(struct csv *c, bool value);
void csv_time(struct csv *c, uint64_t wall_ms); /* 0: empty */
void csv_end_line(struct csv *c);

#endif
