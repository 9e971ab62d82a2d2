#include "table.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "text.h"

#define GAP 2
#define SHRUNK_MIN 6 /* columns: less of a text says nothing */

struct cell {
    char *text;
    enum terminal_style style;
};

struct table {
    const struct table_column *columns;
    struct cell *cells; /* row after row */
    size_t column_count, cell_count, cell_size;
};

struct table *table_new(const struct table_column *columns, size_t count)
{
    struct table *table = mem_alloc(sizeof(*table));

    table->columns = columns;
    table->column_count = count;
    return table;
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

void table_add_styled(struct table *table, const char *text, enum terminal_style style)
{
    if (table->cell_count == table->cell_size) {
        table->cell_size = table->cell_size > 0 ? table->cell_size * 2 : 64;
        table->cells = mem_grow(table->cells, table->cell_size, sizeof(*table->cells));
    }
    table->cells[table->cell_count++] =
        (struct cell){.text = text_clean(text != NULL && *text != '\0' ? text : "-"), .style = style};
}

void table_add(struct table *table, const char *text)
{
    table_add_styled(table, text, STYLE_PLAIN);
}

void table_addf(struct table *table, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    int len;

    va_start(args, format);
    len = vasprintf(&text, format, args);
    va_end(args);
    must(len >= 0);
    table_add(table, text);
    free(text);
}

size_t table_rows(const struct table *table)
{
    return table->cell_count / table->column_count;
}

static void measure(const struct table *table, size_t *widths)
{
    for (size_t c = 0; c < table->column_count; c++)
        widths[c] = table->columns[0].title != NULL ? text_width(table->columns[c].title) : 0;
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t width = text_width(table->cells[i].text);
        if (width > widths[i % table->column_count])
            widths[i % table->column_count] = width;
    }
}

/* The widest column gives first, so that short ones stay whole. */
static void shrink(const struct table *table, size_t *widths, size_t room)
{
    size_t total = (table->column_count - 1) * GAP;

    for (size_t c = 0; c < table->column_count; c++)
        total += widths[c];
    while (total > room) {
        size_t widest = table->column_count;
        for (size_t c = 0; c < table->column_count; c++) {
            if (table->columns[c].shrinks && widths[c] > SHRUNK_MIN &&
                (widest == table->column_count || widths[c] > widths[widest]))
                widest = c;
        }
        if (widest == table->column_count)
            return;
        widths[widest]--;
        total--;
    }
}

static void print_cell(const struct cell *cell, size_t width, bool right, bool last,
                       const struct terminal *terminal, FILE *out)
{
    char *text = text_cut(cell->text, width, terminal->utf8 ? "\u2026" : "~");
    int pad = (int)(width - text_width(text));

    if (right)
        (void)fprintf(out, "%*s", pad, "");
    (void)fprintf(out, "%s%s%s", terminal_begin(terminal, cell->style), text,
                  terminal_end(terminal, cell->style));
    if (!last)
        (void)fprintf(out, "%*s", (right ? 0 : pad) + GAP, "");
    free(text);
}

void table_print(const struct table *table, const struct terminal *terminal, FILE *out)
{
    size_t *widths = mem_array(table->column_count, sizeof(*widths));

    measure(table, widths);
    if (terminal->width > 0)
        shrink(table, widths, terminal->width);
    for (size_t c = 0; table->columns[0].title != NULL && c < table->column_count; c++) {
        struct cell head = {.text = (char *)(uintptr_t)table->columns[c].title, .style = STYLE_BOLD};
        bool last = c + 1 == table->column_count;
        print_cell(&head, widths[c], table->columns[c].right, last, terminal, out);
        if (last)
            (void)fputc('\n', out);
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t c = i % table->column_count;
        bool last = c + 1 == table->column_count;
        print_cell(&table->cells[i], widths[c], table->columns[c].right, last, terminal, out);
        if (last)
            (void)fputc('\n', out);
    }
    free(widths);
}
