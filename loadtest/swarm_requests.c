#include "swarm_requests.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_app.h"
#include "swarm_reply.h"
#include "swarm_talk.h"
#include "swarm_update.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTENT_FORMAT_SINCE 6200
#define ONE_DESCRIBE_FLAG_SINCE 5500
#define FLAGS_NEEDED_SINCE 3300

static bool piece_is(struct swarm_coap_piece piece, const char *text)
{
    return piece.len == strlen(text) && memcmp(piece.data, text, piece.len) == 0;
}

static void acknowledge(struct swarm_device *d, const struct swarm_coap_in *in, uint8_t code)
{
    swarm_reply_ack(d, in, code, SWARM_NO_PAYLOAD);
}

static void respond(struct swarm_device *d, const struct swarm_coap_in *in, uint8_t code,
                    struct swarm_coap_piece payload)
{
    swarm_reply_separate(d, &in->token, code, payload);
}

/* --- describe --- */

static void pull_forget(struct swarm_device *d)
{
    free(d->pull.payload);
    d->pull.payload = NULL;
}

static bool describe_flags(struct swarm_device *d, const struct swarm_coap_in *in, unsigned int *flags)
{
    uint16_t version = d->model->firmware.system_version;

    if (in->has_query && in->query.len == 1)
        *flags = in->query.data[0];
    else if (in->has_query || version >= FLAGS_NEEDED_SINCE)
        return false;
    else
        *flags = SWARM_DESCRIBE_SYSTEM | SWARM_DESCRIBE_APP;
    if (*flags == (SWARM_DESCRIBE_SYSTEM | SWARM_DESCRIBE_APP))
        return version < ONE_DESCRIBE_FLAG_SINCE;
    return *flags == SWARM_DESCRIBE_SYSTEM || *flags == SWARM_DESCRIBE_APP ||
           *flags == SWARM_DESCRIBE_METRICS;
}

static void respond_describe(struct swarm_device *d, const struct swarm_coap_in *in, uint32_t block,
                             unsigned int szx)
{
    size_t block_bytes = (size_t)16 << szx, start = block * block_bytes;
    bool blockwise = d->pull.len > block_bytes;
    size_t part = blockwise && d->pull.len - start > block_bytes ? block_bytes : d->pull.len - start;
    bool more = start + part < d->pull.len;
    struct swarm_coap_out out;

    swarm_coap_begin(&out, SWARM_CON, SWARM_COAP_CODE(2, 5), swarm_exchange_mid(&d->exchange), &in->token);
    if (blockwise)
        swarm_coap_option(&out, SWARM_OPT_ETAG, &d->etag, 1);
    if (swarm_describe_is_protobuf(d->model, d->pull.flags))
        swarm_coap_uint(&out, SWARM_OPT_FORMAT, 42);
    if (blockwise)
        swarm_coap_uint(&out, SWARM_OPT_BLOCK2, block << 4 | (more ? 8U : 0U) | szx);
    swarm_coap_payload(&out, d->pull.payload + start, part);
    swarm_exchange_confirm(&d->exchange, &out, SWARM_KIND_RESPONSE, NULL);
    d->pull.next = block + 1;
    if (!more)
        pull_forget(d);
}

static void on_describe(struct swarm_device *d, const struct swarm_coap_in *in)
{
    size_t max = swarm_platform_max_message(d->model->platform, d->model->firmware.system_version);
    unsigned int szx = max < 1040 ? 5 : 6, flags;
    uint32_t block = in->has_block2 ? in->block2 >> 4 : 0;

    if (!describe_flags(d, in, &flags)) {
        swarm_device_error(d, "describe_flags");
        acknowledge(d, in, SWARM_COAP_CODE(4, 0));
        return;
    }
    if (in->has_block2 && (in->block2 & 7) != szx) {
        acknowledge(d, in, SWARM_COAP_CODE(4, 2));
        return;
    }
    if (block > 0 && (!d->pull.payload || d->pull.flags != flags || d->pull.next != block)) {
        acknowledge(d, in, SWARM_COAP_CODE(4, 4));
        return;
    }
    acknowledge(d, in, 0);
    if (block == 0) {
        pull_forget(d);
        d->pull.payload = swarm_describe_payload(d->model, flags,
                                                 (uint32_t)((clock_ms() - d->boot_ms) / 1000), &d->pull.len);
        d->pull.flags = flags;
        if (++d->etag == 0)
            d->etag = 1;
    }
    d->changed = d->changed && flags != SWARM_DESCRIBE_SYSTEM;
    respond_describe(d, in, block, szx);
}

/* --- functions and variables --- */

static void respond_result(struct swarm_device *d, const struct swarm_coap_token *token, int32_t result)
{
    uint8_t payload[4];

    be32_store(payload, (uint32_t)result);
    swarm_reply_separate(d, token, SWARM_COAP_CODE(2, 4),
                         (struct swarm_coap_piece){payload, sizeof(payload)});
}

static void on_slow_end(struct deadline *end, uint64_t now_ms)
{
    struct swarm_device *d = (struct swarm_device *)((char *)end - offsetof(struct swarm_device, slow.end));

    (void)now_ms;
    respond_result(d, &d->slow.token, d->slow.result);
}

void swarm_requests_forget(struct swarm_device *d)
{
    pull_forget(d);
    deadline_cancel(&d->world->loop.deadlines, &d->slow.end);
}

/* Applications have one thread: what comes while it is busy must have waited with the server. */
static void check_turn(struct swarm_device *d)
{
    if (deadline_is_set(&d->slow.end))
        swarm_device_error(d, "call_overlaps");
}

static void on_function(struct swarm_device *d, const struct swarm_coap_in *in)
{
    char argument[SWARM_ARGUMENT_MAX + 1] = "";
    int32_t result;

    acknowledge(d, in, 0);
    check_turn(d);
    if (in->path_count != 2 || !in->has_query) { /* always a query, even if empty: device-protocol 4.5 */
        swarm_device_error(d, "function_form");
        return;
    }
    memcpy(argument, in->query.data,
           in->query.len < sizeof(argument) - 1 ? in->query.len : sizeof(argument) - 1);
    d->world->stats.function_calls++;
    if (!swarm_app_call(d, in->path[1], argument, &result))
        return; /* no answer, ever */
    swarm_device_notice(d, "function",
                        json_pack("{s:s%,s:s,s:i}", "name", (const char *)in->path[1].data, in->path[1].len,
                                  "argument", argument, "result", (int)result));
    if (!piece_is(in->path[1], "slow")) {
        respond_result(d, &in->token, result);
        return;
    }
    d->slow.token = in->token;
    d->slow.result = result;
    deadline_set(&d->world->loop.deadlines, &d->slow.end, clock_ms() + (uint64_t)result, on_slow_end);
}

static void on_variable(struct swarm_device *d, const struct swarm_coap_in *in)
{
    struct swarm_value value;

    acknowledge(d, in, 0);
    check_turn(d);
    d->world->stats.variable_reads++;
    if (in->path_count != 2 || !swarm_app_read(d, in->path[1], &value)) {
        respond(d, in, SWARM_COAP_CODE(4, 4), SWARM_NO_PAYLOAD);
        return;
    }
    swarm_device_notice(d, "variable",
                        json_pack("{s:s%,s:i,s:o}", "name", (const char *)in->path[1].data, in->path[1].len,
                                  "read", (int)d->reads, "value", value.json));
    respond(d, in, SWARM_COAP_CODE(2, 5), (struct swarm_coap_piece){value.bytes, value.len});
}

/* --- events --- */

/* Several path options make one name (device-protocol 4.7); cut to fit. */
static void event_name(const struct swarm_coap_in *in, char *out, size_t out_size)
{
    size_t len = 0;

    for (size_t i = 1; i < in->path_count; i++) {
        size_t room = out_size - 1 - len;
        int n = snprintf(out + len, room + 1, "%s%.*s", i > 1 ? "/" : "", (int)in->path[i].len,
                         (const char *)in->path[i].data);

        len += n > 0 && (size_t)n < room ? (size_t)n : room;
    }
    out[len] = 0;
}

static void on_event(struct swarm_device *d, const struct swarm_coap_in *in)
{
    char name[128];
    bool is_true =
        in->payload.len > 0 && in->payload.len <= 4 && memcmp(in->payload.data, "true", in->payload.len) == 0;

    acknowledge(d, in, 0);
    event_name(in, name, sizeof(name));
    d->world->stats.events_received++;
    if (in->has_format && d->model->firmware.system_version < CONTENT_FORMAT_SINCE)
        swarm_device_error(d, "content_format_to_old_system");
    if (strncmp(name, "particle/device/updates/", 24) == 0 && in->payload.len == 0)
        swarm_device_error(d, "empty_update_event"); /* a device would crash: device-trace 5 */
    swarm_device_notice(d, "received",
                        json_pack("{s:s,s:s%}", "name", name, "data",
                                  in->payload.len ? (const char *)in->payload.data : "", in->payload.len));
    if (strcmp(name, "particle/device/updates/forced") == 0) {
        d->forced_updates = is_true;
        swarm_talk_event(d, name, is_true ? "true" : "false", false);
    } else if (strcmp(name, "spark/device/reset") == 0 && piece_is(in->payload, "reboot")) {
        swarm_device_reboot(d);
    }
}

/* --- dispatch --- */

static void on_signal(struct swarm_device *d, const struct swarm_coap_in *in)
{
    if (in->query.len != 1 || in->query.data[0] > 1)
        swarm_device_error(d, "signal_form");
    acknowledge(d, in, SWARM_COAP_CODE(2, 4));
    swarm_device_notice(d, "signal", json_pack("{s:b}", "on", in->query.len == 1 && in->query.data[0] == 1));
}

/* Takes back what Hello says of the update before (device-protocol 4.1). */
static void on_hello(struct swarm_device *d, const struct swarm_coap_in *in)
{
    d->model->update_applied = false;
    acknowledge(d, in, 0);
}

static void on_key_change(struct swarm_device *d, const struct swarm_coap_in *in)
{
    acknowledge(d, in, 0);
    if (in->query.len == 1 && in->query.data[0] == 1)
        swarm_device_reboot(d);
}

/* Rules a device's fixed-offset parsers need (device-protocol 3.1, 3.2 and appendix A). */
static void check_form(struct swarm_device *d, const struct swarm_coap_in *in, uint8_t letter)
{
    if (!in->path_first)
        swarm_device_error(d, "path_letter_not_first");
    if (in->token.len != 1 && letter && strchr("dfvsuSF", letter))
        swarm_device_error(d, "token_length");
}

static void on_request(struct swarm_device *d, const struct swarm_coap_in *in)
{
    uint8_t letter = in->path_count > 0 && in->path[0].len == 1 ? in->path[0].data[0] : 0;

    d->world->stats.server_requests++;
    check_form(d, in, letter);
    if (letter == 'd' && in->code == SWARM_GET)
        on_describe(d, in);
    else if (letter == 'f' && in->code == SWARM_POST)
        on_function(d, in);
    else if (letter == 'v' && in->code == SWARM_GET)
        on_variable(d, in);
    else if ((letter == 'e' || letter == 'E') && in->code == SWARM_POST)
        on_event(d, in);
    else if (letter == 's' && in->code == SWARM_PUT)
        on_signal(d, in);
    else if (letter == 'k' && in->code == SWARM_PUT)
        on_key_change(d, in);
    else if (letter == 'h' && in->code == SWARM_POST)
        on_hello(d, in);
    else if (!swarm_update_take(d, in, letter))
        swarm_device_error(d, "unknown_request");
}

/* After an unclean end the server asks for a sign of life before it acts on anything (handshake.md 5),
 * whatever the device is about. */
static void on_ping(struct swarm_device *d, const struct swarm_coap_in *in)
{
    d->world->stats.server_pings++;
    if (d->state != SWARM_DEVICE_ONLINE && d->state != SWARM_DEVICE_SETTLING) {
        d->world->stats.challenges++;
        swarm_device_notice(d, "challenged", json_pack("{s:s}", "state", swarm_device_state_name(d->state)));
    }
    acknowledge(d, in, 0);
}

void swarm_requests_take(struct swarm_device *d, const struct swarm_coap_in *in)
{
    bool deaf = d->state == SWARM_DEVICE_GREETING; /* dropped on the floor: device-protocol 3.5 */

    if (in->code == 0 && !(deaf && d->world->deaf_greeting)) {
        on_ping(d, in);
        return;
    }
    if (deaf)
        return;
    if (in->code >= SWARM_COAP_CODE(2, 0)) {
        swarm_device_error(d, in->code == SWARM_COAP_CODE(2, 5) ? "code_2.05_not_piggybacked"
                                                                : "unasked_response");
        acknowledge(d, in, 0);
        return;
    }
    on_request(d, in);
}
