/* login_file.h: where the address of the server and the token stay between calls:
 * $XDG_CONFIG_HOME/cyan/login.json, or ~/.config/cyan/login.json; mode 0600, replaced as a whole.
 *
 * A file that others may read is refused: its token may be theirs by now. */
#ifndef CYAN_CLI_LOGIN_FILE_H
#define CYAN_CLI_LOGIN_FILE_H

#include <stdbool.h>

#include "base/must.h"

struct login {
    char *url, *token, *ca_file; /* ours; NULL: none */
};
enum login_found { LOGIN_FOUND, LOGIN_NONE, LOGIN_BAD };
#define LOGIN_WHY_SIZE 400

/* BAD: why is one line. Only FOUND leaves something to free. */
must_check enum login_found login_read(struct login *login, char why[LOGIN_WHY_SIZE]);
must_check bool login_write(const struct login *login, char why[LOGIN_WHY_SIZE]);
/* NONE: there was none. */
must_check enum login_found login_remove(char why[LOGIN_WHY_SIZE]);
void login_free(struct login *login); /* wipes the token; an empty one is fine */

/* The first line of a file, as a token: no space, not empty, not too long. The caller wipes and frees; NULL:
 * why says it. file `-`: stdin. */
must_check char *login_read_token(const char *file, char why[LOGIN_WHY_SIZE]);
#define LOGIN_TOKEN_MAX 128
must_check bool login_token_fits(const char *token);

#endif
