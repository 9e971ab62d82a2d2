#include "swarm_control.h"
#include "base/mem.h"
#include "base/must.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 65536

struct swarm_control {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tty_t tty;
    } in;
    const struct swarm_control_ops *ops;
    void *owner; /* borrowed: outlives this */
    size_t line_len;
    char line[LINE_MAX_BYTES];
    bool closed;
};

void swarm_control_print(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);

    must(text != NULL);
    json_decref(line);
    (void)puts(text);
    (void)fflush(stdout);
    free(text);
}

static void take_line(struct swarm_control *control, const char *line, size_t len)
{
    json_error_t error;
    json_t *command;

    if (len == 0)
        return;
    command = json_loadb(line, len, 0, &error);
    if (json_is_object(command))
        control->ops->command(control->owner, command);
    else
        swarm_control_print(json_pack("{s:s,s:s}", "event", "error", "reason", "not a JSON object"));
    json_decref(command);
}

static void take_lines(struct swarm_control *control)
{
    char *start = control->line, *end;
    size_t left = control->line_len;

    while (!control->closed && (end = memchr(start, '\n', left)) != NULL) {
        size_t len = (size_t)(end - start);

        take_line(control, start, len);
        start = end + 1;
        left -= len + 1;
    }
    memmove(control->line, start, left);
    control->line_len = left;
    if (left == sizeof(control->line)) /* no line is that long: forget it */
        control->line_len = 0;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct swarm_control *control = handle->data;

    (void)suggested;
    buffer->base = control->line + control->line_len;
    buffer->len = sizeof(control->line) - control->line_len;
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buffer)
{
    struct swarm_control *control = stream->data;

    (void)buffer;
    if (len < 0) {
        uv_read_stop(stream);
        control->ops->ended(control->owner);
        return;
    }
    control->line_len += (size_t)len;
    take_lines(control);
}

struct swarm_control *swarm_control_start(uv_loop_t *loop, const struct swarm_control_ops *ops, void *owner)
{
    struct swarm_control *control = mem_alloc(sizeof(*control));
    int err;

    control->ops = ops;
    control->owner = owner;
    if (uv_guess_handle(0) == UV_TTY) {
        err = uv_tty_init(loop, &control->in.tty, 0, 0);
        must(err == 0);
    } else {
        err = uv_pipe_init(loop, &control->in.pipe, 0);
        must(err == 0);
        err = uv_pipe_open(&control->in.pipe, 0);
        must(err == 0);
    }
    control->in.handle.data = control;
    err = uv_read_start(&control->in.stream, on_alloc, on_read);
    must(err == 0);
    return control;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void swarm_control_close(struct swarm_control *control)
{
    control->closed = true;
    uv_close(&control->in.handle, on_closed);
}
