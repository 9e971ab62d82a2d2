/* terminal.h: what stdout is, and the person at it. */
#ifndef CYAN_CLI_TERMINAL_H
#define CYAN_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/must.h"

struct terminal {
    size_t width; /* columns; 0: stdout is no terminal, and nothing is cut */
    bool utf8;    /* its locale shows more than ASCII */
    bool color;
    bool progress; /* stderr is a terminal */
};
enum terminal_style { STYLE_PLAIN, STYLE_GOOD, STYLE_BAD, STYLE_WARN, STYLE_FAINT, STYLE_BOLD };

/* Sets the locale of this process so that texts are UTF-8. */
void terminal_init(struct terminal *t, bool no_color);
size_t terminal_columns(void); /* now; 0: no terminal */
/* The escape sequence that begins style, and the one that ends it; "" without colours. */
const char *terminal_begin(const struct terminal *t, enum terminal_style style);
const char *terminal_end(const struct terminal *t, enum terminal_style style);
/* How the words for states are shown: `succeeded` is good, `held` wants attention, ... */
enum terminal_style terminal_state_style(const char *state);
/* `[#####.....]` of so many columns, done from 0 to 1. The caller frees. */
char *terminal_bar(const struct terminal *t, size_t columns, double done) __attribute__((malloc));

/* Asks for a line that is not shown, on the terminal or, when stdin is none, the first line of stdin. NULL:
 * there is none. The caller wipes and frees. */
must_check char *terminal_ask_secret(const char *prompt);

#endif
