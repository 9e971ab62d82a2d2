/* swarm_options.h: the command line: one table gives parsing, bounds and --help.
 *
 * Texts point into argv. */
#ifndef CYAN_LOADTEST_SWARM_OPTIONS_H
#define CYAN_LOADTEST_SWARM_OPTIONS_H

#include "base/must.h"
#include "swarm_defects.h"
#include <stdbool.h>
#include <stdint.h>

enum swarm_command {
    SWARM_COMMAND_RUN = 1,
    SWARM_COMMAND_LIST = 2,
    SWARM_COMMAND_KEYS = 4,
    SWARM_COMMAND_BENCH = 8,
    SWARM_COMMAND_HOLD = 16
};

struct swarm_options {
    enum swarm_command command;
    const char *bench; /* "handshakes", "exchanges" or "sessions" */
    const char *server, *server_key, *state_dir, *profile, *platforms, *seed, *devices_file;
    const char *api, *token, *token_file;
    const char *ledger, *report, *truth;
    const char *identity, *psk, *path, *exchange, *suite, *export_dir, *sql, *save, *load, *scenario;
    double devices, loss, dup, reorder, replay, rebind_every_s, resume_every_s, event_interval_ms,
        keepalive_s, sleep_s, duration_s, time_scale, sources, ramp_per_s, clients, seconds, server_pid,
        shared_sockets, in_flight, patience_s, delay_ms;
    struct swarm_defect_shares defects;
    bool no_cid, control, derive_keys, full, idle, deaf_greeting;
};

enum swarm_parse { SWARM_PARSE_OK, SWARM_PARSE_HELP, SWARM_PARSE_BAD };
/* Prints help on stdout or one line of refusal on stderr. */
enum swarm_parse swarm_options_parse(struct swarm_options *o, int argc, char **argv) must_check;

#endif
