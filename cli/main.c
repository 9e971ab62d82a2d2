/* cyanctl: the command line of who runs a fleet on Cyan. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "help.h"
#include "interrupt.h"
#include "login_file.h"
#include "rest.h"

#define TIMEOUT_S 30

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

/* A token given by name goes to the server that is named; the one of the login only to the login's. */
static enum cli_exit choose(const struct cli *cli, const struct login *login, char **read_token,
                            struct rest_settings *settings)
{
    const char *file = call_text(cli->call, "token-file");
    char why[REST_WHY_SIZE], token_why[LOGIN_WHY_SIZE];
    const char *url = call_text(cli->call, "url");

    if (url == NULL)
        url = from_environment("CYAN_URL");
    settings->url = url != NULL ? url : login->url;
    if (settings->url == NULL)
        return cli_fail(CLI_NOT_LOGGED_IN,
                        "not logged in: cyanctl login URL, or set CYAN_URL and CYAN_TOKEN");
    if (!rest_url_fits(settings->url, why))
        return cli_fail(CLI_USAGE, "%s", why);
    if (file != NULL) {
        *read_token = login_read_token(file, token_why);
        if (*read_token == NULL)
            return cli_fail(CLI_USAGE, "%s", token_why);
        settings->token = *read_token;
        settings->token_from = "of --token-file";
    } else if ((settings->token = from_environment("CYAN_TOKEN")) != NULL) {
        settings->token_from = "of CYAN_TOKEN";
    } else if (login->token != NULL && strcmp(login->url, settings->url) == 0) {
        settings->token = login->token;
        settings->token_from = "of the login";
    }
    if (settings->token == NULL || !login_token_fits(settings->token))
        return cli_fail(CLI_NOT_LOGGED_IN, "not logged in to %s: cyanctl login %s", settings->url,
                        settings->url);
    return CLI_OK;
}

static enum cli_exit connect_and_run(struct cli *cli)
{
    struct rest_settings settings = {.timeout_s = (uint32_t)call_number(cli->call, "timeout", TIMEOUT_S),
                                     .shows_progress = cli->terminal.progress && !cli->quiet};
    struct login login;
    char why[LOGIN_WHY_SIZE];
    char *token = NULL;
    enum cli_exit code;

    /* An unreadable login matters only where it is needed. */
    bool named = (call_has(cli->call, "url") || from_environment("CYAN_URL") != NULL) &&
                 (call_has(cli->call, "token-file") || from_environment("CYAN_TOKEN") != NULL);
    if (login_read(&login, why) == LOGIN_BAD && !named)
        return cli_fail(CLI_NOT_LOGGED_IN, "%s", why);
    settings.ca_file = call_text(cli->call, "ca-file");
    if (settings.ca_file == NULL)
        settings.ca_file = from_environment("CYAN_CA_FILE");
    if (settings.ca_file == NULL)
        settings.ca_file = login.ca_file;
    code = choose(cli, &login, &token, &settings);
    if (code == CLI_OK)
        cli->rest = rest_new(&settings);
    login_free(&login);
    login_free(&(struct login){.token = token});
    return code == CLI_OK ? cli->call->command->run(cli) : code;
}

static enum cli_exit run(const struct call *call)
{
    struct cli cli = {.call = call, .json = call_has(call, "json"), .quiet = call_has(call, "quiet")};
    enum cli_exit code;

    terminal_init(&cli.terminal, call_has(call, "no-color"));
    code = call->command->local ? call->command->run(&cli) : connect_and_run(&cli);
    rest_free(cli.rest);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_OK) /* a full disk, or nobody reads */
        code = CLI_REFUSED;
    return code;
}

int main(int argc, char **argv)
{
    struct terminal terminal;
    struct call call;
    char why[CALL_WHY_SIZE];
    enum cli_exit code = CLI_OK;

    terminal_init(&terminal, true); /* texts are compared as UTF-8 from here on */
    interrupt_init();
    switch (call_parse(&call, argc, argv, why)) {
    case CALL_RUN:
        code = run(&call);
        break;
    case CALL_HELP:
        help_print(&call, stdout);
        break;
    case CALL_BAD:
        code = cli_fail(CLI_USAGE, "%s", why);
        break;
    }
    call_deinit(&call);
    return code;
}
