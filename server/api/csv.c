#include "api/csv.h"

#include <string.h>

#include "base/clock.h"

static void begin(struct csv *c)
{
    if (c->fields++ > 0)
        (void)fputc(',', c->out);
}

void csv_text(struct csv *c, const char *text)
{
    begin(c);
    if (text == NULL || *text == '\0')
        return;
    bool formula = strchr("=+-@\t\r\n", *text) != NULL;
    if (!formula && strpbrk(text, ",\"\r\n") == NULL) {
        (void)fputs(text, c->out);
        return;
    }
    (void)fputs(formula ? "\"'" : "\"", c->out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            (void)fputc('"', c->out);
        (void)fputc(*text, c->out);
    }
    (void)fputc('"', c->out);
}

void csv_number(struct csv *c, int number)
{
    begin(c);
    if (number >= 0)
        (void)fprintf(c->out, "%d", number);
}

void csv_bool(struct csv *c, bool value)
{
    begin(c);
    (void)fputs(value ? "true" : "false", c->out);
}

void csv_time(struct csv *c, uint64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];

    begin(c);
    if (wall_ms == 0)
        return;
    clock_format(text, wall_ms);
    (void)fputs(text, c->out);
}

void csv_end_line(struct csv *c)
{
    (void)fputs("\r\n", c->out);
    c->fields = 0;
}
