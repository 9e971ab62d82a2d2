#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "api/route.h"
#include "base/bytes.h"
#include "base/device_id.h"
#include "base/mem.h"
#include "fleet/account.h"
#include "fleet/device_change.h"
#include "fleet/migrate.h"
#include "fleet/token.h"
#include "handshake/server_key.h"

#define WHY_SIZE 512
#define KEY_FILE_MAX 8192
#define DEFAULT_EXPORT_PORT 5684 /* what a device uses whatever is stored (device-protocol 1.4) */

static int refuse(const char *why)
{
    (void)fprintf(stderr, "cyand: %s\n", why);
    return 1;
}

static int usage(const char *text)
{
    (void)fprintf(stderr, "usage: cyand %s\n", text);
    return 2;
}

/* HOST or HOST:PORT. */
static bool split_address(const char *address, char host[65], uint16_t *port)
{
    const char *colon = strrchr(address, ':');
    size_t host_len = colon ? (size_t)(colon - address) : strlen(address);
    *port = DEFAULT_EXPORT_PORT;
    if (host_len == 0 || host_len > 64)
        return false;
    memcpy(host, address, host_len);
    host[host_len] = '\0';
    if (!colon)
        return true;
    char *end;
    unsigned long value = strtoul(colon + 1, &end, 10);
    *port = (uint16_t)value;
    return *end == '\0' && end != colon + 1 && value > 0 && value <= UINT16_MAX;
}

static int export_key(const struct server_key *key, const char *file, const char *address)
{
    uint8_t blob[SERVER_KEY_BLOB_BYTES];
    char host[65];
    uint16_t port;
    if (!split_address(address, host, &port) || !server_key_export(key, host, port, blob))
        return refuse(
            "--address takes HOST or HOST:PORT, with an IPv4 address or a name of at most 63 characters");
    FILE *out = fopen(file, "wbe");
    bool ok = out && fwrite(blob, 1, sizeof blob, out) == sizeof blob;
    if (out && fclose(out) != 0)
        ok = false;
    if (!ok) {
        (void)fprintf(stderr, "cyand: cannot write %s: %s\n", file, strerror(errno));
        return 1;
    }
    printf("exported %s for %s port %u (%d bytes, DFU address 3298)\n", file, host, port,
           SERVER_KEY_BLOB_BYTES);
    return 0;
}

static int run_keygen(const struct config *config, int word_count, char **words,
                      const struct config_flag *flags)
{
    char why[WHY_SIZE], fingerprint[65];
    const char *file = flags[FLAG_EXPORT].value, *address = flags[FLAG_ADDRESS].value;
    (void)words;
    if (word_count != 1 || !file != !address)
        return usage("keygen [--export FILE --address HOST[:PORT]]");
    if (!server_key_exists(config->keys_dir) && server_key_make(config->keys_dir, why, sizeof why) != 0)
        return refuse(why);
    struct server_key *key = server_key_load(config->keys_dir, why, sizeof why);
    if (!key)
        return refuse(why);
    server_key_fingerprint(key, fingerprint);
    printf("server key %s/server_key.der sha256 %s\n", config->keys_dir, fingerprint);
    int err = file ? export_key(key, file, address) : 0;
    server_key_free(key);
    return err;
}

static int run_migrate(const struct config *config, int word_count, char **words,
                       const struct config_flag *flags)
{
    char why[WHY_SIZE];
    int applied;
    (void)words;
    (void)flags;
    if (word_count != 1)
        return usage("migrate");
    struct pg_sync *s = pg_sync_open(config->store_postgres, why, sizeof why);
    if (!s)
        return refuse(why);
    int err = migrate_run(s, &applied, why, sizeof why);
    pg_sync_close(s);
    if (err != 0)
        return refuse(why);
    printf("schema is up to date, %d migration%s applied\n", applied, applied == 1 ? "" : "s");
    return 0;
}

static bool read_key_file(struct fleet_key *key, const char *path, char *why, size_t why_size)
{
    char text[KEY_FILE_MAX];
    const char *reason = "";
    FILE *in = fopen(path, "rbe");
    if (!in) {
        (void)snprintf(why, why_size, "cannot read %s: %s", path, strerror(errno));
        return false;
    }
    size_t len = fread(text, 1, sizeof text, in);
    (void)fclose(in);
    if (fleet_key_from_pem(key, text, len, &reason))
        return true;
    (void)snprintf(why, why_size, "%s: %s", path, reason);
    return false;
}

static int run_device_add(const struct config *config, int word_count, char **words,
                          const struct config_flag *flags)
{
    struct device_id id;
    struct fleet_key key;
    char why[WHY_SIZE];
    const char *file = flags[FLAG_KEY].value, *psk = flags[FLAG_PSK].value, *reason = "";
    if (word_count != 3 || strcmp(words[1], "add") != 0 || !file == !psk)
        return usage("device add ID (--key FILE | --psk HEX) [--name NAME]");
    if (!device_id_parse(&id, words[2], strlen(words[2])))
        return refuse("a device id is 24 hex digits");
    if (psk && !fleet_key_from_hex(&key, psk, &reason))
        return refuse(reason);
    if (file && !read_key_file(&key, file, why, sizeof why))
        return refuse(why);
    struct pg_sync *s = pg_sync_open(config->store_postgres, why, sizeof why);
    if (!s)
        return refuse(why);
    int err = fleet_provision_sync(s, &id, &key, flags[FLAG_NAME].value, why, sizeof why);
    pg_sync_close(s);
    if (err != 0)
        return refuse(why);
    printf("device %s enrolled\n", words[2]);
    return 0;
}

static int run_token_create(const struct config *config, int word_count, char **words,
                            const struct config_flag *flags)
{
    enum fleet_role role;
    char why[WHY_SIZE], token[FLEET_TOKEN_TEXT_SIZE], *end = NULL;
    const char *expires = flags[FLAG_EXPIRES_IN].value;
    unsigned long long expires_s = expires ? strtoull(expires, &end, 10) : 0;
    if (word_count != 2 || strcmp(words[1], "create") != 0 || !flags[FLAG_ROLE].value ||
        !fleet_role_parse(&role, flags[FLAG_ROLE].value) || (expires && (*end != '\0' || end == expires)))
        return usage("token create --role owner|operator|admin [--user NAME] [--expires-in SECONDS]");
    const char *user = flags[FLAG_USER].value ? flags[FLAG_USER].value : fleet_role_name(role);
    struct pg_sync *s = pg_sync_open(config->store_postgres, why, sizeof why);
    if (!s)
        return refuse(why);
    int err = fleet_create_token_sync(s, user, role, expires_s, token, why, sizeof why);
    pg_sync_close(s);
    if (err != 0)
        return refuse(why);
    printf("%s\n", token);
    return 0;
}

/* The first line of standard input; at a terminal it is asked for, twice, and not shown. */
static bool read_line(char *out, size_t out_size, const char *prompt)
{
    struct termios shown, hidden;
    bool asks = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &shown) == 0;
    if (asks) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        (void)fprintf(stderr, "%s", prompt);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    bool got = fgets(out, (int)out_size, stdin) != NULL;
    if (asks) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        (void)fprintf(stderr, "\n");
    }
    out[got ? strcspn(out, "\r\n") : 0] = '\0';
    return got;
}

static int read_password(char password[PASSWORD_MAX + 2])
{
    char again[PASSWORD_MAX + 2];
    if (!read_line(password, PASSWORD_MAX + 2, "Password: "))
        return refuse("the password is read from standard input, which is empty");
    if (!isatty(STDIN_FILENO))
        return 0;
    bool same = read_line(again, sizeof again, "Once more: ") && strcmp(password, again) == 0;
    bytes_wipe(again, sizeof again);
    return same ? 0 : refuse("the two passwords differ");
}

static int run_user(const struct config *config, int word_count, char **words,
                    const struct config_flag *flags)
{
    enum fleet_role role = FLEET_OWNER;
    char why[WHY_SIZE], password[PASSWORD_MAX + 2];
    const char *role_name = flags[FLAG_ROLE].value;
    struct password_cost cost = {.memory_kib = config->auth_argon2_memory_kib,
                                 .iterations = config->auth_argon2_iterations};
    bool adds =
        word_count == 3 && strcmp(words[1], "add") == 0 && role_name && fleet_role_parse(&role, role_name);
    if (!adds && (word_count != 3 || strcmp(words[1], "password") != 0 || role_name))
        return usage("user add NAME --role owner|operator|admin | user password NAME");
    if (read_password(password) != 0)
        return 1;
    struct pg_sync *s = pg_sync_open(config->store_postgres, why, sizeof why);
    if (!s)
        return refuse(why);
    int err = adds ? fleet_add_user_sync(s, words[2], role, password, &cost, why, sizeof why)
                   : fleet_set_password_sync(s, words[2], password, &cost, why, sizeof why);
    bytes_wipe(password, sizeof password);
    pg_sync_close(s);
    if (err != 0)
        return refuse(why);
    printf(adds ? "user %s added\n" : "password of %s set; its other logins ended\n", words[2]);
    return 0;
}

static int run_config(const struct config *config, int word_count, char **words,
                      const struct config_flag *flags)
{
    (void)config;
    (void)words;
    (void)flags;
    if (word_count != 1)
        return usage("config");
    config_print_default(stdout);
    return 0;
}

static int print_routes_json(void)
{
    json_t *list = json_array();
    const struct route *row;
    for (size_t i = 0; (row = route_at(i)) != NULL; i++)
        (void)json_array_append_new(list,
                                    json_pack("{ssssssss?}", "method", row->method, "path", row->pattern,
                                              "access", route_access_name(row->access), "scope", row->scope));
    int err = json_dumpf(list, stdout, JSON_INDENT(2));
    json_decref(list);
    printf("\n");
    return err == 0 ? 0 : 1;
}

static int run_routes(const struct config *config, int word_count, char **words,
                      const struct config_flag *flags)
{
    const struct route *row;
    (void)config;
    (void)words;
    if (word_count != 1)
        return usage("routes [--json]");
    if (flags[FLAG_JSON].value)
        return print_routes_json();
    for (size_t i = 0; (row = route_at(i)) != NULL; i++)
        printf("%-7s %-58s %-9s %s\n", row->method, row->pattern, route_access_name(row->access),
               row->scope ? row->scope : "-");
    return 0;
}

static const struct command {
    const char *name, *form, *help;
    unsigned flags; /* bits of enum command_flag that it takes */
    int (*run)(const struct config *config, int word_count, char **words, const struct config_flag *flags);
} commands[] = {
    {"config", "config", "print the commented default configuration file", 0, run_config},
    {"device", "device add ID (--key FILE | --psk HEX) [--name NAME]",
     "enrol a device without a running server", 1u << FLAG_KEY | 1u << FLAG_PSK | 1u << FLAG_NAME,
     run_device_add},
    {"keygen", "keygen [--export FILE --address HOST[:PORT]]",
     "make the server key if there is none, print its fingerprint", 1u << FLAG_EXPORT | 1u << FLAG_ADDRESS,
     run_keygen},
    {"migrate", "migrate", "bring the database schema up to date", 0, run_migrate},
    {"routes", "routes [--json]", "print what the REST interface answers: method, path, role, scope",
     1u << FLAG_JSON, run_routes},
    {"token", "token create --role owner|operator|admin [--user NAME] [--expires-in SECONDS]",
     "print a new access token", 1u << FLAG_ROLE | 1u << FLAG_USER | 1u << FLAG_EXPIRES_IN, run_token_create},
    {"user", "user add NAME --role owner|operator|admin | user password NAME",
     "make a user who logs in with a password, or give one another; the password is read from standard input",
     1u << FLAG_ROLE, run_user},
};

void command_print_help(FILE *out)
{
    (void)fprintf(out, "usage: cyand [run] [settings]\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        (void)fprintf(out, "       cyand %s\n           %s\n", commands[i].form, commands[i].help);
    (void)fprintf(out, "       cyand --help | --version\n");
}

int command_run(const struct config *config, int word_count, char **words, const struct config_flag *flags)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, words[0]) != 0)
            continue;
        for (int f = 0; f < FLAG_COUNT; f++)
            if (flags[f].value && !(commands[i].flags & 1u << f)) {
                (void)fprintf(stderr, "cyand: %s does not take --%s\n", words[0], flags[f].name);
                return 2;
            }
        return commands[i].run(config, word_count, words, flags);
    }
    (void)fprintf(stderr, "cyand: no command '%.40s'; see cyand --help\n", words[0]);
    return 2;
}
