/* swarm_record.h: protection of DTLS 1.2 records at epoch 1, as the client's end.
 *
 * Three forms of outgoing record: plain types (no connection ID), RFC 9146 (extension 54) and draft-05
 * (extension 254, Device OS). Incoming records are always plain types, because the client's own connection ID
 * is empty. A resumed Device OS session marks its records (first byte 253, or 254 and a trailer) until it has
 * heard the server (device-protocol 2.5).
 *
 * Ownership: plain memory of the caller, 88 bytes, no pointers. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_RECORD_H
#define CYAN_LOADTEST_SWARM_RECORD_H

#include "swarm_crypto.h"

#define SWARM_CID_MAX_BYTES 16
#define SWARM_RECORD_HEADER_BYTES 13
#define SWARM_RECORD_OVERHEAD_BYTES 96 /* header, CID, nonce, padding, tag, trailer: never more */
#define SWARM_DATAGRAM_MAX_BYTES 1500
#define SWARM_PLAINTEXT_MAX_BYTES 1280

enum swarm_record_type {
    SWARM_RECORD_CCS = 20,
    SWARM_RECORD_ALERT = 21,
    SWARM_RECORD_HANDSHAKE = 22,
    SWARM_RECORD_DATA = 23,
    SWARM_RECORD_CID = 25,
    SWARM_RECORD_RESUMED_CID = 253,
    SWARM_RECORD_MOVED = 254
};
enum swarm_cid_flavour { SWARM_CID_NONE, SWARM_CID_RFC9146, SWARM_CID_DRAFT05 };

struct swarm_record {
    uint8_t send_key[16], recv_key[16];
    uint8_t send_iv[4], recv_iv[4];
    uint8_t cid[SWARM_CID_MAX_BYTES]; /* the server's */
    uint64_t send_seq;                /* of the next record */
    uint64_t recv_max, recv_window;   /* bit 0 = recv_max; 0 = nothing received yet */
    uint8_t cid_len;
    uint8_t flavour; /* enum swarm_cid_flavour */
    uint8_t suite;   /* enum swarm_suite */
    bool resumed;    /* mark outgoing records until one valid record has come */
};

/* One record as found in a datagram. */
struct swarm_record_view {
    const uint8_t *body; /* borrowed from the datagram */
    size_t body_len;
    uint64_t seq; /* epoch and sequence number, 8 bytes */
    uint8_t type;
};

enum swarm_open { SWARM_OPEN_OK, SWARM_OPEN_BAD, SWARM_OPEN_REPLAY };

/* Takes the next record off a datagram; false at its end or when the rest is no record. */
bool swarm_record_next(const uint8_t **at, size_t *left, struct swarm_record_view *view);
/* Writes one protected record; returns its length, 0 when it does not fit. */
size_t swarm_record_seal(struct swarm_crypto *c, struct swarm_record *r, enum swarm_record_type type,
                         struct swarm_bytes plain, uint8_t *out, size_t out_size) must_check;
/* Opens a record of epoch 1 into out (at least view->body_len bytes). REPLAY: it opened, and the window turns
 * it away; the record layer is as it was. */
enum swarm_open swarm_record_open(struct swarm_crypto *c, struct swarm_record *r,
                                  const struct swarm_record_view *view, uint8_t *out,
                                  size_t *out_len) must_check;

#endif
