/* request.h: one request of a device, from its path to the room's answer. Private to device/.
 *
 * A handler answers at once, or hands a struct device_wait up with the question and is called again with the
 * verdict, unless the session has ended by then. Each verdict comes from the loop, exactly once. */
#ifndef CYAN_DEVICE_REQUEST_H
#define CYAN_DEVICE_REQUEST_H

#include "device/link.h"

/* Valid during the call. */
struct device_request {
    struct device *device;
    struct coap_inbound *in;
    const struct coap_message *m;
    const char *path;
    const uint8_t *body;
    size_t body_len;
    uint64_t now_ms;
};

extern const struct coap_peer_ops request_ops; /* of every struct device's peer */

/* The handlers, one a message. */
typedef void request_handler_fn(const struct device_request *r);
request_handler_fn handle_hello, handle_goodbye, handle_describe, handle_event, handle_subscribe, handle_time,
    handle_well_known, handle_not_implemented, handle_update_ack, handle_update_missed, handle_update_done;

/* Names a message of a Device OS once and for all in its session, also after a restart or on another node. */
uint32_t request_number(const struct device *device, uint16_t mid);

/* To Device OS a non-confirmable request is answered by nothing. */
void request_answer(const struct device_request *r, uint8_t code);
void request_refuse(const struct device_request *r, enum refusal refusal, const char *why);
/* False after having refused: the peer wants a format that is not this. */
must_check bool request_accepts(const struct device_request *r, uint16_t content_format);

typedef void device_verdict_fn(struct device *device, struct device_wait *wait, enum device_verdict verdict);
struct device_wait {
    struct device_wait *prev, *next;
    struct device *device;
    struct coap_inbound *in; /* borrowed; NULL once the session ended */
    device_verdict_fn *on_verdict;
    bool confirmable;
};
/* Puts a wait, embedded as the first member in what the handler has to remember, in place for r. size: of the
 * whole. */
void *request_wait(const struct device_request *r, size_t size, device_verdict_fn *on_verdict);
device_done_fn request_done; /* arg: the wait */
void request_waits_end(struct device *device);

/* What most verdicts come to: an acknowledgement, the refusal, or 5.03. */
void wait_answer(struct device_wait *wait, enum device_verdict verdict, enum refusal rejected);
void wait_refuse(struct device_wait *wait, enum refusal refusal);
/* Nothing was stored and the device would not say it again after any answer: it gets none and sends it again.
 */
void wait_forget(struct device_wait *wait);

#endif
