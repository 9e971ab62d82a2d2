/* link.h: one session with a device: from the finished handshake to its end. Private to device/.
 *
 *   AUTHORISING --admitted--> WAIT_HELLO --Hello stored--> NAMED
 *        \________________________\__________________________\--refused, replaced, revoked--> ENDING
 * --ended--> (gone)
 *
 *   RESTORED --heard, still welcome--> NAMED or WAIT_HELLO, as it was
 *        \--the same, but its image may be behind--> CHALLENGED --answers a ping--> NAMED or WAIT_HELLO
 *
 * A session of an earlier process or another node begins RESTORED (restore.h).
 * While the registry is away a session stays AUTHORISING and it is asked again. A session is ended from the
 * loop, never from inside a message of it: ENDING is the time until then, in which nothing the peer says
 * counts any more. dtls may end a session in any state. Ownership: struct device is freed once its session is
 * gone and the last callback it waits for has come. */
#ifndef CYAN_DEVICE_LINK_H
#define CYAN_DEVICE_LINK_H

#include "base/slab.h"
#include "base/table.h"
#include "device/devices.h"
#include "device/refusal.h"
#include "device/update_pacer.h"

enum link_state {
    LINK_AUTHORISING,
    LINK_WAIT_HELLO,
    LINK_NAMED,
    LINK_ENDING,
    LINK_RESTORED,
    LINK_CHALLENGED,
    LINK_STATE_COUNT
};

struct held_record;
struct device_wait;
struct device_question;
struct device_update;

struct devices {
    struct deadlines *deadlines; /* borrowed: outlives this until devices_free */
    struct device_ops ops;       /* copied */
    struct devices_settings settings;
    struct coap_metrics coap;
    struct coap_room coap_room;
    struct metric *refused[REFUSAL_COUNT];
    struct metric *online, *hellos, *goodbyes, *describes, *events, *subscriptions, *times;
    struct slab memory;   /* of every struct device */
    struct table by_id;   /* those that said Hello */
    struct table plain;   /* the newest session of each client without Hello, by whose they are (plain.h) */
    struct device *fresh; /* those before their Hello */
    struct device *idle;  /* those offline */
    struct presence_wheel *wheel; /* ours: those online (presence.h) */
    struct update_pacer pacer;
    size_t count; /* struct device in being */
    bool closed;
};

struct device {
    struct devices *all;     /* borrowed: outlives this */
    struct session *session; /* borrowed; NULL once it ended */
    struct coap_peer peer;
    struct session_proof *proof;  /* ours: until it is known whose it is, by the registry or by Hello */
    struct held_record *held;     /* ours: oldest first, while AUTHORISING or RESTORED */
    struct device_wait *waits;    /* ours: requests whose answer waits for the store */
    struct device_question *asks; /* ours: questions to the device */
    struct device_update *update; /* ours: the update it gets; NULL */
    struct device *older_plain;   /* borrowed: the plain client's session before this one */
    struct device *prev, *next;   /* in the list of its place */
    struct deadline due; /* AUTHORISING: the registry; WAIT_HELLO: Hello; NAMED: a describe that has to be
                            asked for again; ENDING: its end */
    uint64_t established_ms, heard_told_ms;
    uint64_t event_number; /* of the last event; only grows */
    uint32_t pending;      /* callbacks that will still come */
    uint32_t refusals_logged;
    uint32_t mid_top; /* of its newest request, counted on beyond 16 bits (Device OS alone) */
    uint32_t hellos;  /* stored in this session; what is stated anew after each belongs to one of them */
    uint32_t max_binary_bytes; /* of its last Hello, or event of an older system; 0 = not stated */
    struct device_id id;       /* valid when has_id */
    uint8_t key_sha256[32];
    uint16_t system_version, goodbye_mid, challenge_mid;
    uint16_t hello_flags, platform_id, chunk_bytes; /* of its last Hello, as far as it stated them */
    uint16_t place;                                 /* presence.h: fresh, idle, or which slot of the wheel */
    uint8_t state;                                  /* enum link_state; written by link_enter alone */
    uint8_t end_why;                                /* enum session_end */
    uint8_t held_count;
    uint8_t pull_left, pull_part,
        pull_tries; /* describes to ask for, the one being asked for: enum describe_part */
    bool has_id : 1, quarantined : 1, enrol : 1, online : 1, said_goodbye : 1, tell_peer : 1;
    bool is_indexed : 1, is_pulling : 1;
    bool ca_signed : 1; /* its certificate, by an authority of ours */
    bool is_plain : 1;
    bool was_named : 1, is_exact : 1; /* RESTORED, CHALLENGED: as what, and whether nothing can have been
                                       * missed */
    bool is_authorising : 1, is_challenging : 1; /* RESTORED: the registry is asked; CHALLENGED: a ping is on
                                                  * its way */
    bool is_claim : 1; /* quarantined under a key that is nobody's: the ID is only claimed */
};

void link_enter(struct device *device, enum link_state state);
/* Ends the session from the loop; its presence ends now. Once is enough. */
void link_end(struct device *device, enum session_end why, bool tell_peer);
/* The same for one that is not welcome. Device OS is not told: an alert makes it shake hands again at once
 * and without end; silent, its Hello fails after 60 to 90 s (device-protocol 2.8). */
void link_refuse(struct device *device, enum session_end why);
/* The last of all the devices is gone. */
void devices_release(struct devices *all);
/* Frees what is free to go; after each callback that was pending. */
void link_release(struct device *device);
/* A Hello was seen or is due: the wait for it begins again. Nothing for a client that need not say it: one
 * that is no Device OS and whose key says which device it is. */
void link_await_hello(struct device *device, uint64_t now_ms);
/* The session of an older handshake of the same device gives way; false when this one may not take its place.
 */
bool link_take_name(struct device *device);
void link_forget_proof(struct device *device);
/* The attempt that made its session was welcome, if only to quarantine; once is enough. */
void link_conclude(const struct device *device, const char *stage);
void link_fill_facts(const struct device *device, struct device_facts *facts);
/* Counts, and logs once a session. */
void link_refused(struct device *device, enum refusal refusal, const char *why);

/* It has said Hello, here or where it was before: it may be asked things. */
bool link_is_named(const struct device *device);
/* Found by ID from here on. False when a session that is newer has that place. */
must_check bool link_index(struct device *device);
struct device *link_find(const struct devices *all, const struct device_id *id);
/* As its state takes them now. */
void link_take_held(struct device *device);
void link_drop_held(struct device *device);
void link_take(struct device *device, const uint8_t *data, size_t data_len, uint64_t now_ms);

/* RFC 7252 client that has not said Hello. */
bool link_is_plain_client(const struct device *device);
/* For log lines: the ID when it is known, else "-". */
const char *link_name(const struct device *device, char out[DEVICE_ID_TEXT_SIZE]);

#endif
