#include "fleet/reach.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fleet/reach_inner.h"

#define PAUSE_FIRST_MS 50
#define PAUSE_MAX_MS 1000
#define LOOK_AT_NODE_MS 500 /* whether the node that was asked still lives */
/* So often in a row the node that holds the session may say that the device is not there: it may be on its
 * way in. After that it is believed. */
#define ABSENCES_MAX 4

enum inquiry_state { HERE, LOOKING, THERE, PAUSED, KNOWN, TOLD, STATE_COUNT };

struct inquiry {
    UT_hash_handle hh;
    struct reach *reach;
    uint64_t number;
    struct device_id id;
    struct reach_question question; /* its texts are ours */
    struct reach_here here;
    struct deadline end, next;
    reach_done_fn *done;
    void *arg;
    uint64_t until_ms;
    uint32_t pause_ms, node, absences;
    uint8_t state; /* enum inquiry_state */
    uint8_t known; /* enum device_ask, of KNOWN */
    bool awaited;  /* a room below will still call back */
    bool gone;     /* when it was last looked for, it was not there */
};

static const bool may_enter[STATE_COUNT][STATE_COUNT] = {
    [HERE] = {[PAUSED] = true, [KNOWN] = true, [TOLD] = true},
    [LOOKING] = {[HERE] = true, [THERE] = true, [PAUSED] = true, [TOLD] = true},
    [THERE] = {[PAUSED] = true, [TOLD] = true},
    [PAUSED] = {[HERE] = true, [LOOKING] = true, [TOLD] = true},
    [KNOWN] = {[TOLD] = true},
};

static void enter(struct inquiry *q, enum inquiry_state state)
{
    must(may_enter[q->state][state]);
    q->state = (uint8_t)state;
}

static void release(struct inquiry *q)
{
    HASH_DEL(q->reach->inquiries, q);
    free((char *)q->question.name);
    free((char *)q->question.argument);
    free(q);
}

static void tell(struct inquiry *q, const struct device_answer *answer)
{
    reach_done_fn *done = q->done;
    void *arg = q->arg;

    enter(q, TOLD);
    deadline_cancel(q->reach->deadlines, &q->end);
    deadline_cancel(q->reach->deadlines, &q->next);
    if (!q->awaited)
        release(q);
    done(arg, answer);
}

static void tell_only(struct inquiry *q, enum device_ask ask)
{
    tell(q, &(struct device_answer){.ask = ask});
}

static void on_end(struct deadline *d, uint64_t now_ms)
{
    struct inquiry *q = (struct inquiry *)((char *)d - offsetof(struct inquiry, end));

    (void)now_ms;
    tell_only(q, q->gone ? DEVICE_NOT_CONNECTED : DEVICE_NO_ANSWER);
}

static void look(struct inquiry *q);

static void on_next(struct deadline *d, uint64_t now_ms);

static void plan(struct inquiry *q, uint32_t in_ms)
{
    deadline_set(q->reach->deadlines, &q->next, clock_ms() + in_ms, on_next);
}

static void pause_inquiry(struct inquiry *q)
{
    enter(q, PAUSED);
    plan(q, q->pause_ms);
    q->pause_ms = q->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : q->pause_ms * 2;
}

/* It should be there and is not. */
static void note_absence(struct inquiry *q)
{
    q->gone = true;
    if (++q->absences >= ABSENCES_MAX)
        tell_only(q, DEVICE_NOT_CONNECTED);
    else
        pause_inquiry(q);
}

/* Never again once it may have reached the device. */
static bool is_once(const struct inquiry *q)
{
    return q->question.kind == REACH_CALL;
}

/* The device, or the other node, has answered. */
static void settle(struct inquiry *q, const struct device_answer *answer)
{
    struct device_answer gone = *answer;

    if (answer->ask != DEVICE_MOVED && answer->ask != DEVICE_NOT_CONNECTED) {
        tell(q, answer);
    } else if (q->reach->sessions == NULL || q->reach->stopped) {
        gone.ask = DEVICE_NOT_CONNECTED;
        tell(q, &gone);
    } else if (is_once(q) && answer->sent) {
        gone.ask = DEVICE_NO_ANSWER;
        tell(q, &gone);
    } else if (answer->ask == DEVICE_NOT_CONNECTED) {
        note_absence(q);
    } else {
        q->gone = true;
        pause_inquiry(q);
    }
}

/* --- here --- */

static void on_here(void *arg, const struct device_answer *answer)
{
    struct inquiry *q = arg;

    q->awaited = false;
    if (q->state == TOLD)
        release(q);
    else
        settle(q, answer);
}

static uint32_t time_left_ms(const struct inquiry *q)
{
    uint64_t now_ms = clock_ms();

    return q->until_ms > now_ms ? (uint32_t)(q->until_ms - now_ms) : 1;
}

static bool ask_here(struct inquiry *q)
{
    struct device *device = devices_find(q->reach->devices, &q->id);

    if (device == NULL)
        return false;
    q->gone = false;
    q->awaited = true;
    q->reach->here->value++;
    reach_here_ask(&q->here, device, &q->question, time_left_ms(q), on_here, q);
    return true;
}

/* --- on another node --- */

static void ask_there(struct inquiry *q, uint32_t node)
{
    char *text = reach_message_ask(q->number, &q->id, &q->question, time_left_ms(q));

    if (text == NULL) { /* what is no text cannot be the name of anything */
        tell_only(q, DEVICE_ASK_TOO_LONG);
        return;
    }
    bool sent = nodes_send(q->reach->nodes, node, NODES_ASK, text, strlen(text));
    free(text);
    if (!sent) {
        pause_inquiry(q);
        return;
    }
    enter(q, THERE);
    q->gone = false;
    q->node = node;
    q->reach->there->value++;
    plan(q, LOOK_AT_NODE_MS);
}

static void on_where(void *arg, bool found, bool away, uint32_t node)
{
    struct inquiry *q = arg;

    q->awaited = false;
    if (q->state == TOLD) {
        release(q);
    } else if (away) {
        pause_inquiry(q);
    } else if (!found) {
        tell_only(q, DEVICE_NOT_CONNECTED);
    } else if (node == nodes_id(q->reach->nodes)) {
        if (devices_find(q->reach->devices, &q->id) == NULL) {
            note_absence(q);
            return;
        }
        enter(q, HERE);
        (void)ask_here(q);
    } else if (nodes_is_alive(q->reach->nodes, node)) {
        ask_there(q, node);
    } else {
        q->gone = true;
        pause_inquiry(q);
    }
}

static void on_answer(void *ctx, uint32_t from, const uint8_t *data, size_t data_len)
{
    struct reach *reach = ctx;
    struct inquiry *q;
    struct device_answer answer;
    uint8_t room[DEVICE_VARIABLE_MAX];
    uint64_t number;

    if (!reach_message_read_answer(&number, &answer, room, data, data_len)) {
        reach->malformed->value++;
        return;
    }
    HASH_FIND(hh, reach->inquiries, &number, sizeof(number), q);
    if (q != NULL && q->state == THERE && q->node == from) /* else it is late */
        settle(q, &answer);
}

/* The node that was asked may have died with the answer. */
static void look_at_node(struct inquiry *q)
{
    if (nodes_is_alive(q->reach->nodes, q->node)) {
        plan(q, LOOK_AT_NODE_MS);
    } else if (is_once(q)) {
        tell(q, &(struct device_answer){.ask = DEVICE_NO_ANSWER, .sent = true});
    } else {
        q->gone = true;
        pause_inquiry(q);
    }
}

static void on_next(struct deadline *d, uint64_t now_ms)
{
    struct inquiry *q = (struct inquiry *)((char *)d - offsetof(struct inquiry, next));

    (void)now_ms;
    switch ((enum inquiry_state)q->state) {
    case PAUSED:
        look(q);
        return;
    case THERE:
        look_at_node(q);
        return;
    case KNOWN:
        tell_only(q, (enum device_ask)q->known);
        return;
    case HERE:
    case LOOKING:
    case TOLD:
    case STATE_COUNT:
        must(false);
    }
}

static void look(struct inquiry *q)
{
    if (devices_find(q->reach->devices, &q->id) != NULL) {
        enter(q, HERE);
        (void)ask_here(q);
        return;
    }
    enter(q, LOOKING);
    q->awaited = true;
    session_store_where(q->reach->sessions, q->id.bytes, on_where, q);
}

/* --- asking --- */

static void know(struct inquiry *q, enum device_ask known)
{
    q->state = KNOWN;
    q->known = (uint8_t)known;
    plan(q, 0);
}

static struct inquiry *inquiry_new(struct reach *reach, const struct device_id *id,
                                   const struct reach_question *question, reach_done_fn *done, void *arg)
{
    struct inquiry *q = mem_alloc(sizeof(*q));

    q->reach = reach;
    q->number = reach->next_number++ % REACH_NUMBER_MAX;
    q->id = *id;
    q->question = *question;
    q->question.name = question->name != NULL ? mem_string(question->name) : NULL;
    q->question.argument = question->argument != NULL ? mem_string(question->argument) : NULL;
    q->done = done;
    q->arg = arg;
    q->pause_ms = PAUSE_FIRST_MS;
    q->until_ms = clock_ms() + question->timeout_ms;
    q->state = PAUSED;
    HASH_ADD(hh, reach->inquiries, number, sizeof(q->number), q);
    return q;
}

void reach_ask(struct reach *reach, const struct device_id *id, const struct reach_question *question,
               reach_done_fn *done, void *arg)
{
    must(question->kind < REACH_KIND_COUNT && question->timeout_ms > 0 &&
         question->timeout_ms <= REACH_TIMEOUT_MAX_MS);
    size_t under_way = HASH_CNT(hh, reach->inquiries);
    struct inquiry *q = inquiry_new(reach, id, question, done, arg);

    if (reach->stopped || under_way >= REACH_ASKED_MAX) {
        know(q, DEVICE_ASK_BUSY);
        return;
    }
    if (reach->sessions == NULL && devices_find(reach->devices, id) == NULL) {
        know(q, DEVICE_NOT_CONNECTED);
        return;
    }
    deadline_set(reach->deadlines, &q->end, q->until_ms, on_end);
    look(q);
}

static uint64_t first_number(void)
{
    uint64_t number = 0;

    /* No secret: it only keeps late answers to an earlier process from being taken for ours. */
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
        number = clock_wall_ms() << 20;
    return number % REACH_NUMBER_MAX;
}

struct reach *reach_new(struct deadlines *deadlines, struct metrics *metrics)
{
    struct reach *reach = mem_alloc(sizeof(*reach));
    const char *help = "Questions put to devices by where these were.";

    reach->deadlines = deadlines;
    reach->next_number = first_number();
    reach->here = metrics_add(metrics, METRIC_COUNTER, "cyan_questions_total", "where=\"here\"", help);
    reach->there = metrics_add(metrics, METRIC_COUNTER, "cyan_questions_total", "where=\"other_node\"", help);
    reach->served_total = metrics_add(metrics, METRIC_COUNTER, "cyan_questions_served_total", NULL,
                                      "Questions of other nodes put to devices of this one.");
    reach->malformed = metrics_add(metrics, METRIC_COUNTER, "cyan_node_messages_malformed_total", NULL,
                                   "Messages of other nodes that could not be read.");
    return reach;
}

void reach_set_devices(struct reach *reach, struct devices *devices)
{
    reach->devices = devices;
}

void reach_set_nodes(struct reach *reach, struct nodes *nodes, struct session_store *sessions)
{
    reach->nodes = nodes;
    reach->sessions = sessions;
    nodes_on(nodes, NODES_ASK, reach_serve_ask, reach);
    nodes_on(nodes, NODES_ANSWER, on_answer, reach);
    nodes_on(nodes, NODES_REVOKE, reach_revoke_receive, reach);
}

void reach_stop(struct reach *reach)
{
    struct inquiry *q, *next;

    reach->stopped = true;
    deadline_cancel(reach->deadlines, &reach->revoke);
    HASH_ITER (hh, reach->inquiries, q, next) {
        if (q->state != TOLD)
            tell_only(q, DEVICE_NO_ANSWER);
    }
}

void reach_free(struct reach *reach)
{
    struct inquiry *q, *next;

    HASH_ITER (hh, reach->inquiries, q, next) {
        deadline_cancel(reach->deadlines, &q->end);
        deadline_cancel(reach->deadlines, &q->next);
        release(q);
    }
    reach_serve_free(reach);
    reach_revoke_free(reach);
    free(reach);
}
