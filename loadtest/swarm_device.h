/* swarm_device.h: the life of one simulated device.
 *
 *   OFFLINE -> CONNECTING -> GREETING -> SETTLING -> ONLINE -> LEAVING -> ASLEEP | STOPPED
 *      ^           |             |           |         |                    |
 *      +-----------+-------------+-----------+---------+     RESUMING <-----+
 *                                                               |
 *                                             SETTLING <--------+
 *
 * OFFLINE waits for its back-off; GREETING waits for the acknowledgement of Hello and drops what the server
 * asks meanwhile, as devices do; SETTLING waits until everything of the connection sequence is acknowledged;
 * RESUMING has sent a ping over a session it kept. REBOOTING is silent while it applies an update, and comes
 * to OFFLINE from wherever it was.
 *
 * Ownership: memory of the run's array; swarm_device_deinit leaves nothing behind. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_DEVICE_H
#define CYAN_LOADTEST_SWARM_DEVICE_H

#include "swarm_exchange.h"
#include "swarm_image.h"
#include "swarm_loop.h"
#include "swarm_messages.h"
#include "swarm_stats.h"

enum swarm_device_state {
    SWARM_DEVICE_OFFLINE,
    SWARM_DEVICE_CONNECTING,
    SWARM_DEVICE_GREETING,
    SWARM_DEVICE_SETTLING,
    SWARM_DEVICE_ONLINE,
    SWARM_DEVICE_RESUMING,
    SWARM_DEVICE_LEAVING,
    SWARM_DEVICE_ASLEEP,
    SWARM_DEVICE_STOPPED,
    SWARM_DEVICE_REBOOTING
};
const char *swarm_device_state_name(enum swarm_device_state state);

/* Kinds of confirmable messages; SWARM_SETTLING marks those of the connection sequence. */
enum swarm_kind {
    SWARM_KIND_HELLO = 1,
    SWARM_KIND_DESCRIBE,
    SWARM_KIND_TIME,
    SWARM_KIND_EVENT,
    SWARM_KIND_SUBSCRIBE,
    SWARM_KIND_PING,
    SWARM_KIND_RESPONSE,
    SWARM_KIND_GOODBYE,
    SWARM_KIND_UPDATE_DONE,
    SWARM_KIND_UPDATE_REFUSED,
    SWARM_SETTLING = 0x80
};

struct swarm_device;
struct swarm_update;
struct swarm_truth;

/* What all devices of a run share. */
struct swarm_world {
    struct swarm_loop loop;
    struct swarm_stats stats;
    struct swarm_images images;    /* of updates under way */
    struct swarm_truth *truth;     /* borrowed, NULL = nobody writes it down */
    struct swarm_verifier *server; /* ours; NULL when all are PSK */
    double time_scale;
    uint64_t rebind_every_ms, resume_every_ms, event_interval_ms, keepalive_ms,
        sleep_ms;       /* 0 = never, or default */
    bool deaf_greeting; /* pings are not answered while Hello is unacknowledged, as real devices do */
    bool light;         /* nothing is said after Hello, or after the ping of a resumed session */
    /* All may be NULL. fields: takes the reference. settled: the device is online; it must stay until the
     * call has returned. */
    void (*notice)(struct swarm_world *w, const struct swarm_device *d, const char *event, json_t *fields);
    void (*acknowledged)(struct swarm_world *w, const struct swarm_device *d, const char *name,
                         const char *data, uint16_t mid);
    void (*settled)(struct swarm_world *w, struct swarm_device *d);
};

/* A describe on its way in blocks. */
struct swarm_push {
    uint8_t *payload; /* ours */
    size_t len;
    uint32_t block, block_count;
    unsigned int flags;
};
/* A describe being fetched in blocks by the server. */
struct swarm_pull {
    uint8_t *payload; /* ours, NULL = none */
    size_t len;
    uint32_t next;
    unsigned int flags;
};
/* The function `slow` while it runs. */
struct swarm_slow {
    struct deadline end;
    struct swarm_coap_token token; /* of who called it */
    int32_t result;
};

struct swarm_device {
    struct swarm_world *world; /* borrowed: outlives this */
    struct swarm_model *model; /* borrowed: outlives this */
    struct swarm_session session;
    struct swarm_exchange exchange;
    struct deadline life;    /* back-off, keepalive, end of sleep: by state */
    struct deadline publish; /* next event */
    struct deadline rebind, resume, cycle;
    struct swarm_pull pull;
    struct swarm_slow slow;
    struct swarm_update *update; /* ours, NULL before the first one */
    const char *reset_reason;    /* static: of the last boot, until it is told */
    uint64_t event_counter;
    uint64_t started_ms; /* of this attempt to connect */
    uint64_t boot_ms;
    uint64_t pinged_ms;    /* 0 = no ping under way */
    uint64_t sleep_for_ms; /* LEAVING leads to ASLEEP for so long; 0 = to STOPPED */
    uint32_t settle_left;  /* unacknowledged messages of the connection sequence */
    uint32_t handshakes;
    uint32_t pins;       /* digital outputs */
    uint32_t reads;      /* of variables */
    uint8_t failures;    /* in a row, for the back-off */
    uint8_t resume_uses; /* of the session, since the server was last heard */
    uint8_t etag;
    enum swarm_device_state state;
    bool forced_updates;
    bool told_reset;  /* spark/device/last_reset went out since boot */
    bool clock_valid; /* the server has told the time since boot */
    bool changed;     /* what Hello or describe say has changed since they went out */
};

/* A device while nothing of it is going on: what a real one keeps in retained memory (device-protocol 2.7).
 */
struct swarm_rest {
    struct swarm_record record;
    struct swarm_audit audit; /* ours while at rest */
    struct swarm_past *past;  /* ours while at rest; NULL without replays */
    uint64_t event_counter;
    uint16_t mid, handshakes;
    uint8_t token, resume_uses;
    bool has_session : 1, told_reset : 1, changed : 1, forced_updates : 1, clock_valid : 1;
};

void swarm_device_init(struct swarm_device *d, struct swarm_world *world, struct swarm_model *model);
void swarm_device_deinit(struct swarm_device *d);
void swarm_device_start(struct swarm_device *d, uint64_t after_ms);
/* In place of swarm_device_deinit, whatever it was doing. */
void swarm_device_rest(struct swarm_device *d, struct swarm_rest *rest);
/* After swarm_device_init: ASLEEP as it rested. Takes over what is the rest's. */
void swarm_device_restore(struct swarm_device *d, struct swarm_rest *rest);
void swarm_rest_clear(struct swarm_rest *rest); /* no session any more */
void swarm_device_wake(struct swarm_device *d); /* only when ASLEEP */

/* False when the device is in no state for it. */
bool swarm_device_publish(struct swarm_device *d, const char *name, const char *data) must_check;
bool swarm_device_rebind(struct swarm_device *d) must_check;
bool swarm_device_resume(struct swarm_device *d) must_check;
bool swarm_device_goodbye(struct swarm_device *d, uint64_t sleep_ms) must_check;
/* Power was gone and came back: memory is lost but for the session, which is good for three such starts
 * without a word of the server (device-protocol 2.7); the fourth is a handshake. */
void swarm_device_cold_boot(struct swarm_device *d);
/* A new session with everything told again. */
void swarm_device_reboot(struct swarm_device *d);

/* For the files of the same device. */
void swarm_device_notice(const struct swarm_device *d, const char *event, json_t *fields);
void swarm_device_error(struct swarm_device *d,
                        const char *what); /* the server broke a rule devices rely on */
bool swarm_device_is_deviceos(const struct swarm_device *d);

#endif
