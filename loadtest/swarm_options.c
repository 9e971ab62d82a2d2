#include "swarm_options.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN SWARM_COMMAND_RUN
#define LIST SWARM_COMMAND_LIST
#define KEYS SWARM_COMMAND_KEYS
#define BENCH SWARM_COMMAND_BENCH
#define HOLD SWARM_COMMAND_HOLD
#define ANY_NUMBER 1e15

enum kind { TEXT, NUMBER, FLAG };
struct option {
    const char *name, *value, *help;
    size_t offset;
    unsigned int commands;
    enum kind kind;
    double min, max;
};
#define AT(field) offsetof(struct swarm_options, field)

static const struct option table[] = {
    {"server", "HOST:PORT", "CoAP over DTLS address of the server; loopback addresses only", AT(server),
     RUN | HOLD | BENCH, TEXT, 0, 0},
    {"server-key", "FILE", "the server's public key in DER, which Device OS profiles pin", AT(server_key),
     RUN | HOLD | BENCH, TEXT, 0, 0},
    {"state-dir", "DIR", "where ids, keys and firmware of the devices are kept (devices.json)", AT(state_dir),
     RUN | LIST | KEYS | BENCH, TEXT, 0, 0},
    {"devices", "N", "how many devices", AT(devices), RUN | HOLD | KEYS, NUMBER, 0, 4e6},
    {"derive-keys", NULL, "keys follow from the seed as well, and nothing need be kept", AT(derive_keys),
     RUN | KEYS | BENCH, FLAG, 0, 0},
    {"devices-file", "FILE", "exact devices, a JSON list; besides those of --devices", AT(devices_file),
     RUN | KEYS, TEXT, 0, 0},
    {"profile", "NAME", "deviceos, psk or mixed (default deviceos)", AT(profile), RUN | HOLD | KEYS | BENCH,
     TEXT, 0, 0},
    {"platforms", "LIST", "of core,photon,electron,argon,boron,tracker,p2 (default all)", AT(platforms),
     RUN | HOLD | KEYS | BENCH, TEXT, 0, 0},
    {"seed", "TEXT", "device ids and faults follow from it (default 1)", AT(seed), RUN | HOLD | KEYS | BENCH,
     TEXT, 0, 0},
    {"no-cid", NULL, "offer no connection ID, as devices before 3.1", AT(no_cid), RUN | HOLD | BENCH, FLAG, 0,
     0},
    {"api", "URL", "enrol and name each device through this REST address first", AT(api), RUN | KEYS, TEXT, 0,
     0},
    {"token", "TOKEN", "token for --api", AT(token), RUN | KEYS, TEXT, 0, 0},
    {"token-file", "FILE", "file that holds the token for --api", AT(token_file), RUN | KEYS, TEXT, 0, 0},
    {"loss", "PERCENT", "datagrams lost, each direction", AT(loss), RUN | HOLD, NUMBER, 0, 100},
    {"dup", "PERCENT", "datagrams sent twice, each direction", AT(dup), RUN | HOLD, NUMBER, 0, 100},
    {"reorder", "PERCENT", "datagrams held back 10 to 50 ms, each direction", AT(reorder), RUN | HOLD, NUMBER,
     0, 100},
    {"delay", "MS", "how long each datagram is on its way, each direction", AT(delay_ms), RUN | HOLD, NUMBER,
     0, 60000},
    {"replay", "PERCENT", "of datagrams after which an eavesdropper sends an earlier one again", AT(replay),
     RUN | HOLD, NUMBER, 0, 100},
    {"deaf-greeting", NULL, "pings are not answered while Hello is unacknowledged, as real devices do",
     AT(deaf_greeting), RUN | HOLD, FLAG, 0, 0},
    {"rebind-every", "S", "new source port behind the device's back every S seconds, as a NAT does",
     AT(rebind_every_s), RUN, NUMBER, 0, 1e6},
    {"resume-every", "S",
     "the device itself moves to a new port every S seconds and goes on with its session", AT(resume_every_s),
     RUN, NUMBER, 0, 1e6},
    {"event-interval-ms", "MS", "each device publishes an event this often (default never)",
     AT(event_interval_ms), RUN, NUMBER, 0, 1e9},
    {"keepalive", "S", "ping after S seconds without hearing the server (default 25; cellular 1380)",
     AT(keepalive_s), RUN, NUMBER, 0, 1e6},
    {"sleep", "S", "awake S seconds, asleep S seconds, and so on", AT(sleep_s), RUN, NUMBER, 0, 1e6},
    {"duration", "S", "end after S seconds (default never)", AT(duration_s), RUN, NUMBER, 0, 1e9},
    {"ramp", "N", "devices that start each second (default 100)", AT(ramp_per_s), RUN, NUMBER, 0.1, 1e6},
    {"sources", "N", "spread devices over N /24 networks of 127.0.0.0/8", AT(sources), RUN | HOLD | BENCH,
     NUMBER, 1, 60000},
    {"shared-sockets", "N",
     "all devices on N sockets, each with an address of its own (default: run 0, others 16)",
     AT(shared_sockets), RUN | HOLD | BENCH, NUMBER, 0, 256},
    {"in-flight", "N", "handshakes at once while sessions are set up (default: hold 256, bench 32)",
     AT(in_flight), HOLD | BENCH, NUMBER, 1, 1e5},
    {"patience", "S", "how long setting up all sessions may take (default 60)", AT(patience_s), BENCH, NUMBER,
     1, 1e5},
    {"time-scale", "F", "multiplies every time the protocol gives (default 1)", AT(time_scale),
     RUN | HOLD | BENCH, NUMBER, 0.001, 100},
    {"ledger", "FILE", "append a JSON line for each event the server acknowledged", AT(ledger), RUN, TEXT, 0,
     0},
    {"report", "FILE", "write the totals there at the end, as JSON", AT(report), RUN, TEXT, 0, 0},
    {"truth", "FILE", "append a JSON line for each thing an update really did to a device", AT(truth), RUN,
     TEXT, 0, 0},
    {"lie", "PERCENT", "of devices that find an update good and come back without it", AT(defects.lie), RUN,
     NUMBER, 0, 100},
    {"fall-back", "PERCENT", "of devices that are back at the old version 5 s after the new one ran",
     AT(defects.fall_back), RUN, NUMBER, 0, 100},
    {"never-back", "PERCENT", "of devices that apply an update and are not heard of again",
     AT(defects.never_back), RUN, NUMBER, 0, 100},
    {"power-loss", "PERCENT", "of devices whose power goes once, at 40,000 bytes of a file",
     AT(defects.power_loss), RUN, NUMBER, 0, 100},
    {"ignore-finish", "PERCENT", "of devices that never answer the finish of an update",
     AT(defects.ignore_finish), RUN, NUMBER, 0, 100},
    {"updates-disabled", "PERCENT", "of devices whose application does not want updates",
     AT(defects.updates_disabled), RUN, NUMBER, 0, 100},
    {"cached-describe", "PERCENT", "of devices that describe nothing after an update",
     AT(defects.cached_describe), RUN, NUMBER, 0, 100},
    {"control", NULL, "read commands from stdin and write notices to stdout, as JSON lines", AT(control),
     RUN | HOLD, FLAG, 0, 0},
    {"scenario", "FILE", "steps to take, a JSON list (loadtest/README.md); ends with them", AT(scenario),
     RUN | HOLD, TEXT, 0, 0},
    {"full", NULL, "the whole connection sequence, not only Hello", AT(full), HOLD, FLAG, 0, 0},
    {"idle", NULL, "connect nobody before a command says so", AT(idle), HOLD, FLAG, 0, 0},
    {"save", "FILE", "keep the sessions there at the end", AT(save), HOLD, TEXT, 0, 0},
    {"load", "FILE", "go on with the sessions kept there, in place of handshakes", AT(load), HOLD, TEXT, 0,
     0},
    {"clients", "N", "how many clients at once (default 16)", AT(clients), BENCH, NUMBER, 1, 1e6},
    {"seconds", "S", "how long to measure (default 5)", AT(seconds), BENCH, NUMBER, 0.1, 3600},
    {"identity", "TEXT", "PSK identity of all clients, in place of --state-dir", AT(identity), BENCH, TEXT, 0,
     0},
    {"psk", "HEX", "PSK of all clients, in place of --state-dir", AT(psk), BENCH, TEXT, 0, 0},
    {"suite", "NAME", "ccm8 or gcm, for PSK (default ccm8)", AT(suite), BENCH, TEXT, 0, 0},
    {"exchange", "KIND", "get, ping, hello or none (default get for PSK, hello for Device OS)", AT(exchange),
     BENCH, TEXT, 0, 0},
    {"path", "PATH", "what to GET (default /t)", AT(path), BENCH, TEXT, 0, 0},
    {"server-pid", "PID", "report the CPU time this process used meanwhile", AT(server_pid), BENCH, NUMBER, 1,
     1e9},
    {"export", "DIR", "write each device's key pair as PEM files there", AT(export_dir), KEYS, TEXT, 0, 0},
    {"sql", "FILE", "write a script for psql that enrols the devices; - is stdout", AT(sql), KEYS, TEXT, 0,
     0},
};
#define OPTIONS (sizeof(table) / sizeof(table[0]))

static const struct {
    const char *name, *usage, *help;
    enum swarm_command command;
} commands[] = {
    {"run", "run --server HOST:PORT --server-key FILE --devices N --state-dir DIR [...]",
     "connect simulated devices", RUN},
    {"hold", "hold --server HOST:PORT --server-key FILE --devices N --seed TEXT [...]",
     "very many devices that connect, sleep, and wake on command", HOLD},
    {"list", "list --state-dir DIR", "print ids and public keys of the devices kept", LIST},
    {"keys", "keys --state-dir DIR --devices N [--export DIR] [...]",
     "make devices without connecting; with --api, enrol them", KEYS},
    {"bench", "bench handshakes|exchanges|sessions --server HOST:PORT --clients N --seconds S [...]",
     "closed-loop load; one JSON line", BENCH},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(enum swarm_command command)
{
    (void)printf("Usage:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        if (!command || command == commands[i].command)
            (void)printf("  cyan-swarm %s\n      %s\n", commands[i].usage, commands[i].help);
    (void)printf("\nOptions:\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        char left[48];

        if (command && !(table[i].commands & command))
            continue;
        (void)snprintf(left, sizeof(left), "--%s %s", table[i].name, table[i].value ? table[i].value : "");
        (void)printf("  %-24s %s\n", left, table[i].help);
    }
}

static bool refuse(const char *what, const char *why)
{
    (void)fprintf(stderr, "cyan-swarm: %s: %s\n", what, why);
    return false;
}

static const struct option *find(const char *name, size_t name_len, enum swarm_command command)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (strlen(table[i].name) == name_len && memcmp(table[i].name, name, name_len) == 0 &&
            table[i].commands & command)
            return &table[i];
    return NULL;
}

static bool set(struct swarm_options *o, const struct option *option, const char *value)
{
    char *field = (char *)o + option->offset;
    char *end;
    double number;

    if (option->kind == TEXT) {
        memcpy(field, &value, sizeof(value));
        return true;
    }
    number = strtod(value, &end);
    if (*value == 0 || *end || isnan(number) || number < option->min || number > option->max)
        return refuse(option->name, "not a number in the allowed range");
    memcpy(field, &number, sizeof(number));
    return true;
}

/* One argument, with the next as its value when it needs one. Returns how many were used, 0 when bad. */
static int take(struct swarm_options *o, const char *argument, const char *next)
{
    const char *equals = strchr(argument, '=');
    size_t name_len = equals ? (size_t)(equals - argument) : strlen(argument);
    const struct option *option;

    if (strncmp(argument, "--", 2) != 0) {
        refuse(argument, "unexpected argument");
        return 0;
    }
    option = find(argument + 2, name_len - 2, o->command);
    if (!option) {
        refuse(argument, "unknown option for this command (--help)");
        return 0;
    }
    if (option->kind == FLAG) {
        *(bool *)((char *)o + option->offset) = true;
        return equals ? 0 : 1;
    }
    if (equals)
        return set(o, option, equals + 1) ? 1 : 0;
    if (!next) {
        refuse(argument, "needs a value");
        return 0;
    }
    return set(o, option, next) ? 2 : 0;
}

static bool check(const struct swarm_options *o)
{
    if (o->command & (RUN | HOLD | BENCH) && !o->server)
        return refuse("--server", "is needed");
    if (o->command & (LIST | KEYS) && !o->state_dir && !(o->derive_keys && o->sql))
        return refuse("--state-dir", "is needed, or --derive-keys with --sql");
    if (o->command & HOLD && o->devices < 1)
        return refuse("--devices", "is needed");
    if (o->command & RUN && o->devices <= 0 && !o->devices_file)
        return refuse("--devices", "is needed, or --devices-file");
    if (o->api && !o->token && !o->token_file)
        return refuse("--api", "needs --token or --token-file");
    if (o->command == BENCH && !o->state_dir && !o->derive_keys && !(o->identity && o->psk))
        return refuse("bench", "needs --state-dir, --derive-keys, or --identity and --psk");
    return true;
}

static bool is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

static bool is_bench(const char *word)
{
    return strcmp(word, "handshakes") == 0 || strcmp(word, "exchanges") == 0 || strcmp(word, "sessions") == 0;
}

static void set_defaults(struct swarm_options *o)
{
    memset(o, 0, sizeof(*o));
    o->profile = "deviceos";
    o->seed = "1";
    o->path = "/t";
    o->suite = "ccm8";
    o->time_scale = 1;
    o->sources = 1;
    o->ramp_per_s = 100;
    o->clients = 16;
    o->seconds = 5;
    o->shared_sockets = -1;
    o->patience_s = 60;
}

enum swarm_parse swarm_options_parse(struct swarm_options *o, int argc, char **argv)
{
    int i = 2;

    set_defaults(o);
    if (argc < 2 || is_help(argv[1])) {
        print_help((enum swarm_command)0);
        return argc < 2 ? SWARM_PARSE_BAD : SWARM_PARSE_HELP;
    }
    for (size_t c = 0; c < COMMANDS; c++)
        if (strcmp(argv[1], commands[c].name) == 0)
            o->command = commands[c].command;
    if (!o->command) {
        refuse(argv[1], "unknown command (run, hold, list, keys, bench; --help)");
        return SWARM_PARSE_BAD;
    }
    for (int h = 2; h < argc; h++) {
        if (is_help(argv[h])) {
            print_help(o->command);
            return SWARM_PARSE_HELP;
        }
    }
    if (o->command == BENCH) {
        o->bench = argc > 2 ? argv[i++] : "";
        if (!is_bench(o->bench)) {
            refuse("bench", "handshakes, exchanges or sessions?");
            return SWARM_PARSE_BAD;
        }
    }
    while (i < argc) {
        int used = take(o, argv[i], i + 1 < argc ? argv[i + 1] : NULL);

        if (used == 0)
            return SWARM_PARSE_BAD;
        i += used;
    }
    if (o->shared_sockets < 0)
        o->shared_sockets = o->command == RUN ? 0 : 16;
    if (o->in_flight == 0)
        o->in_flight = o->command == HOLD ? 256 : 32;
    return check(o) ? SWARM_PARSE_OK : SWARM_PARSE_BAD;
}
