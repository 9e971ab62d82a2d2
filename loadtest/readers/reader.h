/* reader.h: one reader of an event stream: connects, asks, takes what comes apart, and notes it.
 *
 *   CONNECTING -> HEAD -> OPEN (`:ok` came) -> ENDED        a stalled one stops reading when it is OPEN
 *
 * Ownership: memory of the caller until closed() has come. Loop thread only. */
#ifndef CYAN_READERS_READER_H
#define CYAN_READERS_READER_H

#include <netinet/in.h>
#include <uv.h>

#include "tally.h"

#define READER_LINE_MAX 8192

enum reader_state { READER_CONNECTING, READER_HEAD, READER_OPEN, READER_ENDED };

struct reader;
struct reader_ops { /* shared by all */
    void *ctx;
    const char *request; /* the whole of it */
    struct sockaddr_in server;
    struct tally_devices *devices;
    void (*opened)(void *ctx, struct reader *r);
    void (*ended)(void *ctx,
                  struct reader *r); /* by the server, or it could not be opened; then closed() follows */
    void (*closed)(void *ctx, struct reader *r);
};
struct reader {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    const struct reader_ops *ops; /* borrowed */
    enum reader_state state;
    bool stalls;  /* reads nothing once it is open */
    bool catches; /* a stalled one that reads again, to see its end */
    bool was_cut; /* by the server, after it was open */
    int status;   /* of HTTP */
    size_t chunk_left;
    int chunk_state;
    size_t line_len;
    char *line; /* ours: the beginning of a line whose end has not come */
    uint64_t bytes;
    struct tally tally;
};

void reader_start(struct reader *r, uv_loop_t *loop, const struct reader_ops *ops, bool stalls);
void reader_catch_up(struct reader *r);
void reader_close(struct reader *r);

#endif
