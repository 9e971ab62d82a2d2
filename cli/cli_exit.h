/* cli_exit.h: the exit codes of cyanctl. docs/cyanctl.md tells them; scripts rely on them. */
#ifndef CYAN_CLI_CLI_EXIT_H
#define CYAN_CLI_CLI_EXIT_H

enum cli_exit {
    CLI_OK = 0,
    CLI_REFUSED = 1,       /* by the server, or what was asked about is not so */
    CLI_USAGE = 2,         /* the command line is wrong */
    CLI_AWAY = 3,          /* the server cannot be reached */
    CLI_NOT_LOGGED_IN = 4, /* no token, or one the server does not take */
    CLI_NOT_FOUND = 5,
    CLI_CONFLICT = 6, /* it changed meanwhile, or something else holds it */
    CLI_ENDED_BADLY = 7,
    CLI_INTERRUPTED = 130,
};

#endif
