#include "device/link.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "device/ask.h"
#include "device/challenge.h"
#include "device/plain.h"
#include "device/presence.h"
#include "device/request.h"
#include "device/restore.h"
#include "device/update_inner.h"

#define AUTHORISE_AGAIN_MS 2000

struct held_record {
    struct held_record *next;
    size_t data_len;
    uint8_t data[];
};

static const bool may_enter[LINK_STATE_COUNT][LINK_STATE_COUNT] = {
    [LINK_AUTHORISING] = {[LINK_WAIT_HELLO] = true, [LINK_ENDING] = true},
    [LINK_WAIT_HELLO] = {[LINK_NAMED] = true, [LINK_ENDING] = true},
    [LINK_NAMED] = {[LINK_ENDING] = true},
    [LINK_RESTORED] =
        {[LINK_CHALLENGED] = true, [LINK_WAIT_HELLO] = true, [LINK_NAMED] = true, [LINK_ENDING] = true},
    [LINK_CHALLENGED] = {[LINK_WAIT_HELLO] = true, [LINK_NAMED] = true, [LINK_ENDING] = true},
};

void link_enter(struct device *device, enum link_state state)
{
    must(may_enter[device->state][state]);
    device->state = (uint8_t)state;
    deadline_cancel(device->all->deadlines, &device->due); /* it belonged to the state before */
    if (state != LINK_WAIT_HELLO)
        plain_leave(device);
    if (state == LINK_NAMED && device->place == PRESENCE_FRESH)
        presence_place(device, PRESENCE_IDLE);
}

bool link_is_named(const struct device *device)
{
    bool restored = device->state == LINK_RESTORED || device->state == LINK_CHALLENGED;

    return device->state == LINK_NAMED || (restored && device->was_named);
}

const char *link_name(const struct device *device, char out[DEVICE_ID_TEXT_SIZE])
{
    memcpy(out, "-", sizeof("-"));
    if (device->has_id)
        device_id_format(out, &device->id);
    return out;
}

bool link_is_plain_client(const struct device *device)
{
    return device->state == LINK_WAIT_HELLO && device->peer.dialect == COAP_RFC7252;
}

void link_fill_facts(const struct device *device, struct device_facts *facts)
{
    *facts = (struct device_facts){
        .id = device->id,
        .session_id = device->session->id,
        .profile = (enum session_profile)device->session->profile,
        .session_epoch = device->session->epoch,
        .quarantined = device->quarantined,
    };
    facts->path = device->session->path;
}

void link_refused(struct device *device, enum refusal refusal, const char *why)
{
    char name[DEVICE_ID_TEXT_SIZE], quoted[96];
    uint32_t bit = (uint32_t)1 << refusal;

    device->all->refused[refusal]->value++;
    if (device->refusals_logged & bit)
        return;
    device->refusals_logged |= bit;
    log_info("device.refused session=%016" PRIx64 " device=%s why=%s detail=%s", device->session->id,
             link_name(device, name), refusal_name(refusal),
             log_quote(quoted, sizeof(quoted), why, strlen(why)));
}

void link_conclude(const struct device *device, const char *stage)
{
    dtls_conclude(device->session, device->quarantined ? HANDSHAKE_QUARANTINED : HANDSHAKE_OK, stage);
}

void link_forget_proof(struct device *device)
{
    free(device->proof);
    device->proof = NULL;
}

void link_drop_held(struct device *device)
{
    while (device->held != NULL) {
        struct held_record *record = device->held;
        LL_DELETE(device->held, record);
        free(record);
    }
    device->held_count = 0;
}

static void hold(struct device *device, const uint8_t *data, size_t data_len)
{
    if (device->held_count == DEVICE_HELD_MAX) { /* as if lost: the device sends it again */
        link_refused(device, REFUSED_HELD_TOO_MANY, "");
        return;
    }
    struct held_record *record = mem_alloc(sizeof(*record) + data_len);
    record->data_len = data_len;
    if (data_len > 0)
        memcpy(record->data, data, data_len);
    LL_APPEND(device->held, record);
    device->held_count++;
}

void link_take(struct device *device, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    presence_heard(device, data, data_len, now_ms);
    coap_peer_receive(&device->peer, data, data_len, now_ms);
}

void link_take_held(struct device *device)
{
    while (device->held != NULL && device->state != LINK_ENDING) {
        struct held_record *record = device->held;
        LL_DELETE(device->held, record);
        device->held_count--;
        if (device->state == LINK_CHALLENGED)
            challenge_receive(device, record->data, record->data_len, clock_ms());
        else
            link_take(device, record->data, record->data_len, clock_ms());
        free(record);
    }
}

void link_release(struct device *device)
{
    struct devices *all = device->all;

    if (device->session != NULL || device->pending > 0)
        return;
    slab_free(&all->memory, device);
    all->count--;
    if (all->closed && all->count == 0)
        devices_release(all);
}

static bool has_id(const void *entry, const void *key)
{
    return device_id_equal(&((const struct device *)entry)->id, key);
}

struct device *link_find(const struct devices *all, const struct device_id *id)
{
    return table_find(&all->by_id, table_hash(id->bytes, DEVICE_ID_BYTES), has_id, id);
}

static void unindex(struct device *device)
{
    if (!device->is_indexed)
        return;
    table_remove(&device->all->by_id, table_hash(device->id.bytes, DEVICE_ID_BYTES), device);
    device->is_indexed = false;
}

bool link_index(struct device *device)
{
    struct device *older = link_find(device->all, &device->id);

    if (older != NULL) {
        if (device->is_claim && !older->is_claim) /* no reason to end one whose key proves its ID */
            return false;
        if (device->state == LINK_RESTORED && older->session->epoch > device->session->epoch)
            return false;
        link_end(older, SESSION_END_REPLACED, false);
    }
    table_add(&device->all->by_id, table_hash(device->id.bytes, DEVICE_ID_BYTES), device);
    device->is_indexed = true;
    return true;
}

bool link_take_name(struct device *device)
{
    if (device->is_indexed)
        return true;
    if (!link_index(device))
        return false;
    dtls_name(device->session, device->id.bytes);
    return true;
}

static enum device_offline_reason offline_reason(enum session_end why)
{
    switch (why) {
    case SESSION_END_REPLACED:
        return DEVICE_OFFLINE_REPLACED;
    case SESSION_END_EXPIRED:
        return DEVICE_OFFLINE_EXPIRED;
    case SESSION_END_REVOKED:
        return DEVICE_OFFLINE_REVOKED;
    case SESSION_END_SHUTDOWN:
        return DEVICE_OFFLINE_SHUTDOWN;
    case SESSION_END_MOVED: /* presence goes on where it is now */
    case SESSION_END_PEER_CLOSED:
    case SESSION_END_REFUSED:
    case SESSION_END_NO_HELLO:
        return DEVICE_OFFLINE_CLOSED;
    }
    return DEVICE_OFFLINE_CLOSED;
}

static void on_end(struct deadline *d, uint64_t now_ms)
{
    struct device *device = (struct device *)((char *)d - offsetof(struct device, due));

    (void)now_ms;
    dtls_end(device->session, (enum session_end)device->end_why,
             device->tell_peer); /* on_ended frees device */
}

void link_end(struct device *device, enum session_end why, bool tell_peer)
{
    if (device->state == LINK_ENDING)
        return;
    if (why == SESSION_END_MOVED)
        presence_forget(device);
    else
        presence_end(device, offline_reason(why), NULL);
    link_enter(device, LINK_ENDING);
    unindex(device);
    link_drop_held(device);
    device->end_why = (uint8_t)why;
    device->tell_peer = tell_peer;
    deadline_set(device->all->deadlines, &device->due, clock_ms(), on_end);
}

void link_refuse(struct device *device, enum session_end why)
{
    link_end(device, why, device->session->profile != SESSION_DEVICE_OS);
}

static void on_no_hello(struct deadline *d, uint64_t now_ms)
{
    struct device *device = (struct device *)((char *)d - offsetof(struct device, due));

    if (device->pending > 0) { /* it is we who are slow */
        link_await_hello(device, now_ms);
        return;
    }
    link_refused(device, REFUSED_NO_HELLO, "");
    link_refuse(device, SESSION_END_NO_HELLO);
}

void link_await_hello(struct device *device, uint64_t now_ms)
{
    bool must_say_it = device->session->profile == SESSION_DEVICE_OS || device->proof != NULL;

    if (must_say_it && device->state == LINK_WAIT_HELLO)
        deadline_set(device->all->deadlines, &device->due, now_ms + device->all->settings.hello_timeout_ms,
                     on_no_hello);
}

static void refuse_session(struct device *device, enum device_admission admission)
{
    enum handshake_outcome unknown =
        device->session->profile == SESSION_PSK ? HANDSHAKE_UNKNOWN_IDENTITY : HANDSHAKE_UNKNOWN_KEY;

    if (admission == DEVICE_REFUSE_UNKNOWN) {
        link_refused(device, REFUSED_UNKNOWN_KEY, "");
        dtls_conclude(device->session, unknown, "authorise");
    } else {
        bool away = admission == DEVICE_REFUSE_AWAY;
        link_refused(device, away ? REFUSED_REGISTRY_AWAY : REFUSED_DENIED, "");
        dtls_conclude(device->session, HANDSHAKE_REFUSED_BY_POLICY, away ? "registry_away" : "denied");
    }
    link_refuse(device, SESSION_END_REFUSED);
}

static void admit(struct device *device, enum device_admission admission, const struct device_id *id)
{
    must(admission != DEVICE_ADMIT || id != NULL);
    device->enrol = admission == DEVICE_ADMIT_UNKNOWN;
    device->quarantined = admission == DEVICE_ADMIT_QUARANTINE;
    device->is_claim = device->quarantined && id == NULL;
    if (id != NULL && !device->enrol) {
        device->id = *id;
        device->has_id = true;
        link_forget_proof(device);
    }
    if (device->session->profile != SESSION_DEVICE_OS) /* of a device its Hello decides */
        link_conclude(device, "authorise");
    link_enter(device, LINK_WAIT_HELLO);
    plain_join(device);
    link_await_hello(device, clock_ms());
    if (link_is_plain_client(device) && device->has_id)
        dtls_changed(device->session);
    link_take_held(device);
}

static void on_admitted(void *arg, enum device_admission admission, const struct device_id *id);

static void authorise(struct device *device)
{
    device->pending++;
    device->all->ops.authorise(device->all->ops.ctx, device->proof, on_admitted, device);
}

static void on_authorise_again(struct deadline *d, uint64_t now_ms)
{
    (void)now_ms;
    authorise((struct device *)((char *)d - offsetof(struct device, due)));
}

/* The registry is away. False when the device has waited long enough. */
static bool authorise_later(struct device *device)
{
    uint64_t at_ms = clock_ms() + AUTHORISE_AGAIN_MS;

    if (at_ms >= device->established_ms + device->all->settings.hello_timeout_ms)
        return false;
    deadline_set(device->all->deadlines, &device->due, at_ms, on_authorise_again);
    return true;
}

static void on_admitted(void *arg, enum device_admission admission, const struct device_id *id)
{
    struct device *device = arg;

    device->pending--;
    if (device->session != NULL && device->state == LINK_AUTHORISING) {
        bool away = admission == DEVICE_REFUSE_AWAY;
        if (admission == DEVICE_REFUSE_UNKNOWN || admission == DEVICE_REFUSE_DENIED ||
            (away && !authorise_later(device)))
            refuse_session(device, admission);
        else if (!away)
            admit(device, admission, id);
    }
    link_release(device);
}

static void on_established(void *ctx, struct session *s, const struct session_proof *proof)
{
    struct devices *all = ctx;
    struct device *device = slab_new(&all->memory);
    uint8_t first[3]; /* no secret: it only keeps old message IDs apart */

    random_bytes(first, sizeof(first));
    device->all = all;
    device->session = s;
    device->state = LINK_AUTHORISING;
    device->established_ms = clock_ms();
    /* Above any number an earlier process gave to a session of this ID. */
    device->event_number = clock_wall_ms() << 16;
    device->ca_signed = proof->ca_signed;
    device->proof = mem_copy(proof, sizeof(*proof));
    memcpy(device->key_sha256, proof->key_sha256, sizeof(device->key_sha256));
    coap_peer_init(&device->peer, &all->coap_room,
                   s->profile == SESSION_DEVICE_OS ? COAP_DEVICE_OS : COAP_RFC7252,
                   (uint16_t)(first[0] << 8 | first[1]), first[2]);
    presence_place(device, PRESENCE_FRESH);
    all->count++;
    s->user = device;
    authorise(device);
}

static void on_receive(void *ctx, struct session *s, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    struct device *device = s->user;

    (void)ctx;
    switch ((enum link_state)device->state) {
    case LINK_AUTHORISING:
        hold(device, data, data_len);
        return;
    case LINK_RESTORED:
        hold(device, data, data_len);
        restore_authorise(device);
        return;
    case LINK_CHALLENGED:
        challenge_receive(device, data, data_len, now_ms);
        return;
    case LINK_WAIT_HELLO:
    case LINK_NAMED:
        link_take(device, data, data_len, now_ms);
        return;
    case LINK_ENDING:
    case LINK_STATE_COUNT:
        return;
    }
}

static void on_ended(void *ctx, struct session *s, enum session_end why)
{
    struct device *device = s->user;
    struct devices *all = ctx;

    if (device == NULL)
        return;
    if (device->state != LINK_ENDING)
        link_end(device, why, false);
    link_conclude(device, "hello"); /* nothing was said against it until now */
    deadline_cancel(all->deadlines, &device->due);
    coap_peer_deinit(&device->peer);
    update_session_ended(device);
    asks_end(device);
    request_waits_end(device);
    link_forget_proof(device);
    presence_place(device, PRESENCE_NOWHERE);
    device->session = NULL;
    s->user = NULL;
    link_release(device);
}

static void on_find_psk(void *ctx, const char *identity, struct dtls_psk_query *query)
{
    struct devices *all = ctx;

    all->ops.find_psk(all->ops.ctx, identity, query);
}

static void on_attempted(void *ctx, const struct handshake_attempt *attempt)
{
    struct devices *all = ctx;

    all->ops.attempted(all->ops.ctx, attempt);
}

const struct dtls_ops devices_dtls_ops = {
    .find_psk = on_find_psk,
    .established = on_established,
    .receive = on_receive,
    .save = restore_save,
    .restored = restore_begin,
    .ended = on_ended,
    .attempted = on_attempted,
};
