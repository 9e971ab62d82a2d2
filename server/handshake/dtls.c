#include "handshake/dtls.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "handshake/dtls_private.h"
#include "handshake/session_store_private.h"

#define ADDRESS_IN_USE_MS 60000
#define MOVED_TRAILER_BYTES                                                                                  \
    13 /* device id and its length after a record of type 254 (device-protocol 2.5)                          \
        */
enum { ALERT_WARNING = 1, ALERT_FATAL = 2, ALERT_CLOSE_NOTIFY = 0, ALERT_ACCESS_DENIED = 49 };

static void add_metrics(struct dtls *d, struct metrics *m)
{
    static const char *const refusals[] = {
#define X(id, name) [DTLS_REFUSED_##id] = "reason=\"" name "\"",
        DTLS_REFUSAL_MAP(X)
#undef X
    };
    for (int i = 0; i < DTLS_REFUSAL_COUNT; i++)
        d->refused[i] = metrics_add(m, METRIC_COUNTER, "cyan_dtls_refused_total", refusals[i],
                                    "Datagrams and records that were not taken, by reason");
    static const char *const outcomes[] = {
#define X(id, name, text) [HANDSHAKE_##id] = "outcome=\"" name "\"",
        HANDSHAKE_OUTCOME_MAP(X)
#undef X
    };
    for (int i = 0; i < HANDSHAKE_OUTCOME_COUNT; i++)
        d->outcomes[i] = metrics_add(m, METRIC_COUNTER, "cyan_handshakes_total", outcomes[i],
                                     "Handshake attempts by outcome");
    d->records =
        metrics_add(m, METRIC_COUNTER, "cyan_dtls_records_total", NULL, "Protected records accepted");
    d->moved = metrics_add(m, METRIC_COUNTER, "cyan_sessions_moved_total", NULL,
                           "Sessions that went on from a new address");
    d->ended = metrics_add(m, METRIC_COUNTER, "cyan_sessions_ended_total", NULL, "Sessions that ended");
    d->send_exhausted =
        metrics_add(m, METRIC_COUNTER, "cyan_dtls_send_exhausted_total", NULL,
                    "Records not sent because no further sequence numbers could be reserved in Redis");
    d->session_gauge = metrics_add(m, METRIC_GAUGE, "cyan_sessions", NULL, "Established sessions");
    d->in_flight_gauge =
        metrics_add(m, METRIC_GAUGE, "cyan_handshakes_in_flight", NULL, "Handshakes in flight");
}

static void derive_secrets(struct dtls *d, const struct server_key *key)
{
    uint8_t secret[32];
    server_key_derive(key, "cyan connection ids", secret);
    hmac_key_init(&d->cid_key, secret, sizeof secret);
    server_key_derive(key, "cyan cookies", secret);
    cookie_init(&d->cookies, secret);
    bytes_wipe(secret, sizeof secret);
}

struct dtls *dtls_new(const struct dtls_settings *settings, const struct server_key *key,
                      struct deadlines *deadlines, struct metrics *metrics, const struct dtls_ops *ops,
                      void *ops_ctx, char *why, size_t why_size)
{
    struct handshake_shared *shared = handshake_shared_new(key, settings->ca_file, why, why_size);
    if (!shared)
        return NULL;
    struct dtls *d = mem_alloc(sizeof *d);
    d->settings = *settings;
    d->settings.ca_file = NULL; /* read; the text is the caller's */
    d->shared = shared;
    d->deadlines = deadlines;
    d->ops = ops;
    d->ops_ctx = ops_ctx;
    slab_init(&d->session_memory, sizeof(struct session));
    derive_secrets(d, key);
    handshake_queue_init(&d->queue, metrics);
    fair_share_init(&d->share, settings->max_in_flight, settings->per_source);
    add_metrics(d, metrics);
    return d;
}

void dtls_reload(struct dtls *d, const struct dtls_settings *settings)
{
    d->share.max = settings->max_in_flight;
    d->share.per_network = settings->per_source;
}

void dtls_set_udp(struct dtls *d, struct udp *udp)
{
    d->udp = udp;
}

size_t dtls_session_count(const struct dtls *d)
{
    return session_table_count(&d->sessions);
}

size_t dtls_handshake_count(const struct dtls *d)
{
    return d->share.in_flight;
}

void dtls_free(struct dtls *d)
{
    while (d->sessions.newest)
        dtls_end(d->sessions.newest, SESSION_END_SHUTDOWN, false);
    while (d->handshakes)
        dtls_drop_handshake(d, d->handshakes);
    dtls_forget_queries(d);
    handshake_queue_deinit(&d->queue);
    deadline_cancel(d->deadlines, &d->expiry);
    deadline_cancel(d->deadlines, &d->trim);
    session_table_deinit(&d->sessions);
    slab_deinit(&d->session_memory);
    fair_share_deinit(&d->share);
    handshake_shared_free(d->shared);
    bytes_wipe(&d->cookies, sizeof d->cookies);
    bytes_wipe(&d->cid_key, sizeof d->cid_key);
    free(d);
}

static void on_expiry(struct deadline *deadline, uint64_t now_ms)
{
    struct dtls *d = (struct dtls *)((char *)deadline - offsetof(struct dtls, expiry));
    while (d->sessions.oldest && d->sessions.oldest->heard_ms + d->settings.expiry_ms <= now_ms)
        dtls_end(d->sessions.oldest, SESSION_END_EXPIRED, false);
    if (d->sessions.oldest)
        deadline_set(d->deadlines, &d->expiry, d->sessions.oldest->heard_ms + d->settings.expiry_ms,
                     on_expiry);
}

void dtls_watch_expiry(struct dtls *d)
{
    if (!deadline_is_set(&d->expiry) && d->sessions.oldest)
        deadline_set(d->deadlines, &d->expiry, d->sessions.oldest->heard_ms + d->settings.expiry_ms,
                     on_expiry);
}

struct session *dtls_add_session(struct dtls *d, struct handshake *h, uint64_t now_ms)
{
    struct session *s = slab_new(&d->session_memory);
    handshake_take_record(h, &s->record);
    s->dtls = d;
    s->id = be64_load(h->cid);
    s->path = h->path;
    s->profile = (uint8_t)h->profile;
    s->heard_ms = now_ms;
    s->epoch = clock_wall_ms() * 1000;
    s->send_limit = d->store ? s->record.send_seq + SESSION_SEND_BLOCK : UINT64_MAX;
    s->checked = d->store ? d->store->generation : 0;
    s->handshake = h;
    h->session = s;
    /* Anybody can shake hands with a key of his own: whoever spoke from this address before only steps aside
     * until the owner has taken the newcomer in. */
    struct session *before =
        s->record.own_cid_len == 0 ? session_table_find_peer(&d->sessions, &s->path) : NULL;
    if (before)
        session_table_drop_address(&d->sessions, before);
    session_table_add(&d->sessions, s);
    if (before)
        s->address->displaced = before->id;
    d->session_gauge->value = session_table_count(&d->sessions);
    dtls_watch_expiry(d);
    return s;
}

/* The session without connection ID that s displaced, if it is still there; s forgets it. */
static struct session *take_displaced(struct session *s)
{
    uint64_t id = s->address ? s->address->displaced : 0;
    struct session *before = id ? session_table_find_id(&s->dtls->sessions, id) : NULL;
    if (id)
        s->address->displaced = 0;
    return before && before->address ? before : NULL;
}

void dtls_settle(struct session *s)
{
    struct session *before = take_displaced(s);
    if (before && !before->address->has_address)
        dtls_end(before, SESSION_END_REPLACED, false);
}

static void used(struct session *s)
{
    if (s->dtls->store && s->dirt == SESSION_CLEAN)
        session_store_changed(s->dtls->store, s, false);
}

void dtls_changed(struct session *s)
{
    if (s->dtls->store)
        session_store_changed(s->dtls->store, s, true);
}

void dtls_prove(struct session *s)
{
    s->record.recv_window = UINT64_MAX;
    s->unproven = false;
    dtls_changed(s);
}

static bool send_record(struct session *s, uint8_t type, const uint8_t *content, size_t content_len)
{
    uint8_t record[DTLS_APPLICATION_MAX + RECORD_OVERHEAD_MAX + 16];
    if (s->record.send_seq >= s->send_limit) { /* a number sent twice under a key gives the key away */
        s->dtls->send_exhausted->value++;
        return false;
    }
    if (s->send_limit - s->record.send_seq == SESSION_SEND_BLOCK / 2)
        dtls_changed(s); /* time to reserve more */
    used(s);
    size_t len = record_seal(&s->record, type, content, content_len, record, sizeof record);
    return len > 0 && udp_send(s->dtls->udp, &s->path, record, len);
}

bool dtls_send(struct session *s, const uint8_t *data, size_t data_len)
{
    return data_len <= DTLS_APPLICATION_MAX && send_record(s, RECORD_APPLICATION, data, data_len);
}

void dtls_name(struct session *s, const uint8_t name[SESSION_NAME_BYTES])
{
    session_table_name(&s->dtls->sessions, s, name);
}

void dtls_end(struct session *s, enum session_end why, bool tell_peer)
{
    struct dtls *d = s->dtls;
    if (tell_peer) {
        bool refused = why == SESSION_END_REFUSED || why == SESSION_END_REVOKED;
        uint8_t alert[2] = {refused ? ALERT_FATAL : ALERT_WARNING,
                            refused ? ALERT_ACCESS_DENIED : ALERT_CLOSE_NOTIFY};
        (void)send_record(s, RECORD_ALERT, alert, sizeof alert);
    }
    if (d->store && why != SESSION_END_MOVED && why != SESSION_END_SHUTDOWN)
        session_store_ended(d->store, s);
    struct session *before = take_displaced(s);
    session_table_remove(&d->sessions, s);
    if (before)
        session_table_take_address(&d->sessions, before);
    if (s->handshake)
        dtls_drop_handshake(d, s->handshake);
    d->ended->value++;
    d->session_gauge->value = session_table_count(&d->sessions);
    d->ops->ended(d->ops_ctx, s, why);
    dtls_conclude(s, HANDSHAKE_OK, "");
    bytes_wipe(&s->record, sizeof s->record);
    slab_free(&d->session_memory, s);
}

static void on_alert(struct session *s, const uint8_t *alert, size_t alert_len)
{
    if (alert_len != 2 || (alert[0] != ALERT_FATAL && alert[1] != ALERT_CLOSE_NOTIFY))
        return;
    /* RFC 5246 7.2.1: close_notify is answered; Device OS has left already. */
    dtls_end(s, SESSION_END_PEER_CLOSED, s->profile != SESSION_DEVICE_OS && alert[1] == ALERT_CLOSE_NOTIFY);
}

/* The peer goes on from where its newest record came from (RFC 9146 6, device-protocol 2.7). Where another
 * session without connection ID was heard a moment ago it does not: a record proves who sent it, not that
 * answers reach him there. */
static void follow(struct session *s, const struct net_path *path, uint8_t outer_type, uint64_t now_ms)
{
    struct dtls *d = s->dtls;
    bool moved = !net_path_same_peer(&s->path, path), by_address = s->record.own_cid_len == 0;
    struct session *before = moved && by_address ? session_table_find_peer(&d->sessions, path) : NULL;
    if (before && before->heard_ms + ADDRESS_IN_USE_MS > now_ms)
        return;
    if (outer_type == RECORD_RESUMED_CID || outer_type == RECORD_MOVED)
        s->resumed = true;
    if (before)
        dtls_end(before, SESSION_END_REPLACED, false);
    if (moved) {
        d->moved->value++;
        s->resumed = true;
        dtls_changed(s);
    }
    if (moved && by_address)
        session_table_move(&d->sessions, s, path);
    else
        s->path = *path;
}

static enum dtls_refusal refusal_of(enum record_open err)
{
    switch (err) {
    case RECORD_WRONG_EPOCH:
        return DTLS_REFUSED_WRONG_EPOCH;
    case RECORD_WRONG_CID:
        return DTLS_REFUSED_WRONG_CID;
    case RECORD_REPLAYED:
        return DTLS_REFUSED_REPLAYED;
    case RECORD_BAD_TAG:
        return DTLS_REFUSED_BAD_TAG;
    default:
        return DTLS_REFUSED_MALFORMED;
    }
}

/* One record for one session; the session may be gone afterwards. */
static enum record_open take_record(struct dtls *d, struct session *s, const struct net_path *path,
                                    uint8_t *record, size_t record_len, uint64_t now_ms)
{
    uint8_t outer = record[0], type, *content;
    size_t content_len;
    uint64_t seq;
    bool newest;
    enum record_open err =
        record_open(&s->record, record, record_len, &content, &content_len, &type, &seq, &newest);
    if (err != RECORD_OPENED)
        return err;
    d->records->value++;
    session_table_touch(&d->sessions, s, now_ms);
    used(s);
    if (newest)
        follow(s, path, outer, now_ms);
    if (type == RECORD_ALERT)
        on_alert(s, content, content_len);
    else if (type == RECORD_HANDSHAKE && s->handshake)
        handshake_resend(s->handshake); /* its Finished again: our last flight was lost */
    else if (type == RECORD_APPLICATION) {
        if (s->handshake)
            dtls_drop_handshake(d, s->handshake);
        d->ops->receive(d->ops_ctx, s, content, content_len, now_ms);
    }
    return RECORD_OPENED;
}

struct record_frame {
    struct session *session; /* NULL: nobody's */
    size_t len;              /* of the record; 0: malformed */
    size_t trailer_len;
    enum dtls_refusal refusal; /* when there is no session */
};

static bool has_cid(const uint8_t *data)
{
    return data[0] == RECORD_CID || data[0] == RECORD_RESUMED_CID;
}

size_t dtls_record_len(const uint8_t *data, size_t data_len)
{
    if (data_len < RECORD_HEADER_BYTES)
        return 0;
    size_t header = RECORD_HEADER_BYTES + (has_cid(data) ? SESSION_CID_BYTES : 0);
    if (data_len < header)
        return 0;
    size_t len = header + be16_load(data + header - 2);
    return len <= data_len ? len : 0;
}

static struct record_frame frame_record(struct dtls *d, const struct net_path *path, const uint8_t *data,
                                        size_t data_len)
{
    bool cid = has_cid(data);
    struct record_frame frame = {.len = dtls_record_len(data, data_len),
                                 .refusal = cid ? DTLS_REFUSED_UNKNOWN_CID : DTLS_REFUSED_UNKNOWN_PEER,
                                 .trailer_len = data[0] == RECORD_MOVED ? MOVED_TRAILER_BYTES : 0};
    if (frame.len == 0 || frame.len + frame.trailer_len > data_len) {
        frame.len = 0;
        return frame;
    }
    const uint8_t *trailer = data + frame.len; /* device id and its length, 0c */
    if (cid)
        frame.session = session_table_find_id(&d->sessions, be64_load(data + 11));
    else if (data[0] == RECORD_MOVED)
        frame.session = trailer[SESSION_NAME_BYTES] == SESSION_NAME_BYTES
                            ? session_table_find_name(&d->sessions, trailer)
                            : NULL;
    else
        frame.session = session_table_find_peer(&d->sessions, path);
    return frame;
}

/* A record whose session is not here. True: it is being looked for elsewhere. */
static bool seek(struct dtls *d, const struct net_path *path, struct record_frame *frame, const uint8_t *data,
                 size_t data_len, uint64_t now_ms)
{
    if (!d->store)
        return false;
    if (has_cid(data)) {
        if (dtls_cid_is_ours(d, data + 11))
            return session_store_seek(d->store, SEEK_CID, data + 11, path, data, data_len, now_ms);
        frame->refusal = DTLS_REFUSED_FORGED_CID;
        return false;
    }
    if (data[0] == RECORD_MOVED)
        return session_store_seek(d->store, SEEK_NAME, data + frame->len, path, data, data_len, now_ms);
    return data[0] == RECORD_APPLICATION &&
           session_store_seek(d->store, SEEK_PEER, path->peer_ip, path, data, data_len, now_ms);
}

/* Our lease had lapsed since this session was last known to be ours: true while that is being found out. */
static bool check_ownership(struct dtls *d, const struct net_path *path, struct session *s,
                            const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    uint8_t id[8];
    if (!d->store || s->checked == d->store->generation)
        return false;
    be64_store(id, s->id);
    return session_store_seek(d->store, SEEK_CID, id, path, data, data_len, now_ms);
}

void dtls_receive_protected(struct dtls *d, const struct net_path *path, uint8_t *data, size_t data_len,
                            uint64_t now_ms)
{
    uint8_t copy[UDP_DATAGRAM_MAX];
    while (data_len >= RECORD_HEADER_BYTES) {
        struct record_frame frame = frame_record(d, path, data, data_len);
        struct handshake *h = dtls_find_handshake(d, path);
        bool in_flight = h && h->state != HANDSHAKE_COMPLETE;
        if (frame.len == 0) {
            dtls_refuse(d, DTLS_REFUSED_TRUNCATED);
            return;
        }
        if (!frame.session) {
            if (in_flight) /* its Finished came alone */
                dtls_feed(d, h, data, data_len, now_ms);
            else if (!seek(d, path, &frame, data, data_len, now_ms))
                dtls_refuse(d, frame.refusal);
            return;
        }
        if (check_ownership(d, path, frame.session, data, data_len, now_ms))
            return;
        /* A failed opening destroys the record, and it may be the Finished of the new handshake. */
        bool may_be_finished =
            in_flight && data[0] == RECORD_HANDSHAKE && frame.session->record.own_cid_len == 0;
        if (may_be_finished)
            memcpy(copy, data, data_len);
        enum record_open err = take_record(d, frame.session, path, data, frame.len, now_ms);
        /* REPLAYED: a new Finished has sequence number 0, which the old session has seen. */
        if ((err == RECORD_BAD_TAG || err == RECORD_REPLAYED) && may_be_finished) {
            dtls_feed(d, h, copy, data_len, now_ms);
            return;
        }
        if (err != RECORD_OPENED)
            dtls_refuse(d, refusal_of(err));
        data += frame.len + frame.trailer_len;
        data_len -= frame.len + frame.trailer_len;
    }
}

#define LINE_BYTES 64
#define OWNER_BYTES 320 /* of what s->user points to; more than there is does no harm */

static void fetch(const void *from, size_t len)
{
    for (size_t at = 0; at < len; at += LINE_BYTES)
        __builtin_prefetch((const uint8_t *)from + at, 1);
}

void dtls_ahead(void *ctx, const struct net_path *path, const uint8_t *data, size_t data_len)
{
    const struct dtls *d = ctx;
    if (data_len < RECORD_HEADER_BYTES + SESSION_CID_BYTES || be16_load(data + 3) == 0 ||
        data[0] == RECORD_MOVED)
        return;
    const struct session *s = has_cid(data) ? session_table_find_id(&d->sessions, be64_load(data + 11))
                                            : session_table_find_peer(&d->sessions, path);
    if (s) {
        fetch(s, sizeof *s);
        fetch(s->user, OWNER_BYTES);
    }
}

static bool is_dtls(const uint8_t *data)
{
    bool type = (data[0] >= RECORD_CHANGE_CIPHER && data[0] <= RECORD_APPLICATION) || data[0] == RECORD_CID ||
                data[0] == RECORD_RESUMED_CID || data[0] == RECORD_MOVED;
    /* fefd, or feff, which many stacks put on their first ClientHello (RFC 6347 4.2.1) */
    return type && data[1] == 0xfe && (data[2] == 0xfd || data[2] == 0xff);
}

void dtls_receive(void *ctx, const struct net_path *path, uint8_t *data, size_t data_len, uint64_t now_ms)
{
    struct dtls *d = ctx;
    if (data_len < RECORD_HEADER_BYTES)
        dtls_refuse(d, DTLS_REFUSED_SHORT);
    else if (!is_dtls(data))
        dtls_refuse(d, DTLS_REFUSED_NOT_DTLS);
    else if (be16_load(data + 3) == 0)
        dtls_receive_plain(d, path, data, data_len, now_ms);
    else
        dtls_receive_protected(d, path, data, data_len, now_ms);
}
