#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "base/mem.h"

extern char **environ;

enum type { NUMBER, TEXT, CHOICE };

/* For NUMBER min and max bound the value, for TEXT its length. */
struct option {
    const char *key; /* section.name */
    enum type type;
    size_t offset; /* of the field in struct config */
    const char *preset;
    uint32_t min, max;
    const char *unit;           /* NULL when the help says it */
    const char *const *choices; /* NULL-terminated; the field is the index */
    bool reloadable;
    const char *help;
};

#define AT(field) offsetof(struct config, field)
#define TEXT_MAX 1024

static const char *const unknown_names[] = {"refuse", "quarantine", "enrol", NULL};
static const char *const signup_names[] = {"closed", "open", NULL};
static const char *const yes_names[] = {"no", "yes", NULL};
static const char *const level_names[] = {"error", "warn", "info", "debug", NULL}; /* as enum log_level */

static const struct option options[] = {
    {"audit.refusals_keep_s", NUMBER, AT(audit_refusals_keep_s), "2592000", 60, 315360000, "seconds", NULL,
     true, "how long refused requests stay in the audit trail; changes stay for ever"},
    {"audit.refusals_max", NUMBER, AT(audit_refusals_max), "100000", 100, 10000000, "rows", NULL, true,
     "rows of refused requests in the audit trail, at most: the oldest go first"},
    {"auth.argon2_iterations", NUMBER, AT(auth_argon2_iterations), "2", 1, 100, "passes", NULL, true,
     "how often argon2id goes over its memory for a password; old hashes follow at the next login"},
    {"auth.argon2_memory_kib", NUMBER, AT(auth_argon2_memory_kib), "19456", 8, 1048576, "KiB", NULL, true,
     "the memory argon2id takes for a password, twice at the same time at most"},
    {"auth.signup", CHOICE, AT(auth_signup), "closed", 0, 0, NULL, signup_names, true,
     "whether anybody may make an account, or only admins"},
    {"auth.token_expires_s", NUMBER, AT(auth_token_expires_s), "7776000", 0, 3153600000, "seconds", NULL,
     true, "how long a token of a login lasts whose client does not say; 0: for ever"},
    {"campaign.single_operator", CHOICE, AT(campaign_single_operator), "no", 0, 0, NULL, yes_names, true,
     "whether the author of a campaign may approve it, and start it without approval"},
    {"claims.code_valid_s", NUMBER, AT(claims_code_valid_s), "300", 30, 86400, "seconds", NULL, true,
     "how long a claim code can be used"},
    {"claims.transfer_valid_s", NUMBER, AT(claims_transfer_valid_s), "604800", 60, 31536000, "seconds", NULL,
     true, "how long a person who asked for the device of another waits for an answer"},
    {"coap.bind", TEXT, AT(coap_bind), "0.0.0.0,::", 1, TEXT_MAX, NULL, NULL, false,
     "local addresses for devices, separated by commas"},
    {"coap.port", NUMBER, AT(coap_port), "5683", 0, 65535, "UDP port", NULL, false,
     "where devices connect; 0 picks a free one"},
    {"coap.port_alt", NUMBER, AT(coap_port_alt), "5684", 0, 65535, "UDP port", NULL, false,
     "a second port for devices; 0 is off"},
    {"coap.share_port", CHOICE, AT(coap_share_port), "no", 0, 0, NULL, yes_names, false,
     "whether several nodes of this host listen on the same port (SO_REUSEPORT)"},
    {"device.offline_after_s", NUMBER, AT(device_offline_after_s), "2250", 1, 31536000, "seconds", NULL, true,
     "a device silent for this long counts as offline"},
    {"devices.unknown", CHOICE, AT(devices_unknown), "refuse", 0, 0, NULL, unknown_names, true,
     "what a device gets that nobody enrolled; enrol trusts the first key it shows"},
    {"events.data_max", NUMBER, AT(events_data_max), "1024", 1, 1024, "bytes", NULL, true,
     "data of an event that people publish, at most: less for a fleet whose devices take less"},
    {"events.keep_s", NUMBER, AT(events_keep_s), "604800", 1, 315360000, "seconds", NULL, true,
     "how long published events stay in the database"},
    {"events.name_max", NUMBER, AT(events_name_max), "64", 1, 64, "bytes", NULL, true,
     "name of an event that people publish, at most"},
    {"handshake.max_in_flight", NUMBER, AT(handshake_max_in_flight), "4096", 1, 1000000, "handshakes", NULL,
     true, "handshakes going on at the same time, at most"},
    {"handshake.per_source", NUMBER, AT(handshake_per_source), "64", 1, 1000000, "handshakes", NULL, true,
     "of these, from one network (IPv4 /24, IPv6 /64), at most"},
    {"handshake.timeout_s", NUMBER, AT(handshake_timeout_s), "45", 1, 600, "seconds", NULL, false,
     "a handshake not finished by then is given up"},
    {"http.bind", TEXT, AT(http_bind), "127.0.0.1", 1, TEXT_MAX, NULL, NULL, false,
     "local address of the REST interface"},
    {"http.port", NUMBER, AT(http_port), "8080", 0, 65535, "TCP port", NULL, false,
     "port of the REST interface; 0 picks a free one"},
    {"http.rate_logins", NUMBER, AT(http_rate_logins), "120", 0, 10000, "logins a minute", NULL, true,
     "of one address (IPv6: one /64), at most; 0: no limit"},
    {"http.rate_per_address", NUMBER, AT(http_rate_per_address), "10000", 0, 100000, "requests a second",
     NULL, true, "of one address (IPv6: one /64), ten seconds' worth at once, at most; 0: no limit"},
    {"http.rate_per_token", NUMBER, AT(http_rate_per_token), "5000", 0, 100000, "requests a second", NULL,
     true, "with one token, ten seconds' worth at once, at most; 0: no limit"},
    {"http.stream_keepalive_s", NUMBER, AT(http_stream_keepalive_s), "8", 1, 9, "seconds", NULL, false,
     "an event stream that is silent for this long gets an empty line"},
    {"http.stream_lag_kib", NUMBER, AT(http_stream_lag_kib), "2048", 16, 65536, "KiB", NULL, false,
     "a reader of an event stream that is behind by more is cut off"},
    {"http.streams", NUMBER, AT(http_streams), "5000", 0, 50000, "streams", NULL, false,
     "event streams of this node at the same time, at most; 0: none"},
    {"http.streams_per_address", NUMBER, AT(http_streams_per_address), "100", 0, 50000, "streams", NULL,
     false, "of these, to one address (IPv6: one /64), at most; 0: as many as http.streams"},
    {"http.tls_cert", TEXT, AT(http_tls_cert), "", 0, TEXT_MAX, NULL, NULL, false,
     "PEM file with the certificate chain of the REST interface; none: plain HTTP"},
    {"http.tls_key", TEXT, AT(http_tls_key), "", 0, TEXT_MAX, NULL, NULL, false,
     "PEM file with the key of http.tls_cert"},
    {"http.trusted_proxy", TEXT, AT(http_trusted_proxy), "", 0, TEXT_MAX, NULL, NULL, false,
     "proxies whose X-Forwarded-For is believed: ADDRESS or ADDRESS/BITS, separated by commas; none: "
     "nobody's"},
    {"keys.ca_file", TEXT, AT(keys_ca_file), "", 0, TEXT_MAX, NULL, NULL, false,
     "PEM file of P-256 authorities whose client certificates are accepted"},
    {"keys.dir", TEXT, AT(keys_dir), "/var/lib/cyan", 1, TEXT_MAX, NULL, NULL, false,
     "folder of the server's own key"},
    {"log.level", CHOICE, AT(log_level), "info", 0, 0, NULL, level_names, true,
     "least important lines to log"},
    {"node.id", NUMBER, AT(node_id), "0", 0, 255, "id", NULL, false,
     "this node's number; each node that shares the database has its own"},
    {"node.lease_s", NUMBER, AT(node_lease_s), "10", 3, 3600, "seconds", NULL, false,
     "a node that Redis has not heard of for so long counts as dead"},
    {"product.release_needs_proof", CHOICE, AT(product_release_needs_proof), "no", 0, 0, NULL, yes_names,
     true, "whether the firmware of a product is released only once one of its devices has run it"},
    {"session.expiry_s", NUMBER, AT(session_expiry_s), "2592000", 1, 315360000, "seconds", NULL, false,
     "a session without a record for this long ends"},
    {"session.file", TEXT, AT(session_file), "", 0, TEXT_MAX, NULL, NULL, false,
     "where sessions stay between a clean stop and the next start without Redis; none: `sessions` in "
     "keys.dir"},
    {"session.max", NUMBER, AT(session_max), "200000", 1, 10000000, "sessions", NULL, false,
     "sessions kept at the same time, at most"},
    {"store.hold_s", NUMBER, AT(store_hold_s), "20", 1, 90, "seconds", NULL, false,
     "how long a device's message waits for the database before it is answered 5.03"},
    {"store.pool_size", NUMBER, AT(store_pool_size), "2", 1, 64, "connections", NULL, false,
     "connections to the database"},
    {"store.postgres", TEXT, AT(store_postgres), "dbname=cyan", 0, TEXT_MAX, NULL, NULL, false,
     "the database, as a libpq connection string or URI"},
    {"store.redis", TEXT, AT(store_redis), "", 0, TEXT_MAX, NULL, NULL, false,
     "Redis for durable sessions: HOST:PORT or the path of a unix socket; none: sessions end with this "
     "process unless it stops cleanly"},
    {"store.redis_database", NUMBER, AT(store_redis_database), "0", 0, 15, "database", NULL, false,
     "the numbered database of Redis"},
    {"store.redis_password", TEXT, AT(store_redis_password), "", 0, TEXT_MAX, NULL, NULL, false,
     "the password Redis wants; none: it wants none"},
    {"store.redis_prefix", TEXT, AT(store_redis_prefix), "cyan:", 0, 32, NULL, NULL, false,
     "what the names of all keys and channels begin with; the same on every node"},
    {"store.redis_user", TEXT, AT(store_redis_user), "", 0, TEXT_MAX, NULL, NULL, false,
     "the user of store.redis_password; none: Redis's default user"},
    {"update.backoff_s", NUMBER, AT(update_backoff_s), "30", 1, 3600, "seconds", NULL, true,
     "from the first failure of a step to its next attempt; doubles with each, up to six hours"},
    {"update.describe_again_s", NUMBER, AT(update_describe_again_s), "20", 1, 600, "seconds", NULL, true,
     "between the two describes of an updated device that have to say the same"},
    {"update.describe_s", NUMBER, AT(update_describe_s), "180", 5, 3600, "seconds", NULL, true,
     "from an updated device's return until it has described itself the same twice, at most"},
    {"update.events_keep_s", NUMBER, AT(update_events_keep_s), "7776000", 60, 315360000, "seconds", NULL,
     true, "how long one can see what happened in updates and campaigns, move by move"},
    {"update.ncp_reboot_s", NUMBER, AT(update_ncp_reboot_s), "600", 5, 7200, "seconds", NULL, true,
     "a device that applies network co-processor firmware and is away for longer is lost"},
    {"update.offline_s", NUMBER, AT(update_offline_s), "120", 5, 86400, "seconds", NULL, true,
     "an update of a device that is away for longer waits, and holds no place for others"},
    {"update.reboot_s", NUMBER, AT(update_reboot_s), "300", 5, 7200, "seconds", NULL, true,
     "a device that applies any other module and is away for longer is lost"},
    {"update.start_delay_s", NUMBER, AT(update_start_delay_s), "60", 0, 3600, "seconds", NULL, false,
     "no update begins before this, and up to half of it more, has passed since the start"},
    {"update.transfers_max", NUMBER, AT(update_transfers_max), "1000", 0, 100000, "transfers", NULL, true,
     "firmware transfers of this node at the same time, at most; 0: no update begins here"},
    {"webhook.allow_private", CHOICE, AT(webhook_allow_private), "no", 0, 0, NULL, yes_names, true,
     "whether webhooks may send to loopback, private and other addresses that are not of the public "
     "internet"},
    {"webhook.attempts_max", NUMBER, AT(webhook_attempts_max), "15", 1, 100, "attempts", NULL, true,
     "at one delivery of a webhook; then it is dead"},
    {"webhook.backlog_max", NUMBER, AT(webhook_backlog_max), "10000", 1, 1000000, "deliveries", NULL, true,
     "of one webhook that wait, at most; the oldest are dropped"},
    {"webhook.backoff_s", NUMBER, AT(webhook_backoff_s), "10", 1, 3600, "seconds", NULL, true,
     "from the first failure of a delivery to its next attempt; doubles with each, up to an hour"},
    {"webhook.disable_after_s", NUMBER, AT(webhook_disable_after_s), "259200", 60, 31536000, "seconds", NULL,
     true, "a webhook whose every attempt failed for so long is disabled"},
    {"webhook.in_flight", NUMBER, AT(webhook_in_flight), "64", 0, 1000, "requests", NULL, true,
     "of webhooks, sent by this node at the same time, at most; 0: this node sends none"},
    {"webhook.keep_s", NUMBER, AT(webhook_keep_s), "86400", 1, 31536000, "seconds", NULL, true,
     "how long one can look at deliveries of webhooks that have ended"},
    {"webhook.per_host", NUMBER, AT(webhook_per_host), "8", 1, 1000, "requests", NULL, true,
     "of webhooks, to one host and port, sent by this node at the same time, at most"},
    {"webhook.timeout_s", NUMBER, AT(webhook_timeout_s), "20", 1, 300, "seconds", NULL, true,
     "for the whole answer to a request of a webhook"},
};
#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

/* Variables of the same prefix that belong to cyanctl, ./run, the build and the tests. */
static const char *const foreign_variables[] = {
    "CYAN_URL",      "CYAN_TOKEN",      "CYAN_CA_FILE",        "CYAN_PID",       "CYAN_USER",
    "CYAN_PASSWORD", "CYAN_SERVER_KEY", "CYAN_MBEDTLS_SOURCE", "CYAN_BUILD_DIR", NULL,
};
#define FOREIGN_PREFIX "CYAN_TEST_"

__attribute__((format(printf, 2, 3))) static bool refuse(char error[CONFIG_ERROR_SIZE], const char *format,
                                                         ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, CONFIG_ERROR_SIZE, format, args);
    va_end(args);
    return false;
}

/* Compares names as the sources spell them: any case, and `.`, `-` and `_` are one. */
static bool same_name(const char *key, const char *name)
{
    for (; *key != '\0' && *name != '\0'; key++, name++) {
        bool key_mark = strchr("._-", *key) != NULL;
        bool name_mark = strchr("._-", *name) != NULL;
        if (key_mark != name_mark)
            return false;
        if (!key_mark && tolower((unsigned char)*key) != tolower((unsigned char)*name))
            return false;
    }
    return *key == *name;
}

static const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (same_name(options[i].key, name))
            return &options[i];
    }
    return NULL;
}

static char **text_field(struct config *c, const struct option *o)
{
    return (char **)(void *)((char *)c + o->offset);
}

/* Numbers and enums: all of them are 32 bits wide. */
static uint32_t *number_field(struct config *c, const struct option *o)
{
    return (uint32_t *)(void *)((char *)c + o->offset);
}
_Static_assert(sizeof(enum config_unknown) == sizeof(uint32_t) && sizeof(enum log_level) == sizeof(uint32_t),
               "choices are stored through number_field");

static bool set_number(struct config *c, const struct option *o, const char *value,
                       char error[CONFIG_ERROR_SIZE])
{
    char *end;
    bool digits = value[0] >= '0' && value[0] <= '9';

    errno = 0;
    unsigned long number = strtoul(value, &end, 10);
    if (!digits || *end != '\0' || errno != 0 || number < o->min || number > o->max) {
        char quoted[64];
        return refuse(error, "%s: %s is not a number from %u to %u (%s)", o->key,
                      log_quote(quoted, sizeof(quoted), value, strlen(value)), o->min, o->max, o->unit);
    }
    *number_field(c, o) = (uint32_t)number;
    return true;
}

static bool set_choice(struct config *c, const struct option *o, const char *value,
                       char error[CONFIG_ERROR_SIZE])
{
    char list[128] = "", quoted[64];

    for (uint32_t i = 0; o->choices[i] != NULL; i++) {
        if (strcmp(o->choices[i], value) == 0) {
            *number_field(c, o) = i;
            return true;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", o->choices[i]);
    }
    return refuse(error, "%s: %s is not one of %s", o->key,
                  log_quote(quoted, sizeof(quoted), value, strlen(value)), list);
}

static bool set_text(struct config *c, const struct option *o, const char *value,
                     char error[CONFIG_ERROR_SIZE])
{
    size_t value_len = strlen(value);

    if (value_len < o->min)
        return refuse(error, "%s: must not be empty", o->key);
    if (value_len > o->max)
        return refuse(error, "%s: longer than %u characters", o->key, o->max);
    char **field = text_field(c, o);
    free(*field);
    *field = mem_string(value);
    return true;
}

static bool set_option(struct config *c, const struct option *o, const char *value,
                       char error[CONFIG_ERROR_SIZE])
{
    if (o->type == NUMBER)
        return set_number(c, o, value, error);
    if (o->type == CHOICE)
        return set_choice(c, o, value, error);
    return set_text(c, o, value, error);
}

/* What the callback of inih fills: the first refusal, and which settings the file has had already. */
struct file_read {
    struct config *config;
    bool seen[OPTION_COUNT];
    bool refused;
    char reason[CONFIG_ERROR_SIZE];
};

static int on_setting(void *arg, const char *section, const char *name, const char *value)
{
    struct file_read *f = arg;
    char key[256], quoted[64];

    if (f->refused) /* inih goes on after an error but tells the line of the first */
        return 0;
    f->refused = true;
    snprintf(key, sizeof(key), "%s.%s", section, name);
    const struct option *o = option_find(key);
    if (o == NULL || section[0] == '\0') {
        refuse(f->reason, "%s is not a setting; `cyand config` lists them",
               log_quote(quoted, sizeof(quoted), key, strlen(key)));
        return 0;
    }
    if (f->seen[o - options]) { /* also a continuation line, which inih reports as the same key again */
        refuse(f->reason, "%s is set twice", o->key);
        return 0;
    }
    f->seen[o - options] = true;
    if (!set_option(f->config, o, value != NULL ? value : "", f->reason))
        return 0;
    f->refused = false;
    return 1;
}

/* inih cuts lines at INI_MAX_LINE without a word: find the first that long, 0 when none is. */
static int first_long_line(FILE *file)
{
    int line = 1, found = 0;
    size_t line_len = 0;

    for (int c = fgetc(file); c != EOF && found == 0; c = fgetc(file)) {
        if (c == '\n') {
            line++;
            line_len = 0;
        } else if (++line_len > INI_MAX_LINE - 2) {
            found = line;
        }
    }
    rewind(file);
    return found;
}

static bool read_file(struct config *c, char error[CONFIG_ERROR_SIZE])
{
    struct file_read f = {.config = c};
    FILE *file = fopen(c->file, "re");

    if (file == NULL && errno == ENOENT && !c->file_named)
        return true;
    if (file == NULL)
        return refuse(error, "%s: %s", c->file, strerror(errno));
    int line = first_long_line(file);
    if (line > 0) {
        fclose(file);
        return refuse(error, "%s:%d: longer than %d characters", c->file, line, INI_MAX_LINE - 2);
    }
    line = ini_parse_file(file, on_setting, &f);
    bool unreadable = ferror(file) != 0; /* a folder opens, but does not read */
    fclose(file);
    if (unreadable)
        return refuse(error, "%s: cannot be read", c->file);
    if (line == 0)
        return true;
    return refuse(error, "%s:%d: %.400s", c->file, line, f.refused ? f.reason : "not a line `name = value`");
}

static bool is_foreign(const char *name)
{
    if (strncmp(name, FOREIGN_PREFIX, strlen(FOREIGN_PREFIX)) == 0)
        return true;
    for (size_t i = 0; foreign_variables[i] != NULL; i++) {
        if (strcmp(foreign_variables[i], name) == 0)
            return true;
    }
    return false;
}

static bool read_environment(struct config *c, char error[CONFIG_ERROR_SIZE])
{
    static const char prefix[] = "CYAN_";
    const size_t prefix_len = sizeof(prefix) - 1;

    for (char **variable = environ; *variable != NULL; variable++) {
        const char *value = strchr(*variable, '=');
        if (value == NULL || strncmp(*variable, prefix, prefix_len) != 0)
            continue;
        char *name = mem_string_n(*variable, (size_t)(value - *variable));
        const struct option *o = option_find(name + prefix_len);
        char reason[CONFIG_ERROR_SIZE];
        bool ok = true;
        if (o != NULL)
            ok = set_option(c, o, value + 1, reason) ||
                 refuse(error, "environment %.64s: %.400s", name, reason);
        else if (!is_foreign(name))
            ok = refuse(error, "environment %.64s: not a setting; `cyand --help` lists them", name);
        free(name);
        if (!ok)
            return false;
    }
    return true;
}

static bool read_flags(struct config *c, char error[CONFIG_ERROR_SIZE])
{
    for (uint32_t i = 0; i < c->flag_count; i++) {
        char reason[CONFIG_ERROR_SIZE];
        const struct option *o = option_find(c->flags[2 * i]);
        must(o != NULL);
        if (!set_option(c, o, c->flags[2 * i + 1], reason))
            return refuse(error, "flag: %.480s", reason);
    }
    return true;
}

static bool check_together(const struct config *c, char error[CONFIG_ERROR_SIZE])
{
    if ((c->http_tls_cert[0] == '\0') != (c->http_tls_key[0] == '\0'))
        return refuse(error, "http.tls_cert and http.tls_key: set both or neither");
    if (c->store_redis_user[0] != '\0' && c->store_redis_password[0] == '\0')
        return refuse(error, "store.redis_user: needs store.redis_password");
    if (c->coap_port == c->coap_port_alt && c->coap_port != 0)
        return refuse(error, "coap.port and coap.port_alt are both %u", c->coap_port);
    return true;
}

/* All sources into a config whose private part is set. */
static bool read_all(struct config *c, char error[CONFIG_ERROR_SIZE])
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        bool ok = set_option(c, &options[i], options[i].preset, error);
        must(ok);
    }
    return read_file(c, error) && read_environment(c, error) && read_flags(c, error) &&
           check_together(c, error);
}

static struct config_flag *passed_find(struct config_flag *passed, const char *name)
{
    for (; passed != NULL && passed->name != NULL; passed++) {
        if (strcmp(passed->name, name) == 0)
            return passed;
    }
    return NULL;
}

static void keep_flag(struct config *c, const char *key, const char *value)
{
    c->flags = mem_grow(c->flags, 2 * (size_t)c->flag_count + 2, sizeof(char *));
    c->flags[2 * c->flag_count] = mem_string(key);
    c->flags[2 * c->flag_count + 1] = mem_string(value);
    c->flag_count++;
}

static bool take_flag(struct config *c, struct config_flag *passed, const char *name, char *value,
                      char error[CONFIG_ERROR_SIZE])
{
    struct config_flag *asked = passed_find(passed, name);
    bool is_file = strcmp(name, "config") == 0;
    const struct option *o = option_find(name);

    if (asked == NULL && !is_file && o == NULL)
        return refuse(error, "--%.400s is not a flag here; see --help", name);
    if (asked != NULL && asked->is_switch && *value != '\0')
        return refuse(error, "--%.400s takes no value", name);
    if (value == NULL)
        return refuse(error, "--%.400s needs a value", name);
    if (asked != NULL) {
        asked->value = value;
    } else if (is_file) {
        free(c->file);
        c->file = mem_string(value);
        c->file_named = true;
    } else {
        keep_flag(c, o->key, value);
    }
    return true;
}

/* Takes all flags out of argv; the words stay. */
static bool take_flags(struct config *c, int *argc, char **argv, struct config_flag *passed,
                       char error[CONFIG_ERROR_SIZE])
{
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            argv[kept++] = argv[i];
            continue;
        }
        size_t name_len = strcspn(argv[i] + 2, "=");
        char *name = mem_string_n(argv[i] + 2, name_len);
        const struct config_flag *asked = passed_find(passed, name);
        bool is_switch = asked != NULL && asked->is_switch;
        char *value = argv[i] + 2 + name_len;
        if (*value == '=')
            value++;
        else if (!is_switch)
            value = i + 1 < *argc ? argv[++i] : NULL;
        bool ok = take_flag(c, passed, name, value, error);
        free(name);
        if (!ok)
            return false;
    }
    *argc = kept;
    argv[kept] = NULL;
    return true;
}

bool config_load(struct config *c, int *argc, char **argv, struct config_flag *passed,
                 char error[CONFIG_ERROR_SIZE])
{
    memset(c, 0, sizeof(*c));
    c->file = mem_string(CONFIG_DEFAULT_FILE);
    if (take_flags(c, argc, argv, passed, error) && read_all(c, error))
        return true;
    config_free(c);
    return false;
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (options[i].type == TEXT)
            free(*text_field(c, &options[i]));
    }
    for (uint32_t i = 0; i < 2 * c->flag_count; i++)
        free(c->flags[i]);
    free(c->flags);
    free(c->file);
    memset(c, 0, sizeof(*c));
}

static bool differs(struct config *a, struct config *b, const struct option *o)
{
    if (o->type == TEXT)
        return strcmp(*text_field(a, o), *text_field(b, o)) != 0;
    return *number_field(a, o) != *number_field(b, o);
}

bool config_reload(struct config *c, config_changed_fn *changed, void *arg, char error[CONFIG_ERROR_SIZE])
{
    struct config fresh = {.file = mem_string(c->file), .file_named = c->file_named};

    for (uint32_t i = 0; i < c->flag_count; i++)
        keep_flag(&fresh, c->flags[2 * i], c->flags[2 * i + 1]);
    if (!read_all(&fresh, error)) {
        config_free(&fresh);
        return false;
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options[i];
        if (!differs(c, &fresh, o))
            continue;
        must(!o->reloadable || o->type != TEXT);
        if (o->reloadable)
            *number_field(c, o) = *number_field(&fresh, o);
        changed(arg, o->key, o->reloadable);
    }
    config_free(&fresh);
    return true;
}

/* `coap.port_alt` as --coap-port-alt or CYAN_COAP_PORT_ALT. */
static const char *spell(char out[64], const char *prefix, const char *key, char mark, bool upper)
{
    size_t at = (size_t)snprintf(out, 64, "%s", prefix);

    for (; *key != '\0' && at < 63; key++) {
        char c = *key == '.' || *key == '_' ? mark : *key;
        out[at++] = upper ? (char)toupper((unsigned char)c) : c;
    }
    out[at] = '\0';
    return out;
}

static void print_range(FILE *out, const struct option *o)
{
    if (o->type == NUMBER)
        fprintf(out, "%u to %u %s", o->min, o->max, o->unit);
    else if (o->type == TEXT)
        fputs("text", out);
    for (size_t i = 0; o->type == CHOICE && o->choices[i] != NULL; i++)
        fprintf(out, "%s%s", i > 0 ? " | " : "", o->choices[i]);
}

void config_print_help(FILE *out)
{
    char flag[64];

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options[i];
        fprintf(out, "  %-29s %s\n%32s", spell(flag, "--", o->key, '-', false), o->help, "");
        print_range(out, o);
        fprintf(out, "; default %s\n", o->preset[0] != '\0' ? o->preset : "none");
    }
    fprintf(out, "  %-29s %s\n%32sdefault %s, which may be missing\n", "--config", "the configuration file",
            "", CONFIG_DEFAULT_FILE);
}

void config_print_default(FILE *out)
{
    char name[64];
    const char *section = "";
    size_t section_len = 0;

    fputs("# Settings of cyand. Every line is the default; take the # off to change it.\n"
          "# The environment (CYAN_SECTION_NAME) and flags (--section-name) win over this file.\n"
          "# SIGHUP reads the file again: settings marked \"reload\" change at once, others at the next "
          "start.\n",
          out);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *o = &options[i];
        size_t len = strcspn(o->key, ".");
        if (len != section_len || strncmp(o->key, section, len) != 0) {
            section = o->key;
            section_len = len;
            fprintf(out, "\n[%.*s]\n", (int)len, section);
        }
        fprintf(out, "\n# %s\n# ", o->help);
        print_range(out, o);
        fprintf(out, "; %s%s\n#%s = %s\n", spell(name, "CYAN_", o->key, '_', true),
                o->reloadable ? "; reload" : "", o->key + len + 1, o->preset);
    }
}
