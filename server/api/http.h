/* http.h: libmicrohttpd on the loop: its epoll descriptor in a uv_poll_t, its time-outs in a uv_timer_t, what
 * it has to do at once in a uv_idle_t.
 *
 * MHD_run is called from those only, and once in a turn of the loop, never from inside a handler. Answers
 * that come later resume their connection and call http_wake. Besides libmicrohttpd's own idle time-out a
 * connection that takes longer than HTTP_RECEIVE_MS to bring a whole request is cut. Ownership: made and
 * closed by api.c. Loop thread only. */
#ifndef CYAN_API_HTTP_H
#define CYAN_API_HTTP_H

#include <stdint.h>
#include <uv.h>

#include "api/room.h"

#define HTTP_CONNECTIONS_MAX 1000u /* besides those of event streams */
/* A list of the fleet is followed by one request per connected device, all at once: 500 are 500 connections
 * (rest-api 2). */
#define HTTP_CONNECTIONS_PER_ADDRESS 600u /* the same */
#define HTTP_CONNECTION_BYTES                                                                                \
    (64u * 1024) /* headers over 32 KiB are refused with words, over this without                            \
                  */
#define HTTP_IDLE_S 30u
#define HTTP_RECEIVE_MS 60000u
#define HTTP_DRAIN_MS 2000u

struct http;

/* NULL with a one-line reason in why. */
struct http *http_new(uv_loop_t *loop, const struct api_settings *settings, struct api *api, char *why,
                      size_t why_size);
uint16_t http_port(const struct http *h);
void http_wake(struct http *h); /* a connection was resumed */
struct MHD_Connection;
void http_count_unreadable(struct MHD_Connection *connection); /* for library_answer.c */
/* Stops accepting; requests under way get HTTP_DRAIN_MS; then frees h and calls closed. */
void http_close(struct http *h, void (*closed)(void *arg), void *arg);

#endif
