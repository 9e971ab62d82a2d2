/* swarm_truth.h: --truth: what devices really received, ran and became, against which what the server
 * believes is measured. A JSON line for each thing that happened, flushed, and at the end one for each device
 * (loadtest/README.md).
 *
 * Ownership: swarm_truth_open gives, swarm_truth_close takes. What a device counts is kept by the device,
 * whether or not somebody writes it down. */
#ifndef CYAN_LOADTEST_SWARM_TRUTH_H
#define CYAN_LOADTEST_SWARM_TRUTH_H

#include "swarm_image.h"
#include <jansson.h>

#define SWARM_TOLD_FILES_MAX 32
#define SWARM_TOLD_MODULES_MAX 64

struct swarm_device;
struct swarm_truth;

/* Of one file, over all attempts of one device. */
struct swarm_told_file {
    struct swarm_image_key key;
    uint64_t received_bytes; /* of chunks, however often */
    uint64_t new_bytes;      /* of these, what it had not had before; unless it threw it away itself */
    uint32_t held_bytes;     /* the most it had at a time */
    uint32_t starts, first_start_bytes, last_start_bytes;
    uint32_t validated, applied;
};
/* Of one version of one module. redundant: it ran that version already. */
struct swarm_told_module {
    uint32_t applied, redundant;
    uint16_t v;
    char f, n;
};
/* A full list forgets its oldest entry. */
struct swarm_told {
    struct swarm_told_file files[SWARM_TOLD_FILES_MAX];
    struct swarm_told_module modules[SWARM_TOLD_MODULES_MAX];
    uint32_t file_count, module_count;
    uint32_t reboots, fall_backs;
};
struct swarm_told_file *swarm_told_file(struct swarm_told *told, const struct swarm_image_key *key);
void swarm_told_hold(struct swarm_told_file *file, uint32_t held_bytes);
uint64_t swarm_told_twice(const struct swarm_told_file *file); /* bytes */
struct swarm_told_module *swarm_told_module(struct swarm_told *told, char f, char n, uint16_t v);

struct swarm_truth *swarm_truth_open(const char *path); /* NULL: errno says why */
bool swarm_truth_close(struct swarm_truth *t)
    must_check; /* false: not everything was written. NULL is fine */
/* fields: takes the reference. Nothing without --truth. */
void swarm_truth_tell(const struct swarm_device *d, const char *event, json_t *fields);
/* What it runs, at start and after each boot. */
void swarm_truth_tell_modules(const struct swarm_device *d);
void swarm_truth_tell_end(const struct swarm_device *d);

#endif
