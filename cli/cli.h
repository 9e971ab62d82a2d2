/* cli.h: what every command of cyanctl is given, how it speaks and how it ends. */
#ifndef CYAN_CLI_CLI_H
#define CYAN_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>

#include "base/must.h"
#include "call.h"
#include "cli_exit.h"
#include "terminal.h"

struct rest;
struct rest_request;

struct cli {
    const struct call *call; /* borrowed: outlives this */
    struct rest *rest;       /* ours; NULL for commands that need no server */
    struct terminal terminal;
    bool json, quiet;
};

/* One line on stderr, `cyanctl: ...`, safe for a terminal. Returns code. */
enum cli_exit cli_fail(enum cli_exit code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A sentence for people on stdout; nothing with --quiet or --json. */
void cli_say(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same on stderr: what happens meanwhile. Nothing with --quiet. */
void cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* With --json prints value and returns true. */
bool cli_print_json(const struct cli *cli, const json_t *value);

/* Asks the server. On CLI_OK *json is the answer and the caller's; otherwise the reason has been printed. */
must_check enum cli_exit cli_ask(const struct cli *cli, const struct rest_request *request, json_t **json);
/* The same, and tells whether the answer is 201: something was made. */
must_check enum cli_exit cli_ask_made(const struct cli *cli, const struct rest_request *request,
                                      json_t **json, bool *made);
/* GET of a path whose %s are encoded as parts of it. */
must_check enum cli_exit cli_get(const struct cli *cli, json_t **json, const char *path, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for another method with a body, which is taken over. */
must_check enum cli_exit cli_send(const struct cli *cli, const char *method, json_t *body, json_t **json,
                                  const char *path, ...) __attribute__((format(printf, 5, 6)));

#endif
