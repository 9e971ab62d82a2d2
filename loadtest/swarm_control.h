/* swarm_control.h: --control: commands as JSON lines on stdin, notices as JSON lines on stdout.
 *
 * Ownership: swarm_control_start gives; swarm_control_close ends it and frees when the loop has let go.
 * command() gets each line that is a JSON object; ended() comes when stdin has ended. */
#ifndef CYAN_LOADTEST_SWARM_CONTROL_H
#define CYAN_LOADTEST_SWARM_CONTROL_H

#include <jansson.h>
#include <uv.h>

struct swarm_control;
struct swarm_control_ops {
    void (*command)(void *owner, json_t *command); /* borrowed */
    void (*ended)(void *owner);
};
struct swarm_control *swarm_control_start(uv_loop_t *loop, const struct swarm_control_ops *ops, void *owner);
void swarm_control_close(struct swarm_control *control);
/* Writes one line to stdout, flushed; takes the reference. */
void swarm_control_print(json_t *line);

#endif
