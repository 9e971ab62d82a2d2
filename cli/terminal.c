#include "terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"

size_t terminal_columns(void)
{
    struct winsize size;

    if (isatty(STDOUT_FILENO) != 1)
        return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

void terminal_init(struct terminal *t, bool no_color)
{
    const char *no_color_env = getenv("NO_COLOR"), *term = getenv("TERM");

    (void)setlocale(LC_CTYPE, "");
    t->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    if (!t->utf8)
        (void)setlocale(LC_CTYPE, "C.UTF-8"); /* what the server says is UTF-8 all the same */
    t->width = terminal_columns();
    t->color = t->width > 0 && !no_color && (no_color_env == NULL || *no_color_env == '\0') && term != NULL &&
               strcmp(term, "dumb") != 0;
    t->progress = isatty(STDERR_FILENO) == 1;
}

const char *terminal_begin(const struct terminal *t, enum terminal_style style)
{
    static const char *const codes[] = {"", "\033[32m", "\033[31m", "\033[33m", "\033[2m", "\033[1m"};

    return t->color ? codes[style] : "";
}

const char *terminal_end(const struct terminal *t, enum terminal_style style)
{
    return t->color && style != STYLE_PLAIN ? "\033[0m" : "";
}

enum terminal_style terminal_state_style(const char *state)
{
    static const struct {
        const char *state;
        enum terminal_style style;
    } styles[] = {
        {"succeeded", STYLE_GOOD}, {"already_current", STYLE_GOOD}, {"passed", STYLE_GOOD},
        {"completed", STYLE_GOOD}, {"published", STYLE_GOOD},       {"online", STYLE_GOOD},
        {"running", STYLE_GOOD},   {"current", STYLE_GOOD},         {"failed", STYLE_BAD},
        {"lost", STYLE_BAD},       {"aborted", STYLE_BAD},          {"aborting", STYLE_BAD},
        {"withdrawn", STYLE_BAD},  {"blocked", STYLE_WARN},         {"held", STYLE_WARN},
        {"paused", STYLE_WARN},    {"waiting", STYLE_WARN},         {"awaiting_approval", STYLE_WARN},
    };

    for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++) {
        if (strcmp(styles[i].state, state) == 0)
            return styles[i].style;
    }
    return STYLE_PLAIN;
}

char *terminal_bar(const struct terminal *t, size_t columns, double done)
{
    const char *full = t->utf8 ? "\u2588" : "#", *rest = t->utf8 ? "\u2591" : ".";
    size_t filled = (size_t)floor(fmin(fmax(done, 0), 1) * (double)columns);
    char *bar = mem_alloc(columns * 4 + 1), *at = bar;

    for (size_t i = 0; i < columns; i++)
        at = stpcpy(at, i < filled ? full : rest);
    return bar;
}

static char *read_line(FILE *from)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len = getline(&line, &size, from);

    if (len < 0) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

char *terminal_ask_secret(const char *prompt)
{
    struct termios before, silent;
    sigset_t stop, old;
    char *line;

    if (isatty(STDIN_FILENO) != 1 || tcgetattr(STDIN_FILENO, &before) != 0)
        return read_line(stdin);
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    /* A stop in between would leave the terminal without echo: it comes when that is over. Ctrl-C ends the
     * read (interrupt.h). */
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTSTP);
    (void)sigprocmask(SIG_BLOCK, &stop, &old);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    (void)fprintf(stderr, "%s", prompt); /* whoever sees it may type at once */
    (void)fflush(stderr);
    line = read_line(stdin);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    (void)fputc('\n', stderr);
    return line;
}
