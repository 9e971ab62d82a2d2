#include "grid.h"

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

struct grid {
    const struct grid_column *columns;
    struct cell *cells; /* row after row */
    size_t column_count, cell_count, cell_size;
};

struct grid *grid_new(const struct grid_column *columns, size_t count)
{
    struct grid *grid = mem_alloc(sizeof(*grid));

    grid->columns = columns;
    grid->column_count = count;
    return grid;
}

void grid_free(struct grid *grid)
{
    for (size_t i = 0; i < grid->cell_count; i++)
        free(grid->cells[i].text);
    free(grid->cells);
    free(grid);
}

void grid_add_styled(struct grid *grid, const char *text, enum terminal_style style)
{
    if (grid->cell_count == grid->cell_size) {
        grid->cell_size = grid->cell_size > 0 ? grid->cell_size * 2 : 64;
        grid->cells = mem_grow(grid->cells, grid->cell_size, sizeof(*grid->cells));
    }
    grid->cells[grid->cell_count++] =
        (struct cell){.text = text_clean(text != NULL && *text != '\0' ? text : "-"), .style = style};
}

void grid_add(struct grid *grid, const char *text)
{
    grid_add_styled(grid, text, STYLE_PLAIN);
}

void grid_addf(struct grid *grid, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    int len;

    va_start(args, format);
    len = vasprintf(&text, format, args);
    va_end(args);
    must(len >= 0);
    grid_add(grid, text);
    free(text);
}

size_t grid_rows(const struct grid *grid)
{
    return grid->cell_count / grid->column_count;
}

static void measure(const struct grid *grid, size_t *widths)
{
    for (size_t c = 0; c < grid->column_count; c++)
        widths[c] = grid->columns[0].title != NULL ? text_width(grid->columns[c].title) : 0;
    for (size_t i = 0; i < grid->cell_count; i++) {
        size_t width = text_width(grid->cells[i].text);
        if (width > widths[i % grid->column_count])
            widths[i % grid->column_count] = width;
    }
}

/* The widest column gives first, so that short ones stay whole. */
static void shrink(const struct grid *grid, size_t *widths, size_t room)
{
    size_t total = (grid->column_count - 1) * GAP;

    for (size_t c = 0; c < grid->column_count; c++)
        total += widths[c];
    while (total > room) {
        size_t widest = grid->column_count;
        for (size_t c = 0; c < grid->column_count; c++) {
            if (grid->columns[c].shrinks && widths[c] > SHRUNK_MIN &&
                (widest == grid->column_count || widths[c] > widths[widest]))
                widest = c;
        }
        if (widest == grid->column_count)
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

void grid_print(const struct grid *grid, const struct terminal *terminal, FILE *out)
{
    size_t *widths = mem_array(grid->column_count, sizeof(*widths));

    measure(grid, widths);
    if (terminal->width > 0)
        shrink(grid, widths, terminal->width);
    for (size_t c = 0; grid->columns[0].title != NULL && c < grid->column_count; c++) {
        struct cell head = {.text = (char *)(uintptr_t)grid->columns[c].title, .style = STYLE_BOLD};
        bool last = c + 1 == grid->column_count;
        print_cell(&head, widths[c], grid->columns[c].right, last, terminal, out);
        if (last)
            (void)fputc('\n', out);
    }
    for (size_t i = 0; i < grid->cell_count; i++) {
        size_t c = i % grid->column_count;
        bool last = c + 1 == grid->column_count;
        print_cell(&grid->cells[i], widths[c], grid->columns[c].right, last, terminal, out);
        if (last)
            (void)fputc('\n', out);
    }
    free(widths);
}
