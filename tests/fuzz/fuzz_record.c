/* The record layer: hostile records against hostile states of it, which nothing changes but a record that
 * opens; and what it sealed, opened again, opened twice, and damaged. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "handshake/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

#define CONTENT_MAX 1400

static struct record_state read_state(struct bytes_reader *r)
{
    struct record_state s = {0};
    uint8_t kind = bytes_get_u8(r), cids = bytes_get_u8(r);
    s.cipher = kind % 3;
    s.flavour = kind / 3 % 3;
    s.own_cid_len = s.flavour == RECORD_PLAIN ? 0 : cids & 15;
    s.peer_cid_len = s.flavour == RECORD_PLAIN ? 0 : cids >> 4;
    if (s.own_cid_len > RECORD_CID_MAX)
        s.own_cid_len = RECORD_CID_MAX;
    if (s.peer_cid_len > RECORD_CID_MAX)
        s.peer_cid_len = RECORD_CID_MAX;
    s.recv_max = bytes_get_be48(r);
    s.recv_window = bytes_get_be64(r);
    s.send_seq = bytes_get_be48(r);
    memset(s.read_key, 1, sizeof s.read_key);
    memset(s.write_key, 2, sizeof s.write_key);
    memset(s.own_cid, 3, sizeof s.own_cid);
    memset(s.peer_cid, 4, sizeof s.peer_cid);
    return s;
}

/* In a block of its own, so that a read past its end is seen. True: it opened. */
static bool try_open(struct record_state *s, const uint8_t *record, size_t record_len,
                     const uint8_t *expected, size_t expected_len, uint8_t expected_type)
{
    struct record_state before = *s;
    uint8_t *copy = malloc(record_len ? record_len : 1), *content, type;
    size_t content_len;
    uint64_t seq;
    bool newest;
    must(copy != NULL);
    if (record_len > 0)
        memcpy(copy, record, record_len);
    enum record_open err = record_open(s, copy, record_len, &content, &content_len, &type, &seq, &newest);
    if (err == RECORD_OPENED) {
        must(content >= copy && content + content_len <= copy + record_len);
        must(s->recv_max >= before.recv_max || before.recv_window == 0);
        must(newest == (before.recv_window == 0 || seq > before.recv_max));
        if (expected)
            must(type == expected_type && content_len == expected_len &&
                 memcmp(content, expected, expected_len) == 0);
    } else {
        must(memcmp(s, &before, sizeof before) == 0);
    }
    free(copy);
    return err == RECORD_OPENED;
}

static void round_trip(const struct record_state *state, uint8_t type, const uint8_t *content,
                       size_t content_len, size_t damage)
{
    struct record_state sender = *state, receiver = {0};
    uint8_t record[CONTENT_MAX + RECORD_OVERHEAD_MAX + 16];
    size_t len = record_seal(&sender, type, content, content_len, record, sizeof record);
    if (len == 0) {
        must(sender.send_seq == state->send_seq && state->send_seq >= (uint64_t)1 << 48);
        return;
    }
    must(sender.send_seq == state->send_seq + 1);
    receiver.cipher = sender.cipher;
    receiver.flavour = sender.flavour;
    receiver.own_cid_len = sender.peer_cid_len;
    memcpy(receiver.own_cid, sender.peer_cid, sizeof receiver.own_cid);
    memcpy(receiver.read_key, sender.write_key, sizeof receiver.read_key);
    memcpy(receiver.read_iv, sender.write_iv, sizeof receiver.read_iv);
    record[damage / 8 % len] ^= (uint8_t)(1 << damage % 8);
    must(!try_open(&receiver, record, len, NULL, 0, 0));
    record[damage / 8 % len] ^= (uint8_t)(1 << damage % 8);
    must(!try_open(&receiver, record, len - 1, NULL, 0, 0));
    must(try_open(&receiver, record, len, content, content_len, type));
    must(!try_open(&receiver, record, len, NULL, 0, 0)); /* again */
    must(record_seal(&sender, type, content, content_len, record, len - 1) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    struct bytes_reader r;
    bytes_reader_init(&r, data, data_len);
    struct record_state s = read_state(&r);
    uint8_t type = bytes_get_u8(&r);
    size_t damage = bytes_get_be16(&r), len = bytes_left(&r);
    const uint8_t *rest = bytes_get(&r, len);
    if (r.bad)
        return 0;
    /* With a connection ID the type stands before the padding and cannot be 0; without it decides how the
     * record is read. */
    if (s.peer_cid_len == 0)
        type = type % 2 ? RECORD_APPLICATION : RECORD_ALERT;
    else if (type == 0)
        type = RECORD_HANDSHAKE;
    round_trip(&s, type, rest, len < CONTENT_MAX ? len : CONTENT_MAX, damage);
    (void)try_open(&s, rest, len, NULL, 0, 0);
    return 0;
}
