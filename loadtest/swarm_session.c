#include "swarm_session.h"
#include "base/bytes.h"
#include "base/clock.h"
#include <string.h>

#define DEVICE_ID_BYTES 12
#define ALERT_WARNING 1
#define ALERT_CLOSE_NOTIFY 0
#define UNHEARD_SENDS_SURE 8

static void on_datagram(void *owner, const uint8_t *datagram, size_t datagram_len);

void swarm_session_init(struct swarm_session *s, struct swarm_session_env *env,
                        const struct swarm_session_ops *ops, void *owner)
{
    memset(s, 0, sizeof(*s));
    s->env = env;
    s->ops = ops;
    s->owner = owner;
}

void swarm_session_drop(struct swarm_session *s)
{
    swarm_dtls_free(s->dtls);
    s->dtls = NULL;
    swarm_port_close(s->port);
    s->port = NULL;
    swarm_past_free(s->past);
    s->past = NULL;
    swarm_audit_clear(&s->audit);
    bytes_wipe(&s->record, sizeof(s->record));
    s->state = SWARM_SESSION_IDLE;
}

static void on_opened(void *owner, const struct swarm_record_view *view, enum swarm_open result)
{
    struct swarm_session *s = owner;

    s->env->bad_records += result == SWARM_OPEN_BAD;
    s->env->replays += result == SWARM_OPEN_REPLAY;
    if (result == SWARM_OPEN_BAD)
        return;
    if (swarm_audit_note(&s->audit, view->seq, view->body, view->body_len) == SWARM_AUDIT_REUSED)
        s->env->replay.counts.nonce_reuse++;
}

static void on_handshake_send(void *owner, const uint8_t *datagram, size_t datagram_len)
{
    struct swarm_session *s = owner;

    swarm_port_send(s->port, datagram, datagram_len);
}

static void on_handshake_done(void *owner, enum swarm_dtls_result result, uint8_t alert)
{
    struct swarm_session *s = owner;

    swarm_dtls_free(s->dtls);
    s->dtls = NULL;
    if (result != SWARM_DTLS_OK) {
        swarm_session_drop(s);
        s->ops->failed(s->owner, result, alert);
        return;
    }
    s->state = SWARM_SESSION_UP;
    s->heard_ms = clock_ms();
    s->unheard_sends = 0;
    s->moved_unheard = false;
    s->ops->up(s->owner);
}

bool swarm_session_open(struct swarm_session *s, const struct swarm_credentials *c, uint64_t now_ms)
{
    struct swarm_dtls_params params = {.crypto = s->env->crypto,
                                       .deadlines = s->env->deadlines,
                                       .record = &s->record,
                                       .credentials = *c,
                                       .retransmit_ms = s->env->retransmit_ms,
                                       .retransmit_max_ms = s->env->retransmit_max_ms,
                                       .send = on_handshake_send,
                                       .done = on_handshake_done,
                                       .opened = on_opened,
                                       .owner = s};

    swarm_session_drop(s);
    s->port = swarm_port_open(s->env->net, on_datagram, s);
    if (!s->port)
        return false;
    s->state = SWARM_SESSION_HANDSHAKE;
    s->dtls = swarm_dtls_start(&params, now_ms);
    return true;
}

static void keep_and_replay(struct swarm_session *s, struct swarm_bytes datagram, struct swarm_bytes plain)
{
    uint16_t random;

    if (s->env->replay.percent <= 0)
        return;
    swarm_past_keep(&s->past, &s->env->replay, datagram.data, datagram.len, plain.data, plain.len);
    swarm_random(&random, sizeof(random));
    if (random * 100.0 < s->env->replay.percent * 65536)
        swarm_past_replay(s->past, s->port, &s->record, &s->audit);
}

void swarm_session_acknowledged(struct swarm_session *s, uint16_t mid)
{
    swarm_past_acknowledged(s->past, mid);
}

void swarm_session_replay(struct swarm_session *s)
{
    swarm_past_replay_all(s->past, &s->record, &s->audit);
}

static void seal_and_send(struct swarm_session *s, enum swarm_record_type type, struct swarm_bytes plain)
{
    uint8_t out[SWARM_DATAGRAM_MAX_BYTES];
    size_t len = swarm_record_seal(s->env->crypto, &s->record, type, plain, out, sizeof(out));

    if (len == 0)
        return;
    s->unheard_sends++;
    /* Before connection IDs: another first byte, and the device id behind the record (device-protocol 2.5).
     */
    if (s->record.resumed && s->record.flavour == SWARM_CID_NONE && s->device_id) {
        out[0] = SWARM_RECORD_MOVED;
        memcpy(out + len, s->device_id, DEVICE_ID_BYTES);
        out[len + DEVICE_ID_BYTES] = DEVICE_ID_BYTES;
        len += DEVICE_ID_BYTES + 1;
    }
    swarm_port_send(s->port, out, len);
    if (type == SWARM_RECORD_DATA)
        keep_and_replay(s, (struct swarm_bytes){out, len}, plain);
}

bool swarm_session_send(struct swarm_session *s, const uint8_t *data, size_t data_len)
{
    if (s->state != SWARM_SESSION_UP || data_len > SWARM_PLAINTEXT_MAX_BYTES)
        return false;
    seal_and_send(s, SWARM_RECORD_DATA, (struct swarm_bytes){data, data_len});
    return true;
}

void swarm_session_close_notify(struct swarm_session *s)
{
    static const uint8_t alert[2] = {ALERT_WARNING, ALERT_CLOSE_NOTIFY};

    if (s->state == SWARM_SESSION_UP)
        seal_and_send(s, SWARM_RECORD_ALERT, (struct swarm_bytes){alert, sizeof(alert)});
}

bool swarm_session_can_move(const struct swarm_session *s)
{
    return s->record.flavour != SWARM_CID_NONE;
}

bool swarm_session_lost_by_move(const struct swarm_session *s)
{
    return s->moved_unheard && s->unheard_sends >= UNHEARD_SENDS_SURE;
}

bool swarm_session_rebind(struct swarm_session *s)
{
    struct swarm_port *port;

    must(s->state == SWARM_SESSION_UP);
    port = swarm_port_open(s->env->net, on_datagram, s);
    if (!port)
        return false;
    swarm_port_close(s->port);
    s->port = port;
    s->moved_unheard = true;
    return true;
}

void swarm_session_suspend(struct swarm_session *s)
{
    must(s->state == SWARM_SESSION_UP);
    swarm_port_close(s->port);
    s->port = NULL;
    s->state = SWARM_SESSION_SUSPENDED;
}

bool swarm_session_resume(struct swarm_session *s)
{
    must(s->state == SWARM_SESSION_SUSPENDED);
    s->port = swarm_port_open(s->env->net, on_datagram, s);
    if (!s->port)
        return false;
    s->state = SWARM_SESSION_UP;
    s->record.resumed = true;
    s->moved_unheard = true;
    return true;
}

/* One record of an established session. False: the callbacks have changed the session, stop here. */
static bool take_record(struct swarm_session *s, const struct swarm_record_view *view)
{
    uint8_t plain[2048];
    struct swarm_port *port = s->port;
    size_t plain_len = 0;
    enum swarm_open result;

    if (view->seq >> 48 ==
        0) /* unprotected records mean nothing to an established session (device-protocol 2.8) */
        return true;
    result = swarm_record_open(s->env->crypto, &s->record, view, plain, &plain_len);
    on_opened(s, view, result);
    if (result != SWARM_OPEN_OK)
        return true;
    s->heard_ms = clock_ms();
    s->unheard_sends = 0;
    s->moved_unheard = false;
    if (view->type == SWARM_RECORD_ALERT && plain_len == 2 &&
        (plain[0] == 2 || plain[1] == ALERT_CLOSE_NOTIFY)) {
        swarm_session_drop(s);
        s->ops->ended(s->owner, plain[1]);
        return false;
    }
    if (view->type == SWARM_RECORD_DATA)
        s->ops->message(s->owner, plain, plain_len);
    return s->state == SWARM_SESSION_UP && s->port == port;
}

static void on_datagram(void *owner, const uint8_t *datagram, size_t datagram_len)
{
    struct swarm_session *s = owner;
    struct swarm_record_view view;

    if (s->state == SWARM_SESSION_HANDSHAKE) {
        swarm_dtls_receive(s->dtls, datagram, datagram_len, clock_ms());
        return;
    }
    while (s->state == SWARM_SESSION_UP && swarm_record_next(&datagram, &datagram_len, &view)) {
        if (!take_record(s, &view))
            return;
    }
}
