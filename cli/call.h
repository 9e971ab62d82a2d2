/* call.h: one command line, read by the table of commands. Options may stand anywhere once their command is
 * known, the global ones also before it; `--` ends them.
 *
 * Ownership: call_parse fills it, call_deinit takes it; texts are those of argv. */
#ifndef CYAN_CLI_CALL_H
#define CYAN_CLI_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "command.h"

struct call_value {
    const struct command_option *option;
    const char *text;
    uint64_t number; /* of NUMBER and DURATION */
};
#define CALL_WORDS_SIZE 64

struct call {
    const struct command *command; /* NULL: help of the whole, or of a group */
    char words[CALL_WORDS_SIZE];   /* the group, when command is NULL */
    const char **arguments;        /* ours */
    struct call_value *values;     /* ours */
    size_t argument_count, value_count;
};

enum call_parse { CALL_RUN, CALL_HELP, CALL_BAD };
#define CALL_WHY_SIZE 400
/* BAD: why is one line that says what would be right. */
must_check enum call_parse call_parse(struct call *call, int argc, char **argv, char why[CALL_WHY_SIZE]);
void call_deinit(struct call *call);

/* `name` must be an option of the command. Each returns what was given last. */
bool call_has(const struct call *call, const char *name);
const char *call_text(const struct call *call, const char *name); /* NULL: not given */
uint64_t call_number(const struct call *call, const char *name, uint64_t otherwise);
/* The values of an option that repeats: *at begins at 0; NULL at the end. */
const char *call_each(const struct call *call, const char *name, size_t *at);
/* NULL when there are fewer. */
const char *call_argument(const struct call *call, size_t index);

#endif
