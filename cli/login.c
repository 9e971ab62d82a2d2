/* login, logout, whoami: which server, and who one is there. */
#include "handlers.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "field.h"
#include "grid.h"
#include "interrupt.h"
#include "login_file.h"
#include "rest.h"
#include "text.h"

#define CURRENT "/v1/access_tokens/current"

static char *ask_token(const struct cli *cli, const char *url, char why[LOGIN_WHY_SIZE])
{
    const char *file = call_text(cli->call, "token-file");
    char prompt[REST_WHY_SIZE];
    char *token;

    if (file != NULL)
        return login_read_token(file, why);
    (void)snprintf(prompt, sizeof(prompt), "Token for %.400s (it is not shown): ", url);
    token = terminal_ask_secret(prompt);
    if (token != NULL && login_token_fits(token))
        return token;
    (void)snprintf(
        why, LOGIN_WHY_SIZE,
        "no token was given: paste the one that `cyand token create` printed, or --token-file FILE");
    free(token);
    return NULL;
}

static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://") + 3;

    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

/* Keeps the login when the server takes it. */
static enum cli_exit verify_and_keep(struct cli *cli, const struct login *login)
{
    struct rest_settings settings = {.url = login->url,
                                     .token = login->token,
                                     .token_from = "just given",
                                     .ca_file = login->ca_file,
                                     .timeout_s = (uint32_t)call_number(cli->call, "timeout", 30)};
    char why[LOGIN_WHY_SIZE];
    json_t *who;
    enum cli_exit code;

    cli->rest = rest_new(&settings);
    code = cli_get(cli, &who, CURRENT);
    if (code != CLI_OK)
        return code;
    if (!login_write(login, why))
        code = cli_fail(CLI_REFUSED, "%s", why);
    else if (!cli_print_json(cli, who))
        cli_say(cli, "Logged in to %s as %s (%s).", rest_url(cli->rest), field_text_or(who, "username", "?"),
                field_text_or(who, "role", "?"));
    if (code == CLI_OK && strncmp(login->url, "http:", 5) == 0 && !is_loopback(login->url))
        cli_note(cli, "Note: %s is not encrypted; everybody on the way can read the token.", login->url);
    json_decref(who);
    return code;
}

enum cli_exit login_run(struct cli *cli)
{
    const char *url = call_argument(cli->call, 0);
    struct login login = {0};
    char why[REST_WHY_SIZE], token_why[LOGIN_WHY_SIZE];
    enum cli_exit code;

    if (url == NULL)
        url = call_text(cli->call, "url");
    if (url == NULL)
        url = getenv("CYAN_URL");
    if (url == NULL || *url == '\0')
        return cli_fail(CLI_USAGE, "which server? cyanctl login http://HOST:PORT");
    if (!rest_url_fits(url, why))
        return cli_fail(CLI_USAGE, "%s", why);
    login.token = ask_token(cli, url, token_why);
    if (login.token == NULL)
        return interrupt_seen() ? CLI_INTERRUPTED : cli_fail(CLI_USAGE, "%s", token_why);
    login.url = strdup(url);
    const char *ca_file = call_text(cli->call, "ca-file");
    if (ca_file == NULL)
        ca_file = getenv("CYAN_CA_FILE");
    login.ca_file = ca_file != NULL ? realpath(ca_file, NULL) : NULL;
    if (ca_file != NULL && login.ca_file == NULL)
        code = cli_fail(CLI_USAGE, "%s cannot be read (--ca-file, CYAN_CA_FILE)", ca_file);
    else
        code = verify_and_keep(cli, &login);
    login_free(&login);
    return code;
}

/* With --revoke the server forgets the token as well. */
static enum cli_exit revoke(struct cli *cli, const struct login *login)
{
    struct rest_settings settings = {.url = login->url,
                                     .token = login->token,
                                     .token_from = "of the login",
                                     .ca_file = login->ca_file,
                                     .timeout_s = (uint32_t)call_number(cli->call, "timeout", 30)};
    struct rest_answer answer;
    enum cli_exit code;

    cli->rest = rest_new(&settings);
    rest_ask(cli->rest, &(struct rest_request){.method = "DELETE", .path = CURRENT}, &answer);
    code = answer.exit == CLI_NOT_LOGGED_IN ? CLI_OK : answer.exit; /* it has ended already */
    if (code != CLI_OK)
        (void)cli_fail(code, "the token is still valid: %s", answer.why);
    rest_answer_deinit(&answer);
    return code;
}

enum cli_exit logout_run(struct cli *cli)
{
    struct login login;
    char why[LOGIN_WHY_SIZE];
    enum login_found found = login_read(&login, why);
    enum cli_exit code = CLI_OK;

    if (found == LOGIN_FOUND && call_has(cli->call, "revoke"))
        code = revoke(cli, &login);
    if (found == LOGIN_FOUND)
        login_free(&login);
    if (code != CLI_OK)
        return code;
    if (found != LOGIN_NONE && login_remove(why) == LOGIN_BAD) /* one that cannot be read goes as well */
        return cli_fail(CLI_REFUSED, "%s", why);
    cli_say(cli, found == LOGIN_NONE ? "Nobody was logged in." : "Logged out.");
    return CLI_OK;
}

enum cli_exit whoami_run(struct cli *cli)
{
    static const struct grid_column columns[] = {{0}, {0}};
    json_t *who;
    enum cli_exit code = cli_get(cli, &who, CURRENT);
    char expires[TEXT_SIZE];

    if (code != CLI_OK)
        return code;
    if (!cli_print_json(cli, who)) {
        struct grid *grid = grid_new(columns, 2);
        const char *at = field_text(who, "expires_at");
        text_time(expires, at);
        grid_add(grid, "server");
        grid_add(grid, rest_url(cli->rest));
        grid_add(grid, "user");
        grid_add(grid, field_text(who, "username"));
        grid_add(grid, "role");
        grid_add(grid, field_text(who, "role"));
        grid_add(grid, "token ends");
        grid_add(grid, at != NULL ? expires : "never");
        grid_print(grid, &cli->terminal, stdout);
        grid_free(grid);
    }
    json_decref(who);
    return CLI_OK;
}
