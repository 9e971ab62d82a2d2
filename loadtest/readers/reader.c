#include "reader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/must.h"

#define READ_BYTES 262144
#define STALLED_RECEIVE_BYTES 4096
#define TICK "swarm/tick"

enum { CHUNK_SIZE, CHUNK_SIZE_END, CHUNK_DATA, CHUNK_END, CHUNK_END_LF };

static char read_buffer[READ_BYTES]; /* one read at a time */

static void on_closed(uv_handle_t *handle)
{
    struct reader *r = handle->data;

    free(r->line);
    r->line = NULL;
    r->ops->closed(r->ops->ctx, r);
}

void reader_close(struct reader *r)
{
    if (!uv_is_closing((uv_handle_t *)&r->tcp))
        uv_close((uv_handle_t *)&r->tcp, on_closed);
}

static void end(struct reader *r)
{
    if (r->state == READER_ENDED)
        return;
    r->was_cut = r->state == READER_OPEN;
    r->state = READER_ENDED;
    r->ops->ended(r->ops->ctx, r);
    reader_close(r);
}

/* --- lines --- */

/* `data: {"data":"ID:COUNTER",...}`: the data has nothing that JSON escapes. */
static void take_data(struct reader *r, const char *line, size_t len)
{
    static const char head[] = "data: {\"data\":\"";
    const char *data = line + sizeof(head) - 1, *quote;

    if (len <= sizeof(head) || memcmp(line, head, sizeof(head) - 1) != 0)
        return; /* of the system, with null as data */
    quote = memchr(data, '"', len - (sizeof(head) - 1));
    if (quote != NULL && quote - data > TALLY_ID_LEN && data[TALLY_ID_LEN] == ':')
        tally_note(&r->tally, r->ops->devices, data, (size_t)(quote - data));
}

static void take_line(struct reader *r, const char *line, size_t len)
{
    if (len > 6 && line[0] == 'd')
        take_data(r, line, len);
    else if (len == 3 && memcmp(line, ":ok", 3) == 0 && r->state == READER_HEAD) {
        r->state = READER_OPEN;
        if (r->stalls)
            (void)uv_read_stop((uv_stream_t *)&r->tcp);
        r->ops->opened(r->ops->ctx, r);
    }
}

static void keep(struct reader *r, const char *data, size_t len)
{
    if (r->line == NULL)
        r->line = mem_alloc(READER_LINE_MAX);
    if (r->line_len + len > READER_LINE_MAX) /* no server of ours says such a line */
        len = READER_LINE_MAX - r->line_len;
    memcpy(r->line + r->line_len, data, len);
    r->line_len += len;
}

static void take_text(struct reader *r, const char *data, size_t len)
{
    const char *at = data, *stop = data + len, *newline;

    if (r->catches)
        return;
    while (at < stop && (newline = memchr(at, '\n', (size_t)(stop - at))) != NULL) {
        if (r->line_len > 0) {
            keep(r, at, (size_t)(newline - at));
            take_line(r, r->line, r->line_len);
            r->line_len = 0;
        } else {
            take_line(r, at, (size_t)(newline - at));
        }
        at = newline + 1;
    }
    if (at < stop)
        keep(r, at, (size_t)(stop - at));
}

/* --- chunks --- */

static int hex_of(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* One byte of what is around chunks; false: the body is over. */
static bool take_frame(struct reader *r, char byte)
{
    int digit = hex_of(byte);

    switch (r->chunk_state) {
    case CHUNK_SIZE:
        if (digit >= 0)
            r->chunk_left = 16 * r->chunk_left + (size_t)digit;
        else
            r->chunk_state = CHUNK_SIZE_END;
        return true;
    case CHUNK_SIZE_END:
        if (r->chunk_left == 0)
            return false;
        r->chunk_state = CHUNK_DATA;
        return true;
    case CHUNK_END:
        r->chunk_state = CHUNK_END_LF;
        return true;
    default:
        r->chunk_state = CHUNK_SIZE;
        return true;
    }
}

/* False: the body is over. */
static bool take_body(struct reader *r, const char *data, size_t len)
{
    while (len > 0) {
        size_t piece = 1;
        if (r->chunk_state == CHUNK_DATA) {
            piece = len < r->chunk_left ? len : r->chunk_left;
            take_text(r, data, piece);
            r->chunk_left -= piece;
            if (r->chunk_left == 0)
                r->chunk_state = CHUNK_END;
        } else if (!take_frame(r, *data)) {
            return false;
        }
        data += piece;
        len -= piece;
    }
    return true;
}

/* The head comes in one piece or in few: it is kept until its end is there. False: it is no stream. */
static bool take_head(struct reader *r, const char *data, size_t len)
{
    char *body;
    size_t head_len;

    keep(r, data, len);
    body = memmem(r->line, r->line_len, "\r\n\r\n", 4);
    if (body == NULL)
        return r->line_len < READER_LINE_MAX;
    if (r->line_len > 12)
        r->status = atoi(r->line + 9);
    if (r->status != 200)
        return false;
    head_len = (size_t)(body + 4 - r->line);
    size_t rest_len = r->line_len - head_len;
    char *rest = mem_alloc(rest_len + 1);
    memcpy(rest, r->line + head_len, rest_len);
    r->line_len = 0;
    r->state = READER_HEAD;
    bool goes_on = take_body(r, rest, rest_len);
    free(rest);
    return goes_on;
}

/* --- libuv --- */

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)handle;
    (void)size;
    *buf = uv_buf_init(read_buffer, sizeof(read_buffer));
}

static void on_read(uv_stream_t *tcp, ssize_t len, const uv_buf_t *buf)
{
    struct reader *r = tcp->data;
    bool goes_on;

    if (len == 0)
        return;
    if (len < 0) {
        end(r);
        return;
    }
    r->bytes += (uint64_t)len;
    goes_on = r->status == 0 ? take_head(r, buf->base, (size_t)len) : take_body(r, buf->base, (size_t)len);
    if (!goes_on)
        end(r);
}

static void on_connected(uv_connect_t *connect, int err)
{
    struct reader *r = connect->data;
    uv_buf_t buf = uv_buf_init((char *)r->ops->request, (unsigned)strlen(r->ops->request));

    if (err != 0 || uv_write(&r->write, (uv_stream_t *)&r->tcp, &buf, 1, NULL) != 0 ||
        uv_read_start((uv_stream_t *)&r->tcp, on_alloc, on_read) != 0)
        end(r);
}

void reader_start(struct reader *r, uv_loop_t *loop, const struct reader_ops *ops, bool stalls)
{
    int receive_bytes = STALLED_RECEIVE_BYTES;

    r->ops = ops;
    r->stalls = stalls;
    r->state = READER_CONNECTING;
    must(uv_tcp_init_ex(loop, &r->tcp, AF_INET) == 0);
    r->tcp.data = r->connect.data = r;
    if (stalls)
        (void)uv_recv_buffer_size((uv_handle_t *)&r->tcp, &receive_bytes);
    if (uv_tcp_connect(&r->connect, &r->tcp, (const struct sockaddr *)&ops->server, on_connected) != 0)
        end(r);
}

void reader_catch_up(struct reader *r)
{
    r->catches = true;
    if (r->state == READER_OPEN)
        (void)uv_read_start((uv_stream_t *)&r->tcp, on_alloc, on_read);
}
