#include "login_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "field.h"

#define FILE_MAX_BYTES 16384

#define refuse(why, result, ...) ((void)snprintf(why, LOGIN_WHY_SIZE, __VA_ARGS__), (result))

/* The folder; NULL when the environment names none. The caller frees. */
static char *folder_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (config != NULL && config[0] == '/') /* a relative one is to be ignored, says its specification */
        return mem_printf("%s/cyan", config);
    if (home != NULL && home[0] == '/')
        return mem_printf("%s/.config/cyan", home);
    return NULL;
}

static char *file_path(void)
{
    char *folder = folder_path();
    char *path = folder != NULL ? mem_printf("%s/login.json", folder) : NULL;

    free(folder);
    return path;
}

static char *copy(const json_t *object, const char *key)
{
    const char *text = field_text(object, key);

    return text != NULL ? mem_string(text) : NULL;
}

static enum login_found parse(struct login *login, const char *path, int fd, char why[LOGIN_WHY_SIZE])
{
    json_t *object = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);

    *login = (struct login){
        .url = copy(object, "url"), .token = copy(object, "token"), .ca_file = copy(object, "ca_file")};
    json_decref(object);
    if (login->url != NULL && login->token != NULL && login_token_fits(login->token))
        return LOGIN_FOUND;
    login_free(login);
    return refuse(why, LOGIN_BAD, "%s cannot be read as a login: cyanctl login URL writes it anew", path);
}

static enum login_found read_at(struct login *login, const char *path, char why[LOGIN_WHY_SIZE])
{
    struct stat st;
    enum login_found found;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return LOGIN_NONE;
    if (fd < 0)
        return refuse(why, LOGIN_BAD, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES)
        found = refuse(why, LOGIN_BAD, "%s is not a login file", path);
    else if ((st.st_mode & 077) != 0)
        found = refuse(why, LOGIN_BAD, "others may read the token in %s: chmod 600 it, or cyanctl login anew",
                       path);
    else
        found = parse(login, path, fd, why);
    (void)close(fd);
    return found;
}

enum login_found login_read(struct login *login, char why[LOGIN_WHY_SIZE])
{
    char *path = file_path();
    enum login_found found = LOGIN_NONE;

    *login = (struct login){0};
    if (path != NULL)
        found = read_at(login, path, why);
    free(path);
    return found;
}

/* Each folder of path that is missing, for this user alone. */
static bool make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        if (slash == NULL || !made)
            return made;
        *slash = '/';
    }
}

static bool write_all(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return true;
}

/* Beside it and then over it, so that a reader sees the old or the new one. */
static bool replace(const char *folder, const char *text)
{
    char *fresh = mem_printf("%s/login.XXXXXX", folder), *path = mem_printf("%s/login.json", folder);
    int fd = mkostemp(fresh, O_CLOEXEC); /* mode 0600 */
    bool done = fd >= 0;

    if (done) {
        done = write_all(fd, text) && fsync(fd) == 0;
        done = close(fd) == 0 && done && rename(fresh, path) == 0;
        if (!done) {
            int saved = errno;
            (void)unlink(fresh);
            errno = saved;
        }
    }
    free(fresh);
    free(path);
    return done;
}

bool login_write(const struct login *login, char why[LOGIN_WHY_SIZE])
{
    char *folder = folder_path();
    json_t *object =
        json_pack("{ssssss*}", "url", login->url, "token", login->token, "ca_file", login->ca_file);
    char *text = object != NULL ? json_dumps(object, JSON_INDENT(2)) : NULL;
    bool done = true;

    if (folder == NULL)
        done = refuse(why, false, "there is no place to keep the login: set HOME or XDG_CONFIG_HOME");
    else if (text == NULL)
        done = refuse(why, false, "the address is not UTF-8");
    else if (!make_folders(folder) || !replace(folder, text))
        done = refuse(why, false, "the login cannot be kept in %s: %s", folder, strerror(errno));
    if (text != NULL)
        bytes_wipe(text, strlen(text));
    free(text);
    json_decref(object);
    free(folder);
    return done;
}

enum login_found login_remove(char why[LOGIN_WHY_SIZE])
{
    char *path = file_path();
    enum login_found found = LOGIN_NONE;

    if (path != NULL && unlink(path) == 0)
        found = LOGIN_FOUND;
    else if (path != NULL && errno != ENOENT && errno != ENOTDIR)
        found = refuse(why, LOGIN_BAD, "%s: %s", path, strerror(errno));
    free(path);
    return found;
}

void login_free(struct login *login)
{
    if (login->token != NULL)
        bytes_wipe(login->token, strlen(login->token));
    free(login->url);
    free(login->token);
    free(login->ca_file);
    *login = (struct login){0};
}

bool login_token_fits(const char *token)
{
    size_t len = strlen(token);

    if (len == 0 || len > LOGIN_TOKEN_MAX)
        return false;
    for (size_t i = 0; i < len; i++) { /* it becomes part of a header */
        if (token[i] <= ' ' || token[i] > '~')
            return false;
    }
    return true;
}

char *login_read_token(const char *file, char why[LOGIN_WHY_SIZE])
{
    bool is_stdin = strcmp(file, "-") == 0;
    FILE *from = is_stdin ? stdin : fopen(file, "re");
    char line[LOGIN_TOKEN_MAX + 3];
    char *token = NULL;

    if (from == NULL)
        return refuse(why, NULL, "%s: %s", file, strerror(errno));
    if (fgets(line, sizeof(line), from) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    if (login_token_fits(line))
        token = mem_string(line);
    else
        (void)refuse(why, 0, "%s: its first line is no token", is_stdin ? "stdin" : file);
    bytes_wipe(line, sizeof(line));
    if (!is_stdin)
        (void)fclose(from);
    return token;
}
