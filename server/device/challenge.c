#include "device/challenge.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "device/restore.h"

#define CHALLENGE_TIMEOUT_MS 60000 /* more than all retransmissions of the ping take */

static void on_pong(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                    const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    struct device *device = arg;

    (void)outcome; /* of one that was not answered the next record begins another */
    (void)response;
    (void)body;
    (void)body_len;
    (void)rtt_ms;
    device->is_challenging = false;
}

static void ping(struct device *device)
{
    if (device->is_challenging)
        return;
    device->is_challenging = true;
    device->challenge_mid = device->peer.next_mid;
    coap_ping(&device->peer, CHALLENGE_TIMEOUT_MS, on_pong, device, clock_ms());
}

/* An empty ACK, or the RST with which RFC 7252 4.3 answers a ping. */
static bool is_answer(const struct device *device, const uint8_t *data, size_t data_len)
{
    unsigned type = data_len >= 4 ? data[0] >> 4 & 3 : 0;

    return device->is_challenging && (type == COAP_ACK || type == COAP_RST) && data[1] == COAP_EMPTY &&
           be16_load(data + 2) == device->challenge_mid;
}

/* POST /h, the path as devices encode it (device-protocol 3.1). */
static bool is_hello(const struct device *device, const uint8_t *data, size_t data_len)
{
    size_t token_len = data_len >= 4 ? data[0] & 15u : 0;

    return device->peer.dialect == COAP_DEVICE_OS && data_len >= 6 + token_len &&
           (data[0] >> 4 & 3) == COAP_CON && data[1] == COAP_POST && data[4 + token_len] == 0xb1 &&
           data[5 + token_len] == 'h';
}

void challenge_receive(struct device *device, const uint8_t *data, size_t data_len, uint64_t now_ms)
{
    if (is_answer(device, data, data_len)) {
        dtls_prove(device->session);
        restore_go_on(device);
        link_take(device, data, data_len, now_ms);
    } else if (is_hello(device, data, data_len)) {
        coap_peer_receive(&device->peer, data, data_len, now_ms);
    } else {
        ping(device);
    }
}
