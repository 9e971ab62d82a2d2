/* update_inner.h: struct update_engine and the work under way, as the update_*.c files share them. Private to
 * these. */
#ifndef CYAN_CAMPAIGN_UPDATE_INNER_H
#define CYAN_CAMPAIGN_UPDATE_INNER_H

#include "base/deadline.h"
#include "base/metrics.h"
#include "campaign/update_engine.h"
#include "device/update.h"
#include "fleet/firmware_cache.h"
#include "fleet/fleet.h"
#include "store/pg.h"

#define UPDATE_LOOKS_MAX 400 /* describes asked for and plans made at the same time */
#define UPDATE_LEASE_S 60    /* for what is given out until it has moved */
#define UPDATE_DESCRIBE_MS 30000
#define UPDATE_STATEMENT_MS 5000
#define UPDATE_AGAIN_MS 1000

/* A step from its claim to the answer whether the device took it.
 *
 *   LOOKING --described--> CHECKING --may go--> LOADING --the file is here--> SENDING --all acknowledged-->
 * HOLDING
 *   --the row says `finishing`--> FINISHING --answer--> TELLING --written--> (gone)
 *   any: --broke, refused, stopped--> TELLING          any: --the row is somebody else's--> LEAVING
 *
 * Writes of one run go one after the other, since each tells the rev for the next. */
enum run_state {
    RUN_LOOKING,
    RUN_CHECKING,
    RUN_LOADING,
    RUN_SENDING,
    RUN_HOLDING,
    RUN_FINISHING,
    RUN_TELLING,
    RUN_LEAVING, /* freed once nothing is awaited */
    RUN_STATE_COUNT
};

struct update_run {
    struct update_engine *e; /* borrowed */
    struct update_run *prev, *next;
    struct device_id device_id;
    int64_t update_id, step_id, module_id;
    int32_t rev; /* of the step's row, as far as is known */
    uint8_t function;
    enum run_state state;
    bool is_describing;               /* a describe is awaited */
    bool is_written;                  /* the row says `transferring` */
    bool wants_transferring;          /* and is to say so */
    bool is_finishing;                /* the device was told to apply */
    struct pg_query *writing;         /* in flight, else NULL */
    struct firmware_wait *loading;    /* in flight, else NULL */
    const struct firmware_blob *blob; /* held, else NULL */
    struct device_update *transfer;   /* borrowed; NULL unless under way */
    uint32_t start_bytes, acked_bytes, told_bytes;
    uint64_t sent_bytes, told_ms, held_ms;
    struct deadline again;
    /* TELLING */
    const char *end; /* static */
    int32_t code;
    bool is_final;
    char message[128];
};

/* A describe asked for, and what follows from it. */
enum look_kind { LOOK_STEP, LOOK_PLAN, LOOK_VERIFY };
struct update_look {
    struct update_engine *e; /* borrowed */
    struct update_look *prev, *next;
    enum look_kind kind;
    struct device_id device_id;
    int64_t update_id, step_id, release_id;
    int32_t update_rev, step_rev;
};

struct update_engine {
    struct pg *pg; /* borrowed, as the next four */
    struct fleet *fleet;
    struct devices *devices;
    struct deadlines *deadlines;
    struct metrics *metrics;
    struct update_settings settings;
    uint32_t node_id;
    char who[24]; /* `node/N` */
    char settings_json[192];
    struct deadline tick;
    uint64_t opens_ms; /* the first update begins no earlier */
    uint32_t ticks;
    bool has_begun;        /* what an earlier process was at is free */
    bool is_checkpointing; /* a statement of the checkpoints is in flight */
    bool stopped, closed;
    struct update_run *runs; /* ours */
    struct update_look *looks;
    size_t run_count, look_count;
    size_t pending_count; /* statements and plans of looks in flight */
    struct metric *under_way, *looking, *begun, *verified, *failed, *broken, *rebooting, *fenced, *healed,
        *forced;
};

/* Numbers as parameters, in the caller's buffer. */
struct update_number {
    char text[24];
};
struct pg_param update_int(struct update_number *n, int64_t value);

/* --- update_claim.c --- */
void update_claim(struct update_engine *e, void (*done)(struct update_engine *e));

/* --- update_force.c --- */
/* Tells devices of this node to take updates, or not any more, that are to know it; then done. */
void update_force(struct update_engine *e, void (*done)(struct update_engine *e));

/* --- update_step.c, update_transfer.c --- */
void run_begin(struct update_engine *e, const struct update_run *claimed /* copied */);
/* The only writer of state. */
void run_enter(struct update_run *run, enum run_state state);
void run_load(struct update_run *run);
/* Ends it: writes how, then it is gone. end: static; message: copied. */
void run_tell(struct update_run *run, const char *end, const char *message, int32_t code, bool is_final);
/* The row is not ours any more: stops, says nothing. */
void run_leave(struct update_run *run);
/* Frees it when it is LEAVING and nothing is awaited. */
void run_release(struct update_run *run);
void run_send(struct update_run *run);
/* Asks the device to take no more, when it still can. */
void run_stop(struct update_run *run);
/* Writes what is to be written next, unless a write is in flight. */
void run_write(struct update_run *run);
void run_write_end(struct update_run *run); /* TELLING */
struct update_run *run_find(struct update_engine *e, int64_t step_id);
void run_forget_blob(struct update_run *run);

/* --- update_checkpoint.c --- */
void update_checkpoint(struct update_engine *e, uint64_t now_ms);

/* --- update_describe.c, update_planned.c --- */
void look_begin(struct update_engine *e, const struct update_look *wanted /* copied */);
void look_plan(struct update_look *look);
void look_end(struct update_look *look); /* frees it */

#endif
