/* swarm_load.h: clients of a measurement, each with one thing under way at a time.
 *
 *   CONNECTING -> WAITING (for an answer) -> IDLE -> WAITING ...
 *
 * handshakes: handshake, one exchange (or none), close_notify, again. exchanges and sessions: all clients
 * handshake and exchange once, a few at a time; then sessions take turns with exchanges, or stay as they are.
 *
 * Ownership: memory of the caller; swarm_load_deinit leaves nothing behind. ready() comes once, from the
 * loop, when every client has its session; never for handshakes. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_LOAD_H
#define CYAN_LOADTEST_SWARM_LOAD_H

#include "swarm_loop.h"
#include "swarm_models.h"

enum swarm_load_kind { SWARM_LOAD_HANDSHAKES, SWARM_LOAD_EXCHANGES, SWARM_LOAD_SESSIONS };
enum swarm_load_exchange { SWARM_LOAD_GET, SWARM_LOAD_PING, SWARM_LOAD_HELLO, SWARM_LOAD_NONE };
enum swarm_load_state { SWARM_LOAD_CONNECTING, SWARM_LOAD_IDLE, SWARM_LOAD_WAITING };

struct swarm_load;
struct swarm_load_client {
    struct deadline watchdog; /* must stay first */
    struct swarm_session session;
    struct swarm_credentials credentials;
    struct swarm_load *load;
    const struct swarm_model *model; /* borrowed: outlives this; NULL with --identity */
    uint16_t mid;
    uint8_t state; /* enum swarm_load_state */
    bool greeted;  /* this session has had its first exchange */
    bool counted;  /* among up_count */
};

struct swarm_load {
    struct swarm_loop *loop;           /* borrowed: outlives this */
    struct swarm_load_client *clients; /* ours */
    const char *path;                  /* of SWARM_LOAD_GET */
    void (*ready)(void *owner);
    void *owner;
    uint64_t handshake_count, exchange_count, error_count;
    uint32_t client_count, up_count;
    uint32_t in_flight; /* handshakes at once while sessions are set up */
    uint32_t started;   /* clients that have begun */
    uint32_t turn;      /* the session that exchanges next */
    enum swarm_load_kind kind;
    enum swarm_load_exchange exchange;
};

/* The rest of l is set already. Clients get credentials and model before the start. */
void swarm_load_init(struct swarm_load *l);
void swarm_load_start(struct swarm_load *l);
/* After ready(): exchanges go on without end, so many under way. */
void swarm_load_exchange(struct swarm_load *l, uint32_t under_way);
void swarm_load_deinit(struct swarm_load *l);

#endif
