/* config.h: the settings of cyand: one table, read from defaults, file, environment and flags, later ones
 * winning.
 *
 * A key is written `section.name`: in the file as `name = value` under `[section]`, in the environment as
 * CYAN_SECTION_NAME, as a flag as --section-name (`_` and `-` are the same there).
 * Every refusal is one line that names the place and what would be right. Values are never part of a message
 * where they may hold a secret. Ownership: a struct config owns its texts; config_free releases them. Main
 * thread only. */
#ifndef CYAN_CONFIG_H
#define CYAN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "base/must.h"

#define CONFIG_DEFAULT_FILE "/etc/cyan/cyand.conf"
#define CONFIG_ERROR_SIZE 512

enum config_unknown { CONFIG_UNKNOWN_REFUSE, CONFIG_UNKNOWN_QUARANTINE, CONFIG_UNKNOWN_ENROL };

/* Texts are ours and never NULL; a setting without value is "". */
struct config {
    uint32_t audit_refusals_keep_s, audit_refusals_max;
    uint32_t auth_argon2_iterations, auth_argon2_memory_kib;
    uint32_t auth_signup; /* 1: open */
    uint32_t auth_token_expires_s;
    uint32_t campaign_single_operator; /* 0 or 1 */
    uint32_t claims_code_valid_s, claims_transfer_valid_s;
    char *coap_bind; /* comma list of addresses */
    uint32_t coap_port, coap_port_alt;
    uint32_t coap_share_port; /* 0 or 1 */
    uint32_t device_offline_after_s;
    enum config_unknown devices_unknown;
    uint32_t events_data_max, events_keep_s, events_name_max;
    uint32_t handshake_max_in_flight, handshake_per_source, handshake_timeout_s;
    char *http_bind;
    uint32_t http_port;
    uint32_t http_rate_logins, http_rate_per_address, http_rate_per_token;
    uint32_t http_stream_keepalive_s, http_stream_lag_kib, http_streams, http_streams_per_address;
    char *http_tls_cert, *http_tls_key;
    char *http_trusted_proxy; /* "": none */
    char *keys_ca_file, *keys_dir;
    enum log_level log_level;
    uint32_t node_id, node_lease_s;
    uint32_t product_release_needs_proof; /* 0 or 1 */
    uint32_t session_expiry_s, session_max;
    char *session_file; /* "": in keys_dir */
    uint32_t store_hold_s, store_pool_size;
    char *store_postgres;
    char *store_redis; /* "": none */
    uint32_t store_redis_database;
    char *store_redis_password, *store_redis_prefix, *store_redis_user;
    uint32_t update_backoff_s, update_describe_again_s, update_describe_s, update_events_keep_s;
    uint32_t update_ncp_reboot_s;
    uint32_t update_offline_s, update_reboot_s, update_start_delay_s, update_transfers_max;
    uint32_t webhook_allow_private; /* 0 or 1 */
    uint32_t webhook_attempts_max, webhook_backlog_max, webhook_backoff_s, webhook_disable_after_s;
    uint32_t webhook_in_flight, webhook_keep_s, webhook_per_host, webhook_timeout_s;

    char *file;          /* private: the file that was or would have been read */
    bool file_named;     /* private: by --config, so it must exist */
    char **flags;        /* private: key, value, key, value ... of the command line, kept for a reload */
    uint32_t flag_count; /* private: pairs */
};

/* A flag of one command that is not a setting, such as `key` of `cyand device add ID --key FILE`. */
struct config_flag {
    const char *name;  /* without the dashes; NULL ends a list */
    const char *value; /* borrowed from argv; stays as it was when the flag is not given */
    bool is_switch;    /* takes no value: `--json`; its value is "" when it is given */
};

/* Reads all sources into c. Flags are --name VALUE or --name=VALUE; all of them leave argv, where argv[0] and
 * the words stay. passed: the flags of this command beside the settings and --config, or NULL. False: error
 * is the one-line reason, and c holds nothing to free. */
bool config_load(struct config *c, int *argc, char **argv, struct config_flag *passed,
                 char error[CONFIG_ERROR_SIZE]) must_check;
void config_free(struct config *c);

/* applied: false when the change needs a restart and c keeps the old value. */
typedef void config_changed_fn(void *arg, const char *key, bool applied);
/* Reads file and environment again; reloadable settings take their new values in c, changed() comes once for
 * each setting that differs. False: nothing changed, *error is the reason. */
bool config_reload(struct config *c, config_changed_fn *changed, void *arg,
                   char error[CONFIG_ERROR_SIZE]) must_check;

void config_print_help(FILE *out);    /* one line a setting */
void config_print_default(FILE *out); /* a file of comments that names every setting and its default */

#endif
