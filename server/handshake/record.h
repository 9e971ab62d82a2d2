/* record.h: the DTLS 1.2 record layer of an established session: AES-128 AEAD, 88 bytes of keys and counters.
 *
 * Three additional-data flavours: without connection ID (RFC 5246 6.2.3.3), with it (RFC 9146 5), and the
 * draft-05 form of Device OS (device-protocol 2.6). Epoch 1 only; there is no renegotiation. Pure functions
 * on memory of the caller; no allocation. */
#ifndef CYAN_HANDSHAKE_RECORD_H
#define CYAN_HANDSHAKE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

enum record_flavour { RECORD_PLAIN, RECORD_RFC9146, RECORD_DRAFT05 };
enum record_cipher { RECORD_CCM8, RECORD_CCM, RECORD_GCM };
enum record_type {
    RECORD_CHANGE_CIPHER = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    RECORD_APPLICATION = 23,
    RECORD_CID = 25,
    RECORD_RESUMED_CID = 253, /* device-protocol 2.5: a 25 whose first byte was changed after encryption */
    RECORD_MOVED = 254,       /* the same of a 23, with 13 bytes appended */
};

#define RECORD_CID_MAX 8
#define RECORD_HEADER_BYTES 13
#define RECORD_OVERHEAD_MAX (RECORD_HEADER_BYTES + RECORD_CID_MAX + 8 + 1 + 16)

struct record_state {
    uint8_t read_key[16], write_key[16];
    uint8_t read_iv[4], write_iv[4];
    uint64_t send_seq;                /* next to send */
    uint64_t recv_max;                /* highest accepted, valid when recv_window != 0 */
    uint64_t recv_window;             /* bit k: recv_max - k was accepted */
    uint8_t own_cid[RECORD_CID_MAX];  /* in records to us, when own_cid_len != 0 */
    uint8_t peer_cid[RECORD_CID_MAX]; /* in records to the peer */
    uint8_t own_cid_len, peer_cid_len;
    uint8_t flavour; /* enum record_flavour */
    uint8_t cipher;  /* enum record_cipher */
};

enum record_open {
    RECORD_OPENED = 0,
    RECORD_MALFORMED,
    RECORD_WRONG_EPOCH,
    RECORD_WRONG_CID,
    RECORD_REPLAYED,
    RECORD_BAD_TAG,
};

/* Opens the one record of `record_len` bytes (header and all, without the trailer of type 254) in place.
 * On RECORD_OPENED: *content points into record, *type is the real content type, *seq its sequence number,
 * *newest whether it is above every earlier one; the replay window has moved. Anything else changes nothing.
 */
must_check enum record_open record_open(struct record_state *s, uint8_t *record, size_t record_len,
                                        uint8_t **content, size_t *content_len, uint8_t *type, uint64_t *seq,
                                        bool *newest);
/* Seals content into out; returns the record's length, 0 when it does not fit or the sequence space is used
 * up. */
must_check size_t record_seal(struct record_state *s, uint8_t type, const uint8_t *content,
                              size_t content_len, uint8_t *out, size_t out_size);

#endif
