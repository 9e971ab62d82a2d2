/* fake_nodes.h: the other nodes as a test of the fleet room has them: which of them live, and what was sent
 * to them. Included by one .c file of a test program, whose symbols these are. */
#ifndef CYAN_TESTS_FAKE_NODES_H
#define CYAN_TESTS_FAKE_NODES_H

#include <stdio.h>
#include <string.h>

#include "handshake/session_store.h"
#include "store/nodes.h"

#define FAKE_NODES_ME 3

struct nodes {
    bool alive[NODES_MAX], forgotten[NODES_MAX], is_away;
    unsigned sent, forgets;
    enum nodes_topic topic; /* of the newest message, with its text */
    char text[NODES_MESSAGE_MAX + 1];
    struct {
        nodes_receive_fn *fn;
        void *ctx;
    } receivers[128];
};
struct session_store {
    int unused;
};

static struct nodes fake_nodes;
static struct session_store fake_sessions;

uint32_t nodes_id(const struct nodes *n)
{
    (void)n;
    return FAKE_NODES_ME;
}
bool nodes_is_alive(const struct nodes *n, uint32_t id)
{
    return id == FAKE_NODES_ME || n->alive[id];
}
void nodes_forget(struct nodes *n, uint32_t id)
{
    n->forgotten[id] = true;
    n->forgets++;
}
void nodes_on(struct nodes *n, enum nodes_topic topic, nodes_receive_fn *fn, void *ctx)
{
    n->receivers[topic].fn = fn;
    n->receivers[topic].ctx = ctx;
}
bool nodes_send_all(struct nodes *n, enum nodes_topic topic, const void *data, size_t data_len)
{
    if (n->is_away || data_len > NODES_MESSAGE_MAX)
        return false;
    n->sent++;
    n->topic = topic;
    memcpy(n->text, data, data_len);
    n->text[data_len] = '\0';
    return true;
}
bool nodes_send(struct nodes *n, uint32_t to, enum nodes_topic topic, const void *data, size_t data_len)
{
    (void)to;
    return nodes_send_all(n, topic, data, data_len);
}
void nodes_list(struct nodes *n, nodes_list_fn *done, void *arg)
{
    (void)n;
    done(arg, false, NULL, 0);
}
void session_store_where(struct session_store *st, const uint8_t name[SESSION_NAME_BYTES],
                         session_where_fn *done, void *arg)
{
    (void)st;
    (void)name;
    (void)done;
    (void)arg;
}

#endif
