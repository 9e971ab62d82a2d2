/* devices.h: the devices connected to this node: what each is, what it says, what can be asked of it.
 *
 *   link: AUTHORISING --admitted--> WAIT_HELLO --Hello stored--> NAMED --ended--> (gone)
 *                     \--refused, registry away too long--> (gone)
 *
 * A client that never says Hello stays in WAIT_HELLO: a plain CoAP client, if its key says which device it
 * is. Of each there are at most 4 sessions at once, the newest.
 *
 * A session of an earlier process or another node goes on where it was, once the registry says that its key
 * is still welcome; what it told before needs not be told again.
 *
 * One struct device per DTLS session; found by device id once its Hello named it and matched the key. A
 * device whose new session has said Hello replaces its older session. Nothing a peer says before it is
 * admitted is acted on: up to DEVICE_HELD_MAX datagrams wait for the answer, and are dropped above that.
 *
 * A session that is refused ends with an alert, that of a Device OS in silence: told, it would be back at
 * once with a full handshake, again and again.
 *
 * What must be durable before it is acknowledged goes up through struct device_ops; the acknowledgement waits
 * for the answer. Every op with a done callback answers exactly once, from the loop, never from inside the
 * call.
 * Ownership: struct device belongs to this room. Loop thread only. */
#ifndef CYAN_DEVICE_DEVICES_H
#define CYAN_DEVICE_DEVICES_H

#include <uv.h>

#include "base/device_id.h"
#include "base/metrics.h"
#include "coap/peer.h"
#include "device/describe.h"
#include "device/hello.h"
#include "handshake/dtls.h"

#define DEVICE_HELD_MAX 4
#define DEVICE_SUBSCRIPTIONS_MAX 16
#define DEVICE_EVENT_NAME_MAX 64
#define DEVICE_EVENT_DATA_MAX 1024

enum device_admission {
    DEVICE_ADMIT,            /* enrolled; id says which device */
    DEVICE_ADMIT_UNKNOWN,    /* not enrolled, policy enrol: Hello will name it */
    DEVICE_ADMIT_QUARANTINE, /* not enrolled or quarantined, policy quarantine: may talk, nothing is passed
                              * on; id NULL when its key is nobody's: then the Hello op rejects an ID that has
                              * another key */
    DEVICE_REFUSE_UNKNOWN,   /* policy refuse */
    DEVICE_REFUSE_DENIED,    /* its product turns it away */
    DEVICE_REFUSE_AWAY,      /* the registry cannot be asked now: it is asked again until hello_timeout_ms */
};
typedef void device_admit_fn(void *arg, enum device_admission admission, const struct device_id *id);

enum device_verdict {
    DEVICE_STORED,   /* durable: acknowledge */
    DEVICE_REJECTED, /* will never be accepted: answer 4.00 (and for Hello: end the session) */
    DEVICE_FULL,     /* of a subscription: there are DEVICE_SUBSCRIPTIONS_MAX others; answer 4.00 */
    DEVICE_BUSY, /* could not be stored in time: answer 5.03; Hello and describe of a Device OS get no answer,
                  * so that it sends them again */
};
typedef void device_done_fn(void *arg, enum device_verdict verdict);

/* System events whose meaning the server acts on (device-protocol 4.11). */
enum device_event_kind {
    DEVICE_EVENT_USER,
    DEVICE_EVENT_CLAIM_CODE, /* data: the code */
    DEVICE_EVENT_SAFE_MODE,
    DEVICE_EVENT_LAST_RESET,      /* data: `reason[, panic]` */
    DEVICE_EVENT_UPDATES_ENABLED, /* data: true/false */
    DEVICE_EVENT_UPDATES_FORCED,  /* data: true/false */
    DEVICE_EVENT_MAX_BINARY,      /* data: decimal bytes */
    DEVICE_EVENT_CHUNK_BYTES,     /* data: decimal bytes */
    DEVICE_EVENT_CC3000_PATCH,    /* data: dotted version */
    DEVICE_EVENT_IDENTITY,        /* spark/device/ident/0 */
    DEVICE_EVENT_KEY_ERROR,
    DEVICE_EVENT_SYSTEM_OTHER, /* any other `spark...` or `particle...` name: stored, never relayed */
};

struct device_event {
    enum device_event_kind kind;
    const char *name; /* borrowed, NUL-terminated, at most DEVICE_EVENT_NAME_MAX bytes */
    const uint8_t *data;
    size_t data_len;
    uint16_t content_format; /* 0 = text */
    uint32_t ttl_s;
    bool is_public; /* path /e */
    /* Names this event once and for all: the session's ID and a number that only grows. Storing it twice
     * under one key is storing it once. */
    uint8_t key[16];
    uint64_t received_wall_ms;
};

struct device_subscription {
    char prefix[DEVICE_EVENT_NAME_MAX + 1];
    uint8_t scope;         /* 'o' owner's devices, 'p' public, 'd' one device */
    uint8_t format;        /* 't' text, 'c' CBOR, 'b' any */
    struct device_id from; /* scope 'd' */
};

struct device_goodbye { /* -1 = not stated (device-protocol 4.3) */
    int64_t cloud_reason, reset_reason, sleep_s, network_reason;
};

enum device_offline_reason {
    DEVICE_OFFLINE_GOODBYE,
    DEVICE_OFFLINE_SILENT,      /* nothing heard for device.offline_after_s */
    DEVICE_OFFLINE_CLOSED,      /* the peer closed its session */
    DEVICE_OFFLINE_REPLACED,    /* came back with a new session */
    DEVICE_OFFLINE_UNREACHABLE, /* our confirmable message was never acknowledged */
    DEVICE_OFFLINE_REVOKED,
    DEVICE_OFFLINE_EXPIRED,
    DEVICE_OFFLINE_SHUTDOWN, /* this node stopped */
};
const char *device_offline_reason_name(enum device_offline_reason reason);

/* Facts about the connection, valid during a call. */
struct device_facts {
    struct device_id id;
    uint64_t session_id, session_epoch;
    enum session_profile profile;
    bool quarantined;
    struct net_path path; /* the newest address it proved */
    uint32_t rtt_ms;      /* of a describe that was asked for: how long its answer took; 0 else */
};

/* What is passed by pointer is borrowed during the call, but for done's arg. done and answer may come after
 * the session has ended. */
struct device_ops {
    void *ctx;
    /* Answered by dtls_psk_answer. */
    void (*find_psk)(void *ctx, const char *identity, struct dtls_psk_query *query);
    /* Asked again some time after the answer DEVICE_REFUSE_AWAY. */
    void (*authorise)(void *ctx, const struct session_proof *proof, device_admit_fn *answer, void *arg);
    /* proof_spki/psk identity of a not yet enrolled device under policy enrol are given by admission
     * DEVICE_ADMIT_UNKNOWN; enrol is true then and the op creates device and key. */
    void (*hello)(void *ctx, const struct device_facts *facts, const struct hello *hello, bool enrol,
                  const uint8_t *spki, size_t spki_len, device_done_fn *done, void *arg);
    void (*describe)(void *ctx, const struct device_facts *facts, const struct describe *d,
                     device_done_fn *done, void *arg);
    void (*event)(void *ctx, const struct device_facts *facts, const struct device_event *event,
                  device_done_fn *done, void *arg);
    /* One more of a list that is kept by session and generation, a set: the same twice is once. A device
     * states its list anew after each Hello; generation grows with each stored Hello of a session. The first
     * of a newer list takes the place of the whole older one; one of an older list is overtaken, and
     * DEVICE_STORED. */
    void (*subscription)(void *ctx, const struct device_facts *facts,
                         const struct device_subscription *subscription, uint64_t generation,
                         device_done_fn *done, void *arg);
    /* Not awaited: batched behind activity. */
    void (*online)(void *ctx, const struct device_facts *facts, bool resumed);
    void (*heard)(void *ctx, const struct device_facts *facts, uint64_t wall_ms);
    void (*offline)(void *ctx, const struct device_facts *facts, enum device_offline_reason reason,
                    const struct device_goodbye *goodbye /* or NULL */);
    void (*attempted)(void *ctx, const struct handshake_attempt *attempt);
};

struct devices;
struct device;

struct devices_settings {
    uint64_t offline_after_ms; /* silence after which a device counts as offline; its session is kept */
    /* A peer that must say Hello and does not is ended after this: Device OS, and whoever's key does not say
     * which device it is. So long too is the registry waited for. */
    uint32_t hello_timeout_ms;
};

/* Returns the ops that a struct dtls is created with (ctx = the struct devices). */
extern const struct dtls_ops devices_dtls_ops;

struct devices *devices_new(struct deadlines *deadlines, const struct device_ops *ops,
                            struct metrics *metrics, const struct devices_settings *settings);
void devices_set_offline_after(struct devices *all, uint64_t offline_after_ms); /* reload */
void devices_free(struct devices *all);                                         /* after the dtls is gone */
size_t devices_online_count(const struct devices *all);
/* The registry is told once more of each device that is online. */
void devices_tell_online(struct devices *all);

/* NULL when it is not connected here. Borrowed until the loop runs on. */
struct device *devices_find(struct devices *all, const struct device_id *id);
/* Ends the session of a device whose key was revoked or replaced; false when not connected. */
bool devices_revoke(struct devices *all, const struct device_id *id);

enum device_ask {
    DEVICE_ANSWERED,
    DEVICE_NO_ANSWER,     /* none in time */
    DEVICE_NOT_CONNECTED, /* or gone meanwhile */
    DEVICE_MOVED,         /* gone meanwhile: its session is live on another node now */
    DEVICE_SAID_ERROR,    /* the answer is an error code, or makes no sense */
    DEVICE_ASK_BUSY,      /* too many questions wait for it, or it is being updated; not sent */
    DEVICE_ASK_TOO_LONG,  /* more than this device takes; not sent */
};
typedef void device_ping_fn(void *arg, enum device_ask ask, uint32_t rtt_ms);
typedef void device_describe_fn(void *arg, enum device_ask ask); /* stored by then */

/* Exactly one callback, from the loop. */
void device_ping(struct device *device, uint32_t timeout_ms, device_ping_fn *done, void *arg);
/* Pulls one part with GET /d, follows Block2, hands it to ops->describe, then calls done. */
void device_pull_describe(struct device *device, enum describe_part part, uint32_t timeout_ms,
                          device_describe_fn *done, void *arg);

/* What became of a question that may change something on the device. */
struct device_answer {
    enum device_ask ask;
    bool sent;           /* the device may have heard it, whatever became of the answer */
    uint8_t code;        /* DEVICE_SAID_ERROR: which, as in CoAP */
    int32_t result;      /* of a call that was answered */
    const uint8_t *data; /* of a read that was answered; borrowed during the call, may be empty */
    size_t data_len;
    uint32_t rtt_ms; /* of a ping that was answered */
};
typedef void device_answer_fn(void *arg, const struct device_answer *answer);

#define DEVICE_VARIABLE_MAX 1024 /* bytes; of a longer one the answer is an error */
#define DEVICE_TURNS_MAX 8       /* calls and reads that wait for their turn; more are DEVICE_ASK_BUSY */

/* Calls a function; reads a variable, as bytes whose meaning its describe tells (device-protocol 4.5, 4.6).
 * Of these a device is asked one at a time, in order. timeout_ms includes the wait for its turn. A device
 * does not answer when it has no such function: look into its describe first. */
void device_call(struct device *device, const char *function, const char *argument, uint32_t timeout_ms,
                 device_answer_fn *done, void *arg);
void device_read_variable(struct device *device, const char *variable, uint32_t timeout_ms,
                          device_answer_fn *done, void *arg);
/* The light by which people find a device: on or off (device-protocol 4.13). */
void device_signal(struct device *device, bool on, uint32_t timeout_ms, device_answer_fn *done, void *arg);
/* Publishes an event to this device (server to device, device-protocol 4.9); false when not possible. Used
 * for claim answers. */
bool device_publish(struct device *device, const char *name, const char *data);
/* Hands on an event it subscribed to, to a device that is online; of event only name, data, content_format
 * and is_public count. False when it cannot take it, and for the system's names. */
bool device_deliver(struct device *device, const struct device_event *event);

#endif
