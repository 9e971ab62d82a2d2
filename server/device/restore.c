#include "device/restore.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "device/plain.h"
#include "device/presence.h"
#include "device/request.h"
#include "handshake/session_store.h"

#define VERSION 1

enum flag {
    FLAG_NAMED = 1,
    FLAG_QUARANTINED = 2,
    FLAG_DEVICE_OS = 4,
    FLAG_SAID_GOODBYE = 8,
    FLAG_CA_SIGNED = 16,
};

/* Worth keeping: a device after its Hello, a client whose key says whose it is. Not who only claims to be
 * one. */
static bool is_worth_it(const struct device *device)
{
    switch ((enum link_state)device->state) {
    case LINK_NAMED:
        return !device->is_claim;
    case LINK_WAIT_HELLO:
        return link_is_plain_client(device) && device->has_id && !device->enrol && !device->is_claim;
    case LINK_RESTORED:
    case LINK_CHALLENGED:
        return true;
    case LINK_AUTHORISING:
    case LINK_ENDING:
    case LINK_STATE_COUNT:
        return false;
    }
    return false;
}

size_t restore_save(void *ctx, const struct session *s, uint8_t *out)
{
    const struct device *device = s->user;
    struct bytes_writer w;

    (void)ctx;
    if (device == NULL || !is_worth_it(device))
        return 0;
    bytes_writer_init(&w, out, SESSION_OWNER_MAX);
    bytes_put_u8(&w, VERSION);
    bytes_put_u8(
        &w,
        (uint8_t)((link_is_named(device) ? FLAG_NAMED : 0) | (device->quarantined ? FLAG_QUARANTINED : 0) |
                  (device->peer.dialect == COAP_DEVICE_OS ? FLAG_DEVICE_OS : 0) |
                  (device->said_goodbye ? FLAG_SAID_GOODBYE : 0) | (device->ca_signed ? FLAG_CA_SIGNED : 0)));
    bytes_put(&w, device->id.bytes, DEVICE_ID_BYTES);
    bytes_put(&w, device->key_sha256, sizeof(device->key_sha256));
    bytes_put_be16(&w, device->system_version);
    bytes_put_be16(&w, device->peer.max_message_bytes);
    bytes_put_be16(&w, device->peer.next_mid);
    bytes_put_u8(&w, device->peer.next_token);
    bytes_put_be16(&w, device->goodbye_mid);
    bytes_put_be32(&w, device->hellos);
    bytes_put_be32(&w, device->mid_top);
    bytes_put_be16(&w, device->hello_flags);
    bytes_put_be16(&w, device->platform_id);
    bytes_put_be16(&w, device->chunk_bytes);
    bytes_put_be32(&w, device->max_binary_bytes);
    must(!w.bad);
    return bytes_written(&w);
}

#define SYSTEM_VERSION_UPDATE_V3 3000

/* An older writer did not save it. What devices of these versions say (device-protocol 7.1), so that they can
 * be updated all the same. */
static void load_hello(struct device *device, struct bytes_reader *r)
{
    if (bytes_left(r) == 0) {
        device->hello_flags = HELLO_IMMEDIATE_UPDATES;
        if (device->system_version >= SYSTEM_VERSION_UPDATE_V3)
            device->hello_flags |= HELLO_UPDATE_V3;
        return;
    }
    device->hello_flags = bytes_get_be16(r);
    device->platform_id = bytes_get_be16(r);
    device->chunk_bytes = bytes_get_be16(r);
    device->max_binary_bytes = bytes_get_be32(r);
}

/* What was saved, and more at its end by a newer writer. */
static bool load(struct device *device, const uint8_t *saved, size_t saved_len)
{
    struct bytes_reader r;

    bytes_reader_init(&r, saved, saved_len);
    if (bytes_get_u8(&r) != VERSION)
        return false;
    uint8_t flags = bytes_get_u8(&r);
    const uint8_t *id = bytes_get(&r, DEVICE_ID_BYTES), *key = bytes_get(&r, sizeof(device->key_sha256));
    device->system_version = bytes_get_be16(&r);
    device->peer.max_message_bytes = bytes_get_be16(&r);
    device->peer.next_mid = bytes_get_be16(&r);
    device->peer.next_token = bytes_get_u8(&r);
    device->goodbye_mid = bytes_get_be16(&r);
    device->hellos = bytes_get_be32(&r);
    device->mid_top = bytes_get_be32(&r);
    if (r.bad)
        return false;
    load_hello(device, &r);
    memcpy(device->id.bytes, id, DEVICE_ID_BYTES);
    memcpy(device->key_sha256, key, sizeof(device->key_sha256));
    device->has_id = true;
    device->was_named = flags & FLAG_NAMED;
    device->quarantined = flags & FLAG_QUARANTINED;
    if (flags & FLAG_DEVICE_OS)
        device->peer.dialect = COAP_DEVICE_OS;
    device->said_goodbye = flags & FLAG_SAID_GOODBYE;
    device->ca_signed = flags & FLAG_CA_SIGNED;
    return true;
}

/* What was used since the image was written lies ahead of what it says: by less than a quarter of a turn.
 * Nodes that take up the same image one after the other, because each died before it wrote, differ by a block
 * in where they send from (session_store.h), and so in this: what a peer acknowledged to one is no answer to
 * the next. */
static uint16_t mid_never_used(const struct session *s, uint16_t next_mid)
{
    unsigned turn = (unsigned)(s->record.send_seq / SESSION_SEND_BLOCK) % 16;

    return (uint16_t)(next_mid + 0x4000 + turn * 0x800);
}

bool restore_begin(void *ctx, struct session *s, const uint8_t *saved, size_t saved_len, bool exact)
{
    struct devices *all = ctx;
    struct device *device = slab_new(&all->memory);

    device->all = all;
    device->session = s;
    device->state = LINK_RESTORED;
    device->is_exact = exact;
    device->event_number = clock_wall_ms() << 16; /* above any number of the process before */
    coap_peer_init(&device->peer, &all->coap_room, COAP_RFC7252, 0, 0);
    if (!load(device, saved, saved_len) || (device->was_named && !link_index(device))) {
        coap_peer_deinit(&device->peer);
        slab_free(&all->memory, device);
        return false;
    }
    if (!exact) {
        device->peer.next_mid = mid_never_used(s, device->peer.next_mid);
        device->peer.next_token = (uint8_t)(device->peer.next_token + 0x80);
    }
    presence_place(device, PRESENCE_IDLE);
    all->count++;
    s->user = device;
    return true;
}

void restore_go_on(struct device *device)
{
    link_enter(device, device->was_named ? LINK_NAMED : LINK_WAIT_HELLO);
    if (!device->was_named)
        plain_join(device);
    dtls_changed(device->session);
}

static void go_on(struct device *device)
{
    char name[DEVICE_ID_TEXT_SIZE];

    log_info("device.resumed session=%016" PRIx64 " device=%s exact=%d", device->session->id,
             link_name(device, name), device->is_exact);
    if (device->is_exact)
        restore_go_on(device);
    else
        link_enter(device, LINK_CHALLENGED);
    link_take_held(device);
}

/* While the registry is away it is believed: it was welcome before. */
static bool is_still_welcome(const struct device *device, enum device_admission admission,
                             const struct device_id *id)
{
    switch (admission) {
    case DEVICE_ADMIT:
        return !device->quarantined && device_id_equal(id, &device->id);
    case DEVICE_ADMIT_QUARANTINE:
        return device->quarantined && (id == NULL || device_id_equal(id, &device->id));
    case DEVICE_REFUSE_AWAY:
        return true;
    case DEVICE_ADMIT_UNKNOWN:
    case DEVICE_REFUSE_UNKNOWN:
    case DEVICE_REFUSE_DENIED:
        return false;
    }
    return false;
}

static void on_answer(void *arg, enum device_admission admission, const struct device_id *id)
{
    struct device *device = arg;

    device->pending--;
    device->is_authorising = false;
    if (device->session != NULL && device->state == LINK_RESTORED) {
        if (is_still_welcome(device, admission, id))
            go_on(device);
        else {
            if (admission == DEVICE_REFUSE_DENIED)
                link_refused(device, REFUSED_DENIED, "");
            else
                link_refused(device, REFUSED_UNKNOWN_KEY, "its session outlived its key");
            link_end(device, SESSION_END_REVOKED, false);
        }
    }
    link_release(device);
}

void restore_authorise(struct device *device)
{
    struct session_proof proof = {.profile = (enum session_profile)device->session->profile,
                                  .ca_signed = device->ca_signed};

    if (device->is_authorising)
        return;
    _Static_assert(sizeof(proof.identity) >= DEVICE_ID_TEXT_SIZE &&
                       sizeof(proof.subject_cn) >= DEVICE_ID_TEXT_SIZE,
                   "an id is both");
    memcpy(proof.key_sha256, device->key_sha256, sizeof(proof.key_sha256));
    if (proof.profile == SESSION_PSK)
        device_id_format(proof.identity, &device->id);
    if (proof.ca_signed)
        device_id_format(proof.subject_cn, &device->id);
    device->is_authorising = true;
    device->pending++;
    device->all->ops.authorise(device->all->ops.ctx, &proof, on_answer, device);
}
