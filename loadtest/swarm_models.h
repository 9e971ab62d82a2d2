/* swarm_models.h: who the simulated devices are: ids, keys, firmware; kept in --state-dir/devices.json (mode
 * 0600).
 *
 * Ids follow from the seed; keys are random and made once, or follow from the seed as well. A run picks its
 * devices from the file and makes those that are missing; what it does not use stays in the file.
 *
 * Ownership: swarm_models_open gives, swarm_models_free takes; models live as long as it does. Only used
 * outside the loop: files are read and written with the ordinary calls. */
#ifndef CYAN_LOADTEST_SWARM_MODELS_H
#define CYAN_LOADTEST_SWARM_MODELS_H

#include "base/device_id.h"
#include "swarm_defects.h"
#include "swarm_dtls.h"
#include "swarm_platform.h"
#include <uthash.h>

#define SWARM_PSK_MAX_BYTES 32
#define SWARM_NAME_SIZE 65
#define SWARM_ERROR_SIZE 256

struct swarm_model {
    UT_hash_handle hh;
    struct device_id id;
    char id_text[DEVICE_ID_TEXT_SIZE];
    char name[SWARM_NAME_SIZE];
    const struct swarm_platform *platform;
    struct swarm_firmware firmware;
    struct swarm_key key;
    uint8_t psk[SWARM_PSK_MAX_BYTES];
    uint8_t psk_len;
    uint8_t profile;               /* enum swarm_profile */
    bool cid;                      /* offers a connection ID */
    bool chosen;                   /* for this run */
    bool update_applied;           /* Hello says so until the server says Hello */
    struct swarm_defects *defects; /* ours, NULL = none */
};

/* What --devices and its companions ask for. */
struct swarm_choice {
    const char *seed;      /* text */
    const char *platforms; /* comma list of names, or NULL for all */
    const char *profile;   /* "deviceos", "psk" or "mixed" */
    uint32_t count;
    bool cid;
    bool derive_keys; /* from the seed as well, in place of random ones */
};

/* "deviceos" or "psk"; false for anything else. */
bool swarm_profile_parse(uint8_t *profile, const char *name) must_check;

struct swarm_models;

/* NULL with a sentence in error when the directory or its file cannot be used. dir NULL: nothing is kept. */
struct swarm_models *swarm_models_open(struct swarm_crypto *c, const char *dir, char error[SWARM_ERROR_SIZE]);
void swarm_models_free(struct swarm_models *all);
bool swarm_models_save(const struct swarm_models *all, char error[SWARM_ERROR_SIZE]) must_check;
bool swarm_models_choose(struct swarm_models *all, const struct swarm_choice *choice,
                         char error[SWARM_ERROR_SIZE]) must_check;
/* Devices given exactly: --devices-file (loadtest/README.md). choice gives what an entry leaves out. */
bool swarm_models_choose_file(struct swarm_models *all, const char *path, const struct swarm_choice *choice,
                              char error[SWARM_ERROR_SIZE]) must_check;
size_t swarm_models_chosen(const struct swarm_models *all);
/* First and next; of all models, chosen or not. */
struct swarm_model *swarm_models_first(const struct swarm_models *all);
struct swarm_model *swarm_models_next(const struct swarm_model *m);
struct swarm_defects *swarm_model_defects(struct swarm_model *m); /* makes them when there are none */
struct swarm_credentials swarm_model_credentials(const struct swarm_model *m,
                                                 const struct swarm_verifier *server);

#endif
