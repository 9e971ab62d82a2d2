/* update_engine.h: takes updates of devices through their steps: plans, sends, waits for the device to come
 * back and believes only what it describes then. docs/updates.md says what each state waits for.
 *
 *   once a second: SWEEPING --what is due has moved--> CLAIMING --work of this node is given out--> (waits)
 *
 * All state is in Postgres; what is here is the work under way for devices connected to this node: transfers,
 * and describes that were asked for. A node that dies leaves rows with deadlines, which any other moves on. A
 * row says what is about to happen before it happens, so that while Postgres is away transfers go on and
 * nothing is told to apply.
 *
 * Ownership: made by node.c; borrows all it is given, which outlives it. Loop thread only. */
#ifndef CYAN_CAMPAIGN_UPDATE_ENGINE_H
#define CYAN_CAMPAIGN_UPDATE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deadlines;
struct devices;
struct fleet;
struct metrics;
struct pg;

struct update_settings {
    uint32_t start_delay_s;    /* no update begins so long after the start, and up to half of it more */
    uint32_t describe_again_s; /* between the two describes that have to say the same */
    uint32_t describe_s;       /* from coming back to that, at most */
    uint32_t reboot_s, ncp_reboot_s;
    uint32_t backoff_s; /* after the first failure; doubles */
    uint32_t offline_s; /* a device away for so long holds no place for others */
    uint32_t transfers_max;
};

struct update_engine;
struct update_engine *update_engine_new(struct pg *pg, struct fleet *fleet, struct devices *devices,
                                        struct deadlines *deadlines, struct metrics *metrics,
                                        const struct update_settings *settings, uint32_t node_id);
void update_engine_start(struct update_engine *e);
void update_engine_reload(struct update_engine *e, const struct update_settings *settings);
/* Nothing begins any more; transfers stop, and what devices have of them they keep. */
void update_engine_stop(struct update_engine *e);
bool update_engine_is_idle(const struct update_engine *e); /* nothing is left to be written */
/* From here on Postgres is not asked: rows that are left have their deadlines. */
void update_engine_close(struct update_engine *e);
/* When no callback of Postgres, devices or the fleet can come any more; before the fleet is freed. */
void update_engine_free(struct update_engine *e);

#endif
