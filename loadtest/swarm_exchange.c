#include "swarm_exchange.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm_crypto.h"
#include <stdlib.h>
#include <string.h>

#define TRANSMISSIONS_MAX 4
#define SEEN_FOR_MS 45000

void swarm_exchange_init(struct swarm_exchange *e, struct deadlines *deadlines, uint32_t ack_timeout_ms)
{
    memset(e, 0, sizeof(*e));
    e->deadlines = deadlines;
    e->ack_timeout_ms = ack_timeout_ms;
    swarm_random(&e->token, sizeof(e->token)); /* random start per boot: device-protocol 3.2 */
}

static void con_unlink(struct swarm_con *con)
{
    struct swarm_exchange *e = con->exchange;

    if (con->prev)
        con->prev->next = con->next;
    else
        e->cons = con->next;
    if (con->next)
        con->next->prev = con->prev;
    con->prev = con->next = NULL;
    deadline_cancel(e->deadlines, &con->retransmit);
    e->con_count--;
}

static void con_free(struct swarm_con *con)
{
    free(con->arg);
    free(con);
}

void swarm_exchange_reset(struct swarm_exchange *e)
{
    struct swarm_con *next;

    for (struct swarm_con *con = e->cons; con; con = next) {
        next = con->next;
        deadline_cancel(e->deadlines, &con->retransmit);
        con_free(con);
    }
    e->cons = NULL;
    e->con_count = 0;
    for (size_t i = 0; e->seen && i < SWARM_SEEN_MAX; i++)
        free(e->seen[i].long_reply);
    free(e->seen);
    e->seen = NULL;
    e->seen_next = 0;
}

void swarm_exchange_deinit(struct swarm_exchange *e)
{
    swarm_exchange_reset(e);
    swarm_tallies_deinit(&e->tallies);
}

uint16_t swarm_exchange_mid(struct swarm_exchange *e)
{
    return ++e->mid;
}

struct swarm_coap_token swarm_exchange_token(struct swarm_exchange *e)
{
    return (struct swarm_coap_token){.bytes = {++e->token}, .len = 1};
}

/* Base doubles each time; up to half of it comes on top at random (device-protocol 3.4). */
static uint32_t next_wait_ms(const struct swarm_con *con)
{
    uint32_t base = con->exchange->ack_timeout_ms << (con->transmissions - 1);
    uint16_t random;

    swarm_random(&random, sizeof(random));
    return base + (uint32_t)((uint64_t)base * random >> 17);
}

static void on_retransmit(struct deadline *deadline, uint64_t now_ms)
{
    struct swarm_con *con = (struct swarm_con *)(void *)deadline;
    struct swarm_exchange *e = con->exchange;

    if (con->transmissions >= TRANSMISSIONS_MAX) {
        con_unlink(con);
        e->ops->timed_out(e->owner, con);
        con_free(con);
        return;
    }
    con->transmissions++;
    swarm_tally_sent(&e->tallies, con->mid, true, now_ms);
    deadline_set(e->deadlines, &con->retransmit, now_ms + next_wait_ms(con), on_retransmit);
    e->ops->send(e->owner, con->bytes, con->len);
}

void swarm_exchange_confirm(struct swarm_exchange *e, const struct swarm_coap_out *out, uint8_t kind,
                            void *arg)
{
    struct swarm_con *con = mem_alloc(sizeof(*con) + out->len);

    must(!out->bad && out->len >= 4);
    memcpy(con->bytes, out->bytes, out->len);
    con->exchange = e;
    con->len = (uint16_t)out->len;
    con->mid = (uint16_t)(out->bytes[2] << 8 | out->bytes[3]);
    con->token = (out->bytes[0] & 15) == 1 ? out->bytes[4] : 0;
    con->kind = kind;
    con->arg = arg;
    con->sent_ms = clock_ms();
    con->transmissions = 1;
    con->next = e->cons;
    if (con->next)
        con->next->prev = con;
    e->cons = con;
    e->con_count++;
    swarm_tally_sent(&e->tallies, con->mid, false, con->sent_ms);
    deadline_set(e->deadlines, &con->retransmit, con->sent_ms + next_wait_ms(con), on_retransmit);
    e->ops->send(e->owner, con->bytes, con->len);
}

void swarm_exchange_reply(struct swarm_exchange *e, const struct swarm_coap_in *in,
                          const struct swarm_coap_out *out)
{
    struct swarm_seen *seen;

    must(!out->bad);
    if (in->type == SWARM_CON) {
        if (!e->seen)
            e->seen = mem_array(SWARM_SEEN_MAX, sizeof(*e->seen));
        seen = &e->seen[e->seen_next++ % SWARM_SEEN_MAX];
        seen->at_ms = clock_ms();
        seen->mid = in->mid;
        seen->reply_len = (uint16_t)out->len;
        free(seen->long_reply);
        seen->long_reply = NULL;
        if (out->len > sizeof(seen->reply))
            seen->long_reply = mem_copy(out->bytes, out->len);
        else
            memcpy(seen->reply, out->bytes, out->len);
    }
    e->ops->send(e->owner, out->bytes, out->len);
}

void swarm_exchange_tell(struct swarm_exchange *e, const struct swarm_coap_out *out)
{
    must(!out->bad);
    e->ops->send(e->owner, out->bytes, out->len);
}

static const struct swarm_seen *find_seen(const struct swarm_exchange *e, uint16_t mid)
{
    uint64_t now_ms = clock_ms();

    if (!e->seen)
        return NULL;
    for (size_t i = 0; i < SWARM_SEEN_MAX; i++) {
        const struct swarm_seen *seen = &e->seen[i];

        if (seen->reply_len > 0 && seen->mid == mid && now_ms - seen->at_ms < SEEN_FOR_MS)
            return seen;
    }
    return NULL;
}

static struct swarm_con *find_con(const struct swarm_exchange *e, uint16_t mid)
{
    struct swarm_con *con = e->cons;

    while (con && con->mid != mid)
        con = con->next;
    return con;
}

static void on_answer(struct swarm_exchange *e, const struct swarm_coap_in *in)
{
    struct swarm_con *con = find_con(e, in->mid);
    bool fits = swarm_tally_answered(&e->tallies, in->mid);

    if (!con) {
        if (in->type == SWARM_RST)
            e->ops->disowned(e->owner);
        else if (!fits)
            e->ops->overanswered(e->owner, in->mid);
        return; /* an acknowledgement of each transmission is fine */
    }
    con_unlink(con);
    e->ops->answered(e->owner, con, in);
    con_free(con);
}

void swarm_exchange_receive(struct swarm_exchange *e, const uint8_t *data, size_t data_len)
{
    struct swarm_coap_in in;
    const struct swarm_seen *seen;

    if (!swarm_coap_parse(&in, data, data_len)) {
        e->ops->malformed(e->owner);
        return;
    }
    if (in.type == SWARM_ACK || in.type == SWARM_RST) {
        on_answer(e, &in);
        return;
    }
    seen = in.type == SWARM_CON ? find_seen(e, in.mid) : NULL;
    if (seen)
        e->ops->send(e->owner, seen->long_reply ? seen->long_reply : seen->reply, seen->reply_len);
    else
        e->ops->request(e->owner, &in);
}
