/* gate.h: whether a stage of a campaign may pass, must stop, or waits, and why. Pure: numbers in, a verdict
 * out.
 *
 * Of the devices that came to an end and were not current before, k = failed + 2 * lost of n. The rate of
 * failures is bounded by Wilson's interval, one-sided 95 % (z = 1.645): a lower bound over what is allowed
 * stops the campaign; an upper bound within it lets the stage pass. Offline, blocked and cancelled devices
 * prove nothing and hold up nothing. */
#ifndef CYAN_CAMPAIGN_GATE_H
#define CYAN_CAMPAIGN_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_SENTENCE_SIZE 256

struct gate_rules {
    double max_failure;      /* rate, 0 < .. < 1 */
    uint32_t min_resolved;   /* devices */
    double coverage;         /* of the reachable ones, 0 to 1 */
    uint32_t soak_s;         /* since the last success */
    uint32_t max_lost;       /* so many lost devices stop the campaign */
    bool allow_small_canary; /* too few devices to prove it: passes without a failure, and says so */
};

/* Devices of a stage, as campaign_stage counts them. */
struct gate_counts {
    uint32_t total, open, ok, current, failed, lost, blocked, gone, tail;
    uint32_t unhealthy;        /* of ok: in safe mode now */
    uint64_t since_success_ms; /* UINT64_MAX: none yet */
};

enum gate_kind {
    GATE_RUNNING, /* there is work, or something is waited for */
    GATE_SOAKING, /* all is well, and has to stay so for a while */
    GATE_HELD,    /* nothing goes on by itself: an operator decides */
    GATE_PASSED,
    GATE_FAILED, /* stops the campaign */
};
const char *gate_kind_name(enum gate_kind kind); /* as campaign_stage.state */

struct gate_verdict {
    enum gate_kind kind;
    bool admits;         /* HELD: devices that come may still be updated, and then it is judged anew */
    double lower, upper; /* bounds of the failure rate; 0 and 1 while nothing is known */
    uint32_t n, k;
    char sentence[GATE_SENTENCE_SIZE]; /* why, for people */
};
void gate_judge(struct gate_verdict *verdict, const struct gate_rules *rules,
                const struct gate_counts *counts);

/* Wilson bounds of k failures in n; k over n counts as n. n = 0: 0 and 1. */
double gate_lower(uint32_t k, uint32_t n);
double gate_upper(uint32_t k, uint32_t n);
/* The smallest number of failures of n devices that stops a stage. */
uint32_t gate_abort_at(uint32_t n, double max_failure);
/* How many devices without a failure prove a rate below max_failure. */
uint32_t gate_proof_devices(double max_failure);
/* What a stage of so many devices can prove. */
void gate_proves(char sentence[GATE_SENTENCE_SIZE], uint32_t devices, const struct gate_rules *rules);

#endif
