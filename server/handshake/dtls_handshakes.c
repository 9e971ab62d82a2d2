#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "handshake/dtls_private.h"

#define TRIM_AGAIN_MS 30000
#define TRIM_LAST_MS 120000

enum { ALERT_FATAL = 2, ALERT_HANDSHAKE_FAILURE = 40, ALERT_PROTOCOL_VERSION = 70 };

#define STORM_SESSIONS 1000 /* new ones since memory was given back */
#define STORM_HANDSHAKES 64 /* at once; fewer leave no gap worth closing */
#define WORK_MS 5           /* a turn: what a record of a connected device may have to wait for */

struct dtls_psk_query {
    struct dtls *dtls;
    struct handshake *handshake; /* borrowed; NULL once that is gone */
    struct dtls_psk_query *prev, *next;
};

struct handshake *dtls_find_handshake(const struct dtls *d, const struct net_path *path)
{
    struct handshake *h;
    HASH_FIND(by_peer, d->handshakes, path->peer_ip, NET_PEER_BYTES, h);
    return h;
}

static bool in_flight(const struct handshake *h)
{
    return !h->session;
}

/* Memory is given back to the system soon after a storm, again when the handshakes that linger are gone, and
 * once more when the answers their devices got are forgotten (COAP_DEDUP_DEVICE_OS_MS, a room above). */
static void on_trim(struct deadline *deadline, uint64_t now_ms)
{
    struct dtls *d = (struct dtls *)((char *)deadline - offsetof(struct dtls, trim));
    (void)malloc_trim(0);
    if (d->established_since_trim > 0)
        deadline_set(d->deadlines, &d->trim, now_ms + TRIM_LAST_MS, on_trim);
    d->established_since_trim = 0;
}

/* A handshake takes some 10 KB, a session under one: what a storm took goes back to the system, not to later
 * sessions. */
static void settle(struct dtls *d)
{
    if (d->most_in_flight < STORM_HANDSHAKES || d->share.in_flight > d->most_in_flight / 8)
        return;
    d->most_in_flight = d->share.in_flight;
    (void)malloc_trim(0);
    deadline_set(d->deadlines, &d->trim, clock_ms() + TRIM_AGAIN_MS, on_trim);
}

void dtls_drop_handshake(struct dtls *d, struct handshake *h)
{
    if (in_flight(h))
        fair_share_release(&d->share, h->network);
    else
        h->session->handshake = NULL;
    if (h->query)
        h->query->handshake = NULL;
    d->in_flight_gauge->value = d->share.in_flight;
    handshake_queue_forget(&d->queue, h);
    HASH_DELETE(by_peer, d->handshakes, h);
    handshake_free(h);
    settle(d);
}

static void report(struct dtls *d, const struct handshake_attempt *attempt)
{
    bool well = attempt->outcome == HANDSHAKE_OK || attempt->outcome == HANDSHAKE_QUARANTINED;
    bool ours = attempt->outcome == HANDSHAKE_NO_COOKIE_RETURN || attempt->outcome == HANDSHAKE_RATE_LIMITED;
    if (!well && !ours) /* work was spent on it */
        fair_share_spoiled(&d->share, net_path_network(&attempt->path), clock_ms());
    d->outcomes[attempt->outcome]->value++;
    d->ops->attempted(d->ops_ctx, attempt);
}

static void report_early(struct dtls *d, const struct net_path *path, enum handshake_outcome outcome,
                         const char *profile)
{
    struct handshake_attempt attempt = {
        .outcome = outcome, .stage = "client_hello", .profile = profile, .path = *path};
    report(d, &attempt);
}

static void report_end(struct dtls *d, const struct handshake *h, uint64_t now_ms)
{
    struct handshake_attempt attempt;
    handshake_describe(h, &attempt, now_ms);
    report(d, &attempt);
}

static void on_linger_over(struct deadline *deadline, uint64_t now_ms)
{
    struct handshake *h = (struct handshake *)((char *)deadline - offsetof(struct handshake, give_up));
    (void)now_ms;
    dtls_drop_handshake(h->owner, h);
}

static void on_give_up(struct deadline *deadline, uint64_t now_ms)
{
    struct handshake *h = (struct handshake *)((char *)deadline - offsetof(struct handshake, give_up));
    struct dtls *d = h->owner;
    handshake_expire(h);
    report_end(d, h, now_ms);
    dtls_drop_handshake(d, h);
}

/* A certificate was asked for and none was shown: nothing is proved. */
static bool proved_nothing(const struct session_proof *proof)
{
    return proof->profile != SESSION_PSK && proof->spki_len == 0;
}

static void establish(struct dtls *d, struct handshake *h, uint64_t now_ms)
{
    struct session_proof proof;
    struct handshake_attempt attempt;
    handshake_take_proof(h, &proof);
    if (proved_nothing(&proof))
        h->outcome = HANDSHAKE_UNKNOWN_KEY;
    else if (session_table_count(&d->sessions) >= d->settings.max_sessions)
        h->outcome = HANDSHAKE_RATE_LIMITED;
    handshake_describe(h, &attempt, now_ms);
    if (h->outcome != HANDSHAKE_OK) {
        handshake_refuse(h);
        report(d, &attempt);
        dtls_drop_handshake(d, h);
        return;
    }
    fair_share_release(&d->share, h->network);
    d->in_flight_gauge->value = d->share.in_flight;
    struct session *s = dtls_add_session(d, h, now_ms);
    if (++d->established_since_trim >= STORM_SESSIONS && !deadline_is_set(&d->trim))
        deadline_set(d->deadlines, &d->trim, now_ms + TRIM_AGAIN_MS, on_trim);
    s->attempt = mem_copy(&attempt, sizeof attempt); /* the owner has the last word on it */
    deadline_set(d->deadlines, &h->give_up, now_ms + HANDSHAKE_LINGER_MS, on_linger_over);
    d->ops->established(d->ops_ctx, s, &proof); /* last: it may end the session */
}

void dtls_conclude(struct session *s, enum handshake_outcome outcome, const char *stage)
{
    struct handshake_attempt *attempt = s->attempt;
    if (!attempt)
        return;
    if (outcome == HANDSHAKE_OK || outcome == HANDSHAKE_QUARANTINED)
        dtls_settle(s);
    s->attempt = NULL;
    attempt->outcome = outcome;
    if (outcome != HANDSHAKE_OK)
        attempt->stage = stage;
    report(s->dtls, attempt);
    free(attempt);
}

static void ask_psk(struct dtls *d, struct handshake *h)
{
    struct dtls_psk_query *q = mem_alloc(sizeof *q);
    q->dtls = d;
    q->handshake = h;
    h->query = q;
    DL_APPEND(d->queries, q);
    d->ops->find_psk(d->ops_ctx, h->identity, q); /* last: it may answer at once */
}

static void act(struct dtls *d, struct handshake *h, uint64_t now_ms)
{
    switch (h->state) {
    case HANDSHAKE_RUNNING:
        return;
    case HANDSHAKE_WAIT_PSK:
        if (!h->query)
            ask_psk(d, h);
        return;
    case HANDSHAKE_COMPLETE:
        establish(d, h, now_ms);
        return;
    case HANDSHAKE_FAILED:
        report_end(d, h, now_ms);
        dtls_drop_handshake(d, h);
        return;
    }
}

/* Takes the query back; NULL when its handshake has ended meanwhile. */
static struct handshake *close_query(struct dtls_psk_query *q)
{
    struct handshake *h = q->handshake;
    if (q->dtls)
        DL_DELETE(q->dtls->queries, q);
    free(q);
    if (h)
        h->query = NULL;
    return h;
}

void dtls_psk_answer(struct dtls_psk_query *q, const uint8_t *psk, size_t psk_len)
{
    struct dtls *d = q->dtls;
    struct handshake *h = close_query(q);
    uint64_t now_ms = clock_ms();
    if (!h)
        return;
    handshake_give_psk(h, psk, psk_len, now_ms);
    handshake_queue_wake(&d->queue, h);
    act(d, h, now_ms);
}

void dtls_psk_away(struct dtls_psk_query *q)
{
    struct dtls *d = q->dtls;
    struct handshake *h = close_query(q);
    if (!h)
        return;
    struct handshake_attempt attempt;
    handshake_describe(h, &attempt, clock_ms());
    attempt.outcome = HANDSHAKE_REFUSED_BY_POLICY;
    attempt.stage = "registry_away";
    report(d, &attempt);
    dtls_drop_handshake(d, h);
}

void dtls_forget_queries(struct dtls *d)
{
    struct dtls_psk_query *q, *next;
    DL_FOREACH_SAFE (d->queries, q, next)
        q->dtls = NULL;
    d->queries = NULL;
}

static void on_retransmit(struct handshake *h, uint64_t now_ms)
{
    struct dtls *d = h->owner;
    handshake_tick(h, now_ms);
    act(d, h, now_ms);
}

void dtls_feed(struct dtls *d, struct handshake *h, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    handshake_queue_push(&d->queue, h, &h->path, data, data_len, now_ms);
}

static void feed_now(struct dtls *d, struct handshake *h, const uint8_t *data, size_t data_len,
                     uint64_t now_ms)
{
    handshake_feed(h, data, data_len, now_ms);
    act(d, h, now_ms);
}

static bool send_datagram(void *owner, const struct net_path *path, const uint8_t *data, size_t data_len)
{
    struct dtls *d = owner;
    return udp_send(d->udp, path, data, data_len);
}

static void start_record(struct bytes_writer *w, uint8_t *out, size_t out_size, uint8_t type, uint64_t seq,
                         size_t len)
{
    bytes_writer_init(w, out, out_size);
    bytes_put_u8(w, type);
    bytes_put_be16(w, 0xfefd);
    bytes_put_be16(w, 0);
    bytes_put_be48(w, seq);
    bytes_put_be16(w, (uint16_t)len);
}

/* RFC 6347 4.2.1. 60 bytes against at least 67 of the smallest ClientHello. */
static void send_hello_verify(struct dtls *d, const struct net_path *path, const struct client_hello *hello,
                              uint64_t record_seq)
{
    uint8_t out[RECORD_HEADER_BYTES + 12 + 3 + COOKIE_BYTES], cookie[COOKIE_BYTES];
    enum { body = 3 + COOKIE_BYTES };
    struct bytes_writer w;
    cookie_make(&d->cookies, path, hello->random, clock_wall_ms(), cookie);
    start_record(&w, out, sizeof out, RECORD_HANDSHAKE, record_seq, 12 + body);
    bytes_put_u8(&w, 3); /* HelloVerifyRequest */
    bytes_put_be24(&w, body);
    bytes_put_be16(&w, 0); /* message_seq */
    bytes_put_be24(&w, 0);
    bytes_put_be24(&w, body);
    bytes_put_be16(&w, 0xfefd);
    bytes_put_u8(&w, COOKIE_BYTES);
    bytes_put(&w, cookie, sizeof cookie);
    must(!w.bad && bytes_written(&w) == sizeof out);
    (void)udp_send(d->udp, path, out, sizeof out);
}

/* hello: the datagram it answers. Its record's version and number are taken: clients drop what is of another
 * version, and what has the number of our HelloVerifyRequest. */
static void send_plain_alert(struct dtls *d, const struct net_path *path, const uint8_t *hello,
                             uint8_t description)
{
    uint8_t out[RECORD_HEADER_BYTES + 2];
    struct bytes_writer w;
    start_record(&w, out, sizeof out, RECORD_ALERT, be48_load(hello + 5), 2);
    memcpy(out + 1, hello + 1, 2);
    bytes_put_u8(&w, ALERT_FATAL);
    bytes_put_u8(&w, description);
    (void)udp_send(d->udp, path, out, sizeof out);
}

/* Connection IDs are random: the only way to a session of a device that moved, so also never guessable. */
static void new_cid(const struct dtls *d, uint8_t cid[SESSION_CID_BYTES])
{
    do {
        random_bytes(cid, SESSION_CID_BYTES);
        dtls_cid_mark(d, cid);
    } while (session_table_find_id(&d->sessions, be64_load(cid)));
}

static void start(struct dtls *d, const struct net_path *path, const struct client_hello *hello,
                  enum session_profile profile, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    uint8_t cid[SESSION_CID_BYTES];
    new_cid(d, cid);
    struct handshake *h = handshake_new(d->shared, hello, profile, path, cid, d->deadlines, now_ms);
    h->owner = d;
    h->send = send_datagram;
    h->on_retransmit = on_retransmit;
    HASH_ADD_KEYPTR(by_peer, d->handshakes, h->path.peer_ip, NET_PEER_BYTES, h);
    deadline_set(d->deadlines, &h->give_up, now_ms + d->settings.handshake_timeout_ms, on_give_up);
    feed_now(d, h, data, data_len, now_ms);
}

static void release_place(struct dtls *d, const struct net_path *path)
{
    fair_share_release(&d->share, net_path_network(path));
    d->in_flight_gauge->value = d->share.in_flight;
}

/* Takes a place for it, and lets it wait for its turn. */
static void on_proved_hello(struct dtls *d, const struct net_path *path, const struct client_hello *hello,
                            const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    enum session_profile profile;
    enum handshake_outcome outcome = client_hello_profile(hello, &profile);
    if (outcome != HANDSHAKE_OK) {
        send_plain_alert(d, path, data,
                         outcome == HANDSHAKE_UNSUPPORTED_VERSION ? ALERT_PROTOCOL_VERSION
                                                                  : ALERT_HANDSHAKE_FAILURE);
        report_early(d, path, outcome, "");
        return;
    }
    if (!fair_share_take(&d->share, net_path_network(path), now_ms)) {
        dtls_refuse(d, DTLS_REFUSED_RATE_LIMITED);
        report_early(d, path, HANDSHAKE_RATE_LIMITED, session_profile_name(profile));
        return;
    }
    if (d->share.in_flight > d->most_in_flight)
        d->most_in_flight = d->share.in_flight;
    d->in_flight_gauge->value = d->share.in_flight;
    if (!handshake_queue_push_hello(&d->queue, path, hello->random, data, data_len, now_ms))
        release_place(d, path);
}

/* True: it repeats what waits already, or what is going on. What this peer began before is over otherwise. */
static bool repeats(struct dtls *d, const struct net_path *path, const struct client_hello *hello,
                    const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    struct handshake *h = dtls_find_handshake(d, path);
    if (h && memcmp(h->client_random, hello->random, sizeof h->client_random) == 0) {
        if (in_flight(h))
            dtls_feed(d, h, data, data_len, now_ms); /* sent again: our flight was lost */
        return true;
    }
    if (h && in_flight(h)) {
        if (!fair_share_may_spoil(&d->share, h->network, now_ms)) {
            dtls_refuse(d, DTLS_REFUSED_RATE_LIMITED);
            return true;
        }
        handshake_expire(h); /* the client at this proved address has begun anew */
        report_end(d, h, now_ms);
    }
    if (h)
        dtls_drop_handshake(d, h);
    struct handshake_datagram *waiting = handshake_queue_find_hello(&d->queue, path);
    if (!waiting)
        return false;
    if (memcmp(waiting->client_random, hello->random, sizeof waiting->client_random) == 0) {
        d->queue.repeated->value++;
        return true;
    }
    handshake_queue_drop_hello(&d->queue, waiting);
    release_place(d, path);
    return false;
}

static void on_client_hello(struct dtls *d, const struct net_path *path, const uint8_t *data, size_t data_len,
                            uint64_t now_ms)
{
    struct client_hello hello;
    if (!client_hello_parse(&hello, data, data_len)) {
        dtls_refuse(d, DTLS_REFUSED_BAD_CLIENT_HELLO);
        return;
    }
    if (!cookie_check(&d->cookies, path, hello.random, clock_wall_ms(), hello.cookie, hello.cookie_len)) {
        dtls_refuse(d, hello.cookie_len == 0 ? DTLS_REFUSED_NO_COOKIE : DTLS_REFUSED_BAD_COOKIE);
        send_hello_verify(d, path, &hello, be48_load(data + 5));
        if (cookie_watch_sent(&d->watch, path, now_ms))
            report_early(d, path, HANDSHAKE_NO_COOKIE_RETURN, "");
        return;
    }
    cookie_watch_returned(&d->watch, path);
    if (!repeats(d, path, &hello, data, data_len, now_ms))
        on_proved_hello(d, path, &hello, data, data_len, now_ms);
}

/* A flight of a complete handshake sent again: its Finished, in epoch 1, may follow the plain records. */
static void find_protected_part(struct dtls *d, const struct net_path *path, uint8_t *data, size_t data_len,
                                uint64_t now_ms)
{
    while (data_len >= RECORD_HEADER_BYTES && be16_load(data + 3) == 0) {
        size_t len = RECORD_HEADER_BYTES + (size_t)be16_load(data + 11);
        if (len > data_len)
            return;
        data += len;
        data_len -= len;
    }
    if (data_len >= RECORD_HEADER_BYTES)
        dtls_receive_protected(d, path, data, data_len, now_ms);
}

void dtls_receive_plain(struct dtls *d, const struct net_path *path, uint8_t *data, size_t data_len,
                        uint64_t now_ms)
{
    if (data[0] == RECORD_HANDSHAKE && data_len > RECORD_HEADER_BYTES && data[RECORD_HEADER_BYTES] == 1) {
        on_client_hello(d, path, data, data_len, now_ms);
        return;
    }
    struct handshake *h = dtls_find_handshake(d, path);
    if (!h)
        dtls_refuse(d, DTLS_REFUSED_STRAY_HANDSHAKE);
    else if (in_flight(h))
        dtls_feed(d, h, data, data_len, now_ms);
    else
        find_protected_part(d, path, data, data_len, now_ms);
}

/* --- what waited for its turn --- */

static void begin(struct dtls *d, const struct handshake_datagram *e, uint64_t now_ms)
{
    struct client_hello hello;
    enum session_profile profile;
    must(client_hello_parse(&hello, e->data, e->data_len) &&
         client_hello_profile(&hello, &profile) == HANDSHAKE_OK); /* as when it came */
    start(d, &e->path, &hello, profile, e->data, e->data_len, now_ms);
}

static void go_on(struct dtls *d, struct handshake *h, struct handshake_datagram *e, uint64_t now_ms)
{
    if (in_flight(h))
        feed_now(d, h, e->data, e->data_len, now_ms);
    else
        find_protected_part(d, &e->path, e->data, e->data_len, now_ms);
}

bool dtls_work(void *ctx)
{
    struct dtls *d = ctx;
    uint64_t began_ms = clock_ms(), now_ms = began_ms;
    struct handshake *h;
    struct handshake_datagram *e;
    if (handshake_queue_is_empty(&d->queue))
        return false;
    while (now_ms < began_ms + WORK_MS && (e = handshake_queue_pop(&d->queue, &h)) != NULL) {
        if (h)
            go_on(d, h, e, now_ms);
        else
            begin(d, e, now_ms);
        free(e);
        now_ms = clock_ms();
    }
    handshake_queue_observe(&d->queue, now_ms);
    return !handshake_queue_is_empty(&d->queue);
}
