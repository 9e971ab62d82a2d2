#include "base/clock.h"
#include "device/plain.h"
#include "device/presence.h"
#include "device/pull.h"
#include "device/request.h"
#include "device/update_inner.h"

#define MESSAGE_BYTES_BEFORE_3_0                                                                             \
    800 /* what every system that does not state it takes (device-protocol 2.9) */
#define SERVER_HELLO_TIMEOUT_MS 120000 /* more than all retransmissions take */

struct hello_wait {
    struct device_wait wait; /* first */
    struct hello hello;
};

static void on_server_hello_done(void *arg, enum coap_outcome outcome, const struct coap_message *response,
                                 const uint8_t *body, size_t body_len, uint32_t rtt_ms)
{
    (void)arg; /* lost, it is sent after the next Hello that still has the flag */
    (void)outcome;
    (void)response;
    (void)body;
    (void)body_len;
    (void)rtt_ms;
}

/* Only a Hello of the server's own clears HELLO_UPDATE_APPLIED on the device (device-protocol 4.1). */
static void send_server_hello(struct device *device)
{
    struct coap_request request = {
        .method = COAP_POST,
        .path = {"h"},
        .content_format = UINT16_MAX,
        .max_age_s = UINT32_MAX,
        .ack_is_enough = true,
        .timeout_ms = SERVER_HELLO_TIMEOUT_MS,
    };

    /* False when too much is on its way already: as if lost. */
    (void)!coap_request(&device->peer, &request, on_server_hello_done, device, clock_ms());
}

/* What was true of the session up to here and is stated anew after each Hello (device-protocol 4.2). */
static void begin_anew(struct device *device, const struct hello *hello)
{
    device->system_version = hello->system_version;
    device->peer.max_message_bytes =
        hello->max_message_bytes != 0 ? hello->max_message_bytes : MESSAGE_BYTES_BEFORE_3_0;
    device->hello_flags = hello->flags;
    device->platform_id = hello->platform_id;
    device->chunk_bytes = hello->chunk_bytes;
    device->max_binary_bytes = hello->max_binary_bytes;
    device->hellos++;
}

static void reject(struct device *device, struct device_wait *wait, enum refusal refusal)
{
    bool wrong_key = refusal == REFUSED_KEY_ID_MISMATCH || device->enrol;

    dtls_conclude(device->session, wrong_key ? HANDSHAKE_KEY_ID_MISMATCH : HANDSHAKE_REFUSED_BY_POLICY,
                  "hello");
    wait_refuse(wait, refusal);
    link_refuse(device, SESSION_END_REFUSED);
}

static void welcome(struct device *device, struct device_wait *wait, const struct hello *hello)
{
    if (!link_take_name(device)) {
        reject(device, wait, REFUSED_KEY_ID_MISMATCH);
        return;
    }
    link_conclude(device, "hello");
    device->enrol = false;
    link_forget_proof(device);
    if (device->state == LINK_WAIT_HELLO)
        link_enter(device, LINK_NAMED);
    update_device_is_back(device);
    begin_anew(device, hello);
    dtls_changed(device->session);
    presence_begin(device, false, clock_ms());
    wait_answer(wait, DEVICE_STORED, REFUSED_NOT);
    if (hello->flags & HELLO_UPDATE_APPLIED)
        send_server_hello(device);
    if (!(hello->flags & HELLO_PUSHES_DESCRIBE))
        pull_begin(device, clock_ms());
}

static void on_verdict(struct device *device, struct device_wait *wait, enum device_verdict verdict)
{
    const struct hello_wait *remembered = (const struct hello_wait *)wait;

    switch (verdict) {
    case DEVICE_STORED:
        welcome(device, wait, &remembered->hello);
        return;
    case DEVICE_REJECTED:
    case DEVICE_FULL:
        reject(device, wait, REFUSED_HELLO_REJECTED);
        return;
    case DEVICE_BUSY:
        wait_forget(wait);
        return;
    }
}

/* The key was proved in the handshake; the ID is only claimed until it is known to be that key's
 * (device-protocol 1.1). */
static bool is_its_own(const struct device *device, const struct hello *hello)
{
    return !device->has_id || device_id_equal(&device->id, &hello->id);
}

static void refuse_stranger(const struct device_request *r, const struct device_id *claimed)
{
    char claimed_text[DEVICE_ID_TEXT_SIZE];

    device_id_format(claimed_text, claimed);
    dtls_conclude(r->device->session, HANDSHAKE_KEY_ID_MISMATCH, "hello");
    request_refuse(r, REFUSED_KEY_ID_MISMATCH, claimed_text);
    link_refuse(r->device, SESSION_END_REFUSED);
}

void handle_hello(const struct device_request *r)
{
    struct device *device = r->device;
    struct device_facts facts;
    struct hello hello;

    if (!hello_parse(&hello, r->body, r->body_len)) {
        request_refuse(r, REFUSED_HELLO_MALFORMED, "");
        return;
    }
    device->peer.dialect = COAP_DEVICE_OS;
    if (!hello.has_id && !device->has_id) {
        request_refuse(r, REFUSED_HELLO_WITHOUT_ID, "");
        return;
    }
    if (!hello.has_id) { /* as over TCP, where the handshake names the device */
        hello.id = device->id;
        hello.has_id = true;
    }
    if (!is_its_own(device, &hello)) {
        refuse_stranger(r, &hello.id);
        return;
    }
    plain_leave(device);
    device->id = hello.id; /* from the first Hello on: one key cannot enrol two devices */
    device->has_id = true;
    device->all->hellos->value++;
    link_await_hello(device, r->now_ms);

    const struct session_proof *proof = device->proof;
    struct hello_wait *remembered = request_wait(r, sizeof(*remembered), on_verdict);
    remembered->hello = hello;
    link_fill_facts(device, &facts);
    device->all->ops.hello(device->all->ops.ctx, &facts, &hello, device->enrol,
                           proof != NULL ? proof->spki : NULL, proof != NULL ? proof->spki_len : 0,
                           request_done, remembered);
}
