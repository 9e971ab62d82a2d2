/* reach_inner.h: struct reach as the reach*.c files share it. Private to them. */
#ifndef CYAN_FLEET_REACH_INNER_H
#define CYAN_FLEET_REACH_INNER_H

#include "fleet/reach.h"
#include "fleet/reach_message.h"
#include "handshake/session_store.h"

struct inquiry;
struct served;
struct revocation;

struct reach {
    struct deadlines *deadlines;
    struct devices *devices; /* NULL until reach_set_devices */
    struct nodes *nodes;     /* NULL: purely local, as sessions */
    struct session_store *sessions;
    struct inquiry *inquiries;      /* ours: uthash by number */
    struct served *served;          /* ours */
    struct revocation *revocations; /* ours: not sent yet, oldest first */
    size_t served_count, revocation_count;
    uint64_t next_number;
    struct deadline revoke; /* sends again */
    struct metric *here, *there, *served_total, *malformed;
    bool stopped;
};

/* A question to a device that is here: all kinds answered in one way. Embedded in whoever waits for it. */
struct reach_here {
    device_answer_fn *done;
    void *arg;
};
void reach_here_ask(struct reach_here *here, struct device *device, const struct reach_question *question,
                    uint32_t timeout_ms, device_answer_fn *done, void *arg);

/* For other nodes: reach_serve.c. */
nodes_receive_fn reach_serve_ask;
void reach_serve_free(struct reach *reach);
/* reach_revoke.c */
nodes_receive_fn reach_revoke_receive;
void reach_revoke_free(struct reach *reach);

#endif
