/* update_inner.h: what the files of an update share. Private to device/.
 *
 * update.c has its life; a version of the protocol (update_v3.c, update_legacy.c) says what is sent and what
 * the answers mean; update_pacer.c whose turn it is to send. All three end an update by update_end alone, and
 * its owner hears of it from the one deadline an update has. */
#ifndef CYAN_DEVICE_UPDATE_INNER_H
#define CYAN_DEVICE_UPDATE_INNER_H

#include "device/link.h"
#include "device/update.h"
#include "device/update_window.h"

#define UPDATE_START_MS 90000
#define UPDATE_STALL_MS 60000
#define UPDATE_FINISH_MS 120000
#define UPDATE_TOLD_EVERY_BYTES 16384

enum update_state {
    UPDATE_STARTING,
    UPDATE_TRANSFERRING,
    UPDATE_SENT,
    UPDATE_FINISHING,
    UPDATE_ENDED, /* but for the telling */
    UPDATE_STATE_COUNT
};

/* One version of the protocol. */
struct update_protocol {
    uint8_t version; /* 1 is what 2 becomes when the device wants it */
    /* False when the request could not be queued. */
    bool (*start)(struct device_update *update, uint64_t now_ms);
    /* When the next chunk may be sent: 0 = at once, UINT64_MAX = not before something is heard or is due. */
    uint64_t (*next_ms)(const struct device_update *update, uint64_t now_ms);
    /* Sends the chunk that is next. */
    void (*send)(struct device_update *update, uint64_t now_ms);
    /* When late is to be called: UINT64_MAX = never. */
    uint64_t (*late_ms)(const struct device_update *update);
    void (*late)(struct device_update *update, uint64_t now_ms);
    bool (*finish)(struct device_update *update, uint64_t now_ms);
};
extern const struct update_protocol update_v3, update_legacy;

#define UPDATE_FLIGHT_MAX 40
struct update_legacy_state {
    uint16_t flight[UPDATE_FLIGHT_MAX]; /* chunks to send, from 0 */
    uint8_t flight_count, flight_sent;
    uint8_t flight_most;   /* chunks in one flight */
    uint8_t bad_count;     /* version 1: how often the same chunk arrived broken */
    uint16_t gap_ms;       /* between chunks */
    uint8_t lost_percent;  /* of the flight after which the gap was made wider */
    uint32_t next;         /* first chunk that was never sent */
    uint32_t confirmed;    /* chunks that the device has, without a gap */
    uint32_t rounds;       /* lists of missing chunks that came */
    uint64_t pace_ms;      /* when the next chunk may leave */
    uint64_t ask_again_ms; /* when UpdateDone is sent again; UINT64_MAX */
    bool is_confirmed;     /* version 1 */
    bool is_awaiting;      /* version 1: the answer to a chunk */
    bool is_asking;        /* UpdateDone is on its way */
    bool is_due;           /* UpdateDone is to be sent */
    bool gap_is_no_cure;   /* a wide gap lost as many */
};

struct device_update {
    struct device *device; /* borrowed: it outlives this */
    const struct update_protocol *protocol;
    const struct device_update_ops *ops; /* borrowed: outlives this */
    void *arg;
    struct device_update_order order; /* what it points to is borrowed */
    struct deadline due;
    struct device_update *prev, *next; /* in the pacer's queue */
    uint64_t progress_ms;              /* when the device last acknowledged anything new */
    uint64_t touched_ms;               /* SENT: when it was last reminded that there is an update */
    uint64_t give_up_ms;               /* FINISHING */
    uint32_t chunk_count;              /* from start_bytes on */
    uint32_t told_bytes;               /* acked_bytes that the owner knows of */
    uint32_t mids;                     /* messages of ours since the first chunk, counted beyond 16 bits */
    uint16_t chunk_bytes;
    uint16_t first_mid; /* of the chunks */
    uint8_t state;      /* enum update_state; written by update_enter alone */
    bool is_queued;     /* in the pacer's queue */
    struct device_update_result result;
    union {
        struct update_window window;       /* version 3 */
        struct update_legacy_state legacy; /* versions 1 and 2 */
    };
};

void update_enter(struct device_update *update, enum update_state state);
/* Ends it; the owner is told from the loop. Nothing when it has ended already. */
void update_end(struct device_update *update, enum device_update_end end);
/* The same with what the device said: an error response. */
void update_refused(struct device_update *update, const struct coap_message *response, const uint8_t *body,
                    size_t body_len);
/* The device is ready, and has start_bytes of the file. */
void update_begin_transfer(struct device_update *update, uint32_t start_bytes, uint64_t now_ms);
/* The device has the file up to acked_bytes; all of it: then update is SENT. Calls the owner: last. */
void update_progressed(struct device_update *update, uint32_t acked_bytes, uint64_t now_ms);
/* Sees to it that it sends when it may and wakes when something is due. After every change. */
void update_go_on(struct device_update *update, uint64_t now_ms);
/* Counts a chunk that was sent with this message ID. */
void update_count_sent(struct device_update *update, uint16_t mid, size_t bytes, bool again);
bool update_sends(const struct device_update *update); /* chunks, now */
size_t update_chunk_len(const struct device_update *update, uint32_t chunk /* from 0 */);
const uint8_t *update_chunk_at(const struct device_update *update, uint32_t chunk);

/* What others of this room tell it. */
/* The session is over: told at once. */
void update_session_ended(struct device *device);
/* It said Hello again: it is not where it was. */
void update_device_is_back(struct device *device);
/* An RST, or a response to nothing that waits for one. */
void update_stray(struct device *device, const struct coap_message *m);

/* Reads {"code": n, "message": "..."} (device-protocol 5.4); what is not there or makes no sense stays 0, "".
 */
void update_code_read(struct device_update_result *result, const uint8_t *body, size_t body_len);

#endif
