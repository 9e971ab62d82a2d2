/* campaigns.h: campaigns: made, planned, approved and steered by people, and moved on by a tick.
 *
 *   campaign: draft -> planned -> awaiting_approval -> approved -> running <-> paused
 *             running, paused, and what was not started -> aborting -> aborted      running -> completed
 *   stage:    pending -> running -> soaking -> passed      held: the gate says why      failed: aborts
 *
 * All state is in Postgres (migrations/0014 and 0015); every call here is one statement there, or a few
 * for planning. Each answers exactly once, from the loop, never from inside the call; what it hands over is
 * valid during the callback. `which` is the number or the name of a campaign.
 * Ownership: made by node.c; borrows all it is given, which outlives it. Loop thread only. */
#ifndef CYAN_CAMPAIGN_CAMPAIGNS_H
#define CYAN_CAMPAIGN_CAMPAIGNS_H

#include <jansson.h>
#include <uv.h>

#include "fleet/fleet.h"

struct campaigns_settings {
    bool single_operator; /* authors may approve, and start without approval */
};
struct campaigns;
/* conninfo: of the same database; what takes longer than a device should wait goes through a connection of
 * its own. */
struct campaigns *campaigns_new(uv_loop_t *loop, const char *conninfo, struct pg *pg, struct fleet *fleet,
                                struct deadlines *deadlines, struct metrics *metrics,
                                const struct campaigns_settings *settings);
void campaigns_reload(struct campaigns *c, const struct campaigns_settings *settings);
void campaigns_start(struct campaigns *c);
/* No tick begins any more; whoever waits for events is answered with none. */
void campaigns_stop(struct campaigns *c);
/* When nobody asks any more, and before pg is closed: ends what is under way (FLEET_AWAY), then calls closed.
 */
void campaigns_close(struct campaigns *c, void (*closed)(void *arg), void *arg);
void campaigns_free(struct campaigns *c); /* after pg is closed: no callback can come any more */

/* --- reading: JSON as REST shows it --- */

/* text: NULL unless err is FLEET_OK. */
typedef void campaign_text_fn(void *arg, enum fleet_err err, const char *text);
void campaign_read(struct campaigns *c, const char *which, campaign_text_fn *done, void *arg);
void campaign_read_progress(struct campaigns *c, const char *which, campaign_text_fn *done, void *arg);
/* Which page of which. state: NULL: any, of campaigns all but the archived; reason: of devices, NULL: any. */
struct campaign_filter {
    const char *state, *reason;
    uint32_t page, per_page; /* from 1 */
};
void campaign_list(struct campaigns *c, const struct campaign_filter *filter, campaign_text_fn *done,
                   void *arg);
void campaign_list_devices(struct campaigns *c, const char *which, const struct campaign_filter *filter,
                           campaign_text_fn *done, void *arg);

/* Lines of JSON of the events after the one numbered past, oldest first, at most CAMPAIGN_EVENTS_MAX; waits
 * for one up to wait_ms. text "" when none came. */
#define CAMPAIGN_EVENTS_MAX 500
#define CAMPAIGN_WAITS_MAX 200 /* more are answered at once */
void campaign_read_events(struct campaigns *c, const char *which, int64_t past, uint32_t wait_ms,
                          campaign_text_fn *done, void *arg);

/* Devices of a campaign, a slice at a time: those after the update numbered past, as lines of CSV or JSON.
 * last: past of the next slice; 0: there were no more. */
#define CAMPAIGN_EXPORT_SLICE 2000
typedef void campaign_slice_fn(void *arg, enum fleet_err err, const char *lines, int64_t last);
void campaign_export(struct campaigns *c, const char *which, int64_t past, bool as_csv,
                     campaign_slice_fn *done, void *arg);

/* --- changing: one transaction with its audit row --- */

/* code: `ok`, `not found`, `stale`, `state` and others (migrations/0014); rev: the current one; detail: "" or
 * what code says about it. Only when err is FLEET_OK; FLEET_INVALID: detail is what is wrong with the
 * request. */
struct campaign_outcome {
    const char *code, *detail;
    int64_t id, rev;
};
typedef void campaign_changed_fn(void *arg, enum fleet_err err, const struct campaign_outcome *outcome);

/* From a request that went through selector_parse, stages_check and limits_check; borrowed. */
struct campaign_wish {
    const struct fleet_actor *actor;
    const char *key;            /* of the Idempotency-Key header; NULL: none */
    const char *request;        /* the body as it came, in canonical form */
    const char *name, *release; /* release: number or name */
    const char *selector;       /* canonical JSON */
    const json_t *stages, *limits;
    const char *mode; /* soft, forced, consent */
    bool dynamic;
};
void campaign_create(struct campaigns *c, const struct campaign_wish *wish, campaign_changed_fn *done,
                     void *arg);

/* What comes with every word: rev is the one its author saw. reason may be NULL. */
struct campaign_order {
    const struct fleet_actor *actor;
    const char *which, *reason;
    int64_t rev;
};
/* word: submit, approve, start, pause, resume, abort, archive. plan_hash: 64 hex digits of the plan it is
 * meant for; NULL: whichever. */
void campaign_act(struct campaigns *c, const struct campaign_order *order, const char *word,
                  const char *plan_hash, campaign_changed_fn *done, void *arg);
/* Freezes who is in it, what each class of devices needs, and what the stages can prove. */
void campaign_plan(struct campaigns *c, const struct campaign_order *order, campaign_changed_fn *done,
                   void *arg);
struct campaign_stage_order {
    struct campaign_order order;
    int stage;           /* from 0 */
    const char *word;    /* resume, skip, widen */
    double percent;      /* of widen; 0: not this one */
    int64_t max_devices; /* likewise */
};
void campaign_act_on_stage(struct campaigns *c, const struct campaign_stage_order *order,
                           campaign_changed_fn *done, void *arg);
/* reasons: JSON array of reasons or of failed, lost, blocked. detail: how many devices. */
void campaign_retry(struct campaigns *c, const struct campaign_order *order, const json_t *reasons,
                    campaign_changed_fn *done, void *arg);
/* devices: JSON array of device ids. detail: how many of them were taken out, or acknowledged as lost. */
void campaign_exclude(struct campaigns *c, const struct campaign_order *order, const json_t *devices,
                      campaign_changed_fn *done, void *arg);

#endif
