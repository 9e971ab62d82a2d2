/* The DTLS endpoint before anything is authenticated: a sequence of datagrams, each a two-byte length, a byte
 * for its sender, and its bytes. Cookies are made valid, so that the fuzzer reaches the handshakes behind
 * them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "handshake/dtls_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

bool udp_fit_path(const struct udp *udp, struct net_path *path)
{
    (void)udp;
    (void)path;
    return true;
}

bool udp_send(struct udp *udp, const struct net_path *path, const uint8_t *data, size_t data_len)
{
    (void)udp;
    (void)path;
    (void)data;
    return data_len > 0;
}

static void on_find_psk(void *ctx, const char *identity, struct dtls_psk_query *query)
{
    (void)ctx;
    dtls_psk_answer(query, (const uint8_t *)"0123456789abcdef", identity[0] == 'u' ? 0 : 16);
}

static void on_established(void *ctx, struct session *s, const struct session_proof *proof)
{
    (void)ctx;
    (void)s;
    (void)proof;
}

static void on_receive(void *ctx, struct session *s, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    (void)ctx;
    (void)now_ms;
    (void)dtls_send(s, data, data_len < 16 ? data_len : 16);
}

static void on_ended(void *ctx, struct session *s, enum session_end why)
{
    (void)ctx;
    (void)s;
    (void)why;
}

static void on_attempted(void *ctx, const struct handshake_attempt *attempt)
{
    (void)ctx;
    (void)attempt;
}

static struct server_key *make_key(void)
{
    char dir[] = "/tmp/cyan-fuzz-XXXXXX", path[64], why[256];
    must(mkdtemp(dir) != NULL && server_key_make(dir, why, sizeof why) == 0);
    struct server_key *key = server_key_load(dir, why, sizeof why);
    (void)snprintf(path, sizeof path, "%s/server_key.pem", dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/server_key.der", dir);
    (void)unlink(path);
    (void)rmdir(dir);
    must(key != NULL);
    return key;
}

/* The fuzzer cannot guess an HMAC: a ClientHello that carries 32 bytes of cookie gets the right ones. */
static void mend_cookie(struct dtls *d, const struct net_path *path, uint8_t *datagram, size_t datagram_len)
{
    struct client_hello hello;
    if (!client_hello_parse(&hello, datagram, datagram_len) || hello.cookie_len != COOKIE_BYTES)
        return;
    cookie_make(&d->cookies, path, hello.random, clock_wall_ms(), datagram + (hello.cookie - datagram));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    static struct server_key *key;
    static const struct dtls_ops ops = {.find_psk = on_find_psk,
                                        .established = on_established,
                                        .receive = on_receive,
                                        .ended = on_ended,
                                        .attempted = on_attempted};
    static const struct dtls_settings settings = {4, 2, 45000, 10, 1000000, ""};
    char why[256];
    log_set_level(LOG_ERROR);
    if (!key)
        key = make_key();
    struct deadlines deadlines;
    struct metrics *metrics = metrics_new();
    deadlines_init(&deadlines);
    struct dtls *d = dtls_new(&settings, key, &deadlines, metrics, &ops, NULL, why, sizeof why);
    must(d != NULL);
    struct bytes_reader r;
    bytes_reader_init(&r, data, data_len);
    uint64_t now_ms = clock_ms();
    while (bytes_left(&r) > 3) {
        uint16_t len = bytes_get_be16(&r);
        struct net_path path = {.peer_port = bytes_get_u8(&r)};
        const uint8_t *datagram = bytes_get(&r, len);
        if (!datagram || len > UDP_DATAGRAM_MAX)
            break;
        uint8_t *copy = malloc(len ? len : 1); /* its own block, so that a read past its end is seen */
        must(copy != NULL);
        memcpy(copy, datagram, len);
        mend_cookie(d, &path, copy, len);
        dtls_receive(d, &path, copy, len, now_ms);
        if (path.peer_port % 2 == 0) /* of the others several wait at once */
            (void)dtls_work(d);
        free(copy);
        now_ms += 700;
        deadlines_run(&deadlines, now_ms);
    }
    dtls_free(d);
    deadlines_deinit(&deadlines);
    metrics_free(metrics);
    return 0;
}
