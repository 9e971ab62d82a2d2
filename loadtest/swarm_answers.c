#include "swarm_answers.h"
#include "base/clock.h"
#include "swarm_device_private.h"
#include "swarm_requests.h"
#include "swarm_talk.h"
#include "swarm_update.h"
#include <stdio.h>
#include <string.h>

static void on_exchange_send(void *owner, const uint8_t *data, size_t data_len)
{
    struct swarm_device *d = owner;

    swarm_session_send(&d->session, data, data_len);
}

static void on_exchange_request(void *owner, const struct swarm_coap_in *in)
{
    swarm_requests_take(owner, in);
}

static void on_disowned(void *owner)
{
    struct swarm_device *d = owner;

    if (!swarm_device_is_deviceos(d)) /* RFC 7252 4.2: of a message long forgotten */
        return;
    swarm_device_error(d, "reset");
    swarm_device_lose(d, "reset");
}

static void on_malformed(void *owner)
{
    swarm_device_error(owner, "malformed_coap");
}

static void on_overanswered(void *owner, uint16_t mid)
{
    struct swarm_device *d = owner;

    d->world->loop.env.replay.counts.unexplained++;
    swarm_device_notice(d, "overanswered", json_pack("{s:i}", "mid", (int)mid));
}

static void on_timed_out(void *owner, const struct swarm_con *con)
{
    struct swarm_device *d = owner;

    d->world->stats.con_timeouts++;
    if (d->state == SWARM_DEVICE_LEAVING || (con->kind & ~SWARM_SETTLING) == SWARM_KIND_GOODBYE)
        return;
    swarm_device_lose(d, swarm_session_lost_by_move(&d->session) ? "silent_after_move" : "unacknowledged");
}

static void on_hello_answer(struct swarm_device *d, const struct swarm_coap_in *in)
{
    char reason[SWARM_REASON_SIZE];

    if (d->state != SWARM_DEVICE_GREETING)
        return;
    if (in->code >= SWARM_COAP_CODE(4, 0)) {
        (void)snprintf(reason, sizeof(reason), "hello_%u.%02u", in->code >> 5U, in->code & 31U);
        swarm_reasons_add(&d->world->stats.refusals, reason);
        swarm_device_notice(d, "failed", json_pack("{s:s}", "reason", reason));
        swarm_session_drop(&d->session);
        swarm_device_went_offline(d, reason);
        return;
    }
    swarm_device_enter(d, SWARM_DEVICE_SETTLING);
    if (d->world->light)
        d->changed = false;
    else
        swarm_talk_introduce(d);
}

static void on_event_answer(struct swarm_device *d, const struct swarm_con *con,
                            const struct swarm_coap_in *in)
{
    struct swarm_stats *stats = &d->world->stats;
    const char *name = con->arg, *data = name + strlen(name) + 1;
    bool taken = in->type == SWARM_ACK && in->code < SWARM_COAP_CODE(3, 0);

    if (!taken) {
        stats->events_rejected++;
        swarm_device_notice(d, "rejected",
                            json_pack("{s:s,s:s,s:i}", "name", name, "data", data, "code", (int)in->code));
        return;
    }
    stats->events_acked++;
    swarm_samples_add(&stats->event_rtt_ms, clock_ms() - con->sent_ms);
    if (d->world->acknowledged)
        d->world->acknowledged(d->world, d, name, data, con->mid);
    swarm_device_notice(d, "acked",
                        json_pack("{s:s,s:s,s:i}", "name", name, "data", data, "mid", (int)con->mid));
}

static void on_pong(struct swarm_device *d, const struct swarm_con *con, const struct swarm_coap_in *in)
{
    bool resumed = d->state == SWARM_DEVICE_RESUMING;

    if (in->type == SWARM_RST && swarm_device_is_deviceos(d)) {
        swarm_device_error(d, "reset");
        swarm_device_lose(d, "reset");
        return;
    }
    d->pinged_ms = 0;
    if (d->world->stats.pongs++ == 0)
        d->world->stats.first_pong_ms = clock_ms();
    swarm_samples_add(&d->world->stats.ping_rtt_ms, clock_ms() - con->sent_ms);
    if (!resumed) {
        swarm_device_set_life(d, swarm_device_keepalive_ms(d));
        return;
    }
    deadline_cancel(&d->world->loop.deadlines, &d->life);
    swarm_device_enter(d, SWARM_DEVICE_SETTLING);
    if (!d->world->light)
        swarm_talk_resumed(d);
}

/* Devices read bytes 6 to 9 of a piggybacked answer blindly (device-protocol 4.12). */
static void on_time_answer(struct swarm_device *d, const struct swarm_con *con,
                           const struct swarm_coap_in *in)
{
    if (in->code != SWARM_COAP_CODE(2, 5) || in->token.len != 1 || in->token.bytes[0] != con->token ||
        in->payload.len != 4 || in->has_format)
        swarm_device_error(d, "time_form");
    else
        d->clock_valid = true;
}

static void on_answered(void *owner, const struct swarm_con *con, const struct swarm_coap_in *in)
{
    struct swarm_device *d = owner;
    unsigned int kind = con->kind & (unsigned int)~SWARM_SETTLING;

    if (in->type == SWARM_ACK)
        swarm_session_acknowledged(&d->session, con->mid);
    if (con->kind & SWARM_SETTLING)
        d->settle_left--;
    if (in->type == SWARM_ACK && in->code == SWARM_COAP_CODE(2, 5) && kind != SWARM_KIND_TIME)
        swarm_device_error(d, "code_2.05_without_time");
    if (kind == SWARM_KIND_PING) {
        on_pong(d, con, in);
        swarm_device_settle(d);
        return;
    }
    if (in->type == SWARM_RST) {
        on_disowned(d);
        return;
    }
    switch (kind) {
    case SWARM_KIND_HELLO:
        on_hello_answer(d, in);
        break;
    case SWARM_KIND_DESCRIBE:
        if (in->code < SWARM_COAP_CODE(4, 0))
            swarm_talk_describe_on(d, con);
        else
            swarm_device_error(d, "describe_refused");
        break;
    case SWARM_KIND_TIME:
        on_time_answer(d, con, in);
        break;
    case SWARM_KIND_EVENT:
        on_event_answer(d, con, in);
        break;
    case SWARM_KIND_GOODBYE:
        swarm_device_set_life(d, 0);
        break;
    case SWARM_KIND_UPDATE_DONE:
    case SWARM_KIND_UPDATE_REFUSED:
        swarm_update_acknowledged(d, kind);
        return;
    default:
        break;
    }
    swarm_device_settle(d);
}
const struct swarm_exchange_ops swarm_answers_ops = {.send = on_exchange_send,
                                                     .answered = on_answered,
                                                     .request = on_exchange_request,
                                                     .disowned = on_disowned,
                                                     .timed_out = on_timed_out,
                                                     .malformed = on_malformed,
                                                     .overanswered = on_overanswered};
