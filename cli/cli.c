#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rest.h"
#include "text.h"

__attribute__((format(printf, 2, 0))) static void print_line(FILE *out, const char *format, va_list args)
{
    char *text = NULL, *clean;

    must(vasprintf(&text, format, args) >= 0);
    clean = text_clean(text);
    (void)fprintf(out, "%s\n", clean);
    free(clean);
    free(text);
}

enum cli_exit cli_fail(enum cli_exit code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fflush(stdout);
    (void)fputs("cyanctl: ", stderr);
    print_line(stderr, format, args);
    va_end(args);
    return code;
}

void cli_say(const struct cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->quiet || cli->json)
        return;
    va_start(args, format);
    print_line(stdout, format, args);
    va_end(args);
}

void cli_note(const struct cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->quiet)
        return;
    va_start(args, format);
    (void)fflush(stdout);
    print_line(stderr, format, args);
    va_end(args);
}

bool cli_print_json(const struct cli *cli, const json_t *value)
{
    size_t indent = cli->terminal.width > 0 ? JSON_INDENT(2) : JSON_COMPACT;

    if (!cli->json)
        return false;
    (void)json_dumpf(value, stdout, indent | JSON_ENCODE_ANY);
    (void)fputc('\n', stdout);
    return true;
}

enum cli_exit cli_ask(const struct cli *cli, const struct rest_request *request, json_t **json)
{
    bool made;

    return cli_ask_made(cli, request, json, &made);
}

enum cli_exit cli_ask_made(const struct cli *cli, const struct rest_request *request, json_t **json,
                           bool *made)
{
    struct rest_answer answer;

    rest_ask(cli->rest, request, &answer);
    *json = answer.json;
    *made = answer.status == 201;
    if (answer.exit == CLI_OK)
        return CLI_OK;
    rest_answer_deinit(&answer);
    *json = NULL;
    return cli_fail(answer.exit, "%s", answer.why);
}

enum cli_exit cli_get(const struct cli *cli, json_t **json, const char *path, ...)
{
    va_list args;
    char *encoded;
    enum cli_exit code;

    va_start(args, path);
    encoded = rest_path_v(path, args);
    va_end(args);
    code = cli_ask(cli, &(struct rest_request){.path = encoded}, json);
    free(encoded);
    return code;
}

enum cli_exit cli_send(const struct cli *cli, const char *method, json_t *body, json_t **json,
                       const char *path, ...)
{
    va_list args;
    char *encoded;
    enum cli_exit code;

    must(body != NULL || strcmp(method, "DELETE") == 0);
    va_start(args, path);
    encoded = rest_path_v(path, args);
    va_end(args);
    code = cli_ask(cli, &(struct rest_request){.method = method, .path = encoded, .body = body}, json);
    free(encoded);
    json_decref(body);
    return code;
}
