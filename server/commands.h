/* commands.h: what cyand does instead of serving: keygen, migrate, device add, token create, user, config,
 * routes.
 *
 * Each prints its result on stdout, or one line on stderr, and returns the exit code: 0, 1 (could not), 2
 * (bad usage). */
#ifndef CYAN_COMMANDS_H
#define CYAN_COMMANDS_H

#include "config.h"

/* Flags of commands, beside the settings; value NULL = not given. */
enum command_flag {
    FLAG_EXPORT,
    FLAG_ADDRESS,
    FLAG_KEY,
    FLAG_PSK,
    FLAG_NAME,
    FLAG_ROLE,
    FLAG_USER,
    FLAG_EXPIRES_IN,
    FLAG_JSON,
    FLAG_COUNT
};

/* words: of the command line, words[0] is the command; flags: FLAG_COUNT of them. */
int command_run(const struct config *config, int word_count, char **words, const struct config_flag *flags);
void command_print_help(FILE *out);

#endif
