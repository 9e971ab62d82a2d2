/* command.h: the one table of commands, from which the command line is read (call.h), --help is printed
 * (help.h) and the completion of shells is made (completion.h). */
#ifndef CYAN_CLI_COMMAND_H
#define CYAN_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "cli_exit.h"

struct cli;

typedef enum cli_exit command_run(struct cli *cli);

enum option_kind {
    OPTION_FLAG,     /* no value */
    OPTION_TEXT,     /* UTF-8 */
    OPTION_NUMBER,   /* from min to max */
    OPTION_DURATION, /* `90`, `15m`, `2h`: the number is seconds */
    OPTION_FILE,     /* a path */
    OPTION_CHOICE,   /* one of choices */
};

struct command_option {
    const char *name; /* without the dashes; NULL ends a list */
    enum option_kind kind;
    const char *value; /* its name in help; NULL for a flag */
    const char *help;
    bool repeats, needed;
    long min, max;
    const char *const *choices; /* NULL-terminated */
};

#define COMMAND_OPTION_LISTS 2
struct command {
    const char *words;     /* `campaign stage skip` */
    const char *alias;     /* other words for the same; NULL */
    const char *arguments; /* `DEVICE [RELEASE]`, `FILE...`; "": none */
    const char *help;      /* one line */
    const char *example;   /* what follows `cyanctl ` */
    command_run *run;
    const struct command_option *options[COMMAND_OPTION_LISTS]; /* NULL: no more */
    bool local; /* asks no server, or looks after that itself */
};

extern const struct command commands[];
extern const size_t command_count;
extern const struct command_option command_globals[]; /* options of every command */

/* The option of a command, or of every one (command NULL: only these); NULL when there is none. */
const struct command_option *command_option_find(const struct command *command, const char *name,
                                                 size_t name_len);
/* How many arguments; most is SIZE_MAX for `...`. */
void command_arguments(const struct command *command, size_t *least, size_t *most);
/* The command with these words; else NULL. */
const struct command *command_find(const char *words);
/* Whether some command begins with these words. */
bool command_is_group(const char *words);

#endif
