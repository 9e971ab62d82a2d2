/* session.h: an established DTLS association: keys, counters, addresses; what is left once the handshake is
 * over.
 *
 *   LIVE --close_notify, replaced, revoked, expired, refused--> ENDED
 *
 * Ownership: sessions belong to struct dtls; a pointer is valid from ops->established until ops->ended
 * returns. */
#ifndef CYAN_HANDSHAKE_SESSION_H
#define CYAN_HANDSHAKE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "handshake/record.h"
#include "net/path.h"

#define SESSION_CID_BYTES 8
#define SESSION_SPKI_MAX 128 /* a P-256 SubjectPublicKeyInfo has 91 */
#define SESSION_IDENTITY_MAX 64
#define SESSION_NAME_BYTES 12 /* a device id */
#define SESSION_OWNER_MAX 256 /* what the owner keeps with a session */

enum session_profile {
    SESSION_DEVICE_OS, /* raw public key, draft-05 records, no server Certificate (device-protocol 2) */
    SESSION_PSK,
    SESSION_X509,
    SESSION_RPK, /* standard RFC 7250 */
};
const char *session_profile_name(enum session_profile profile);

enum session_end {
    SESSION_END_PEER_CLOSED, /* close_notify or a fatal alert under valid keys */
    SESSION_END_REPLACED,    /* the same device completed a new handshake */
    SESSION_END_EXPIRED,     /* no record for session.expiry_s */
    SESSION_END_REFUSED,     /* authorisation said no, or Hello did not match the proved key */
    SESSION_END_REVOKED,     /* the key was withdrawn */
    SESSION_END_NO_HELLO,    /* a Device OS peer never said Hello */
    SESSION_END_SHUTDOWN,    /* this process ends; the peer is told nothing */
    SESSION_END_MOVED,       /* another node has it now; the peer is told nothing */
};
const char *session_end_name(enum session_end end);

/* What the handshake proved. Valid during ops->established. */
struct session_proof {
    enum session_profile profile;
    uint8_t key_sha256[32];         /* of the SubjectPublicKeyInfo; zeros for PSK */
    uint8_t spki[SESSION_SPKI_MAX]; /* DER; empty for PSK */
    size_t spki_len;
    char identity[SESSION_IDENTITY_MAX + 1];   /* PSK identity, NUL-terminated; "" otherwise */
    bool ca_signed;                            /* X.509 under a configured CA */
    char subject_cn[SESSION_IDENTITY_MAX + 1]; /* X.509 common name, printable ASCII or "" */
};

struct session {
    struct record_state record;
    struct net_path path; /* newest proved address */
    uint64_t id;          /* our connection ID as a number; unique among all sessions */
    void *user;           /* the owner's; set in ops->established or ops->restored */
    uint64_t heard_ms;    /* last authenticated record */
    /* Grows with each node that takes the session over, and from one session of a device to its next: whoever
     * has the greater one is right. Microseconds of Unix time where nothing greater was there. */
    uint64_t epoch;
    uint8_t profile; /* enum session_profile */
    bool resumed;    /* a record of type 253 or 254 or from a new address was accepted since the handshake */
    bool named;      /* name is set: see dtls_name */
    bool unproven;   /* its image may have been behind, and the peer has not shown yet that it is there
                        (dtls_prove) */
    uint8_t name[SESSION_NAME_BYTES];

    /* private to this room */
    uint8_t dirt;    /* enum session_dirt */
    bool is_stored;  /* was ever written (session_store.h) */
    bool is_sent;    /* likewise, or is just being written */
    uint8_t checked; /* the generation of the store that it is known to be ours in */
    struct dtls *dtls;
    struct handshake *handshake;       /* kept until the first application record, else NULL */
    struct handshake_attempt *attempt; /* ours: what made this session, until dtls_conclude; then NULL */
    struct session_address *address;   /* ours: of those whose records carry no connection ID, else NULL */
    uint64_t send_limit;               /* sequence numbers from here on are not ours to use */
    struct session *older, *newer;     /* order of activity: expiry looks at the oldest only */
};

enum session_dirt {
    SESSION_CLEAN,       /* as it was last written */
    SESSION_DIRTY,       /* waits to be written */
    SESSION_DIRTY_URGENT /* waits to be written soon */
};

/* How a session without connection ID is found. */
struct session_address {
    struct session *session; /* borrowed: owner of this */
    UT_hash_handle by_peer, by_name;
    uint8_t name[SESSION_NAME_BYTES]; /* a copy: key of by_name */
    uint64_t displaced; /* id of the session that had this address before, until the owner has taken this one
                           in; 0 = none */
    bool has_address, has_name; /* in by_peer, in by_name */
};

#endif
