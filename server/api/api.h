/* api.h: the REST interface on libmicrohttpd, driven by the loop.
 *
 * Ownership: made by main; borrows fleet, devices and metrics, which outlive it. Loop thread only. */
#ifndef CYAN_API_API_H
#define CYAN_API_API_H

#include <uv.h>

#include "api/limits.h"
#include "base/metrics.h"
#include "fleet/fleet.h"

struct stream_settings {        /* of event streams */
    uint32_t most, per_address; /* at the same time; per_address 0: no limit of its own */
    uint32_t lag_bytes;         /* who is further behind is cut off */
    uint32_t keepalive_ms;
};
struct api_settings {
    const char *bind;               /* one address, copied */
    uint16_t port;                  /* 0 = any free one */
    const char *tls_cert, *tls_key; /* PEM files, NULL or "" = plain HTTP */
    struct stream_settings streams;
    const char *trusted_proxy; /* as client_address.h reads it; NULL = none */
    struct limits_settings limits;
    bool signup_open;         /* anybody may make an account; admins always may */
    uint32_t token_expires_s; /* of tokens whose client does not say; 0 = never */
};
struct api_view { /* what /health tells, asked for each time */
    void *ctx;
    void (*fill)(void *ctx, uint64_t *sessions, uint64_t *handshakes_in_flight, uint64_t *uptime_ms);
};
struct api;
/* NULL with a one-line reason in why (port taken, certificate unreadable). */
struct api *api_new(uv_loop_t *loop, const struct api_settings *settings, struct fleet *fleet,
                    struct devices *devices, struct metrics *metrics, const struct api_view *view, char *why,
                    size_t why_size);
/* limits, signup_open and token_expires_s change at once; the rest stays as it was at the start. */
void api_reload(struct api *api, const struct api_settings *settings);
/* Set once, before the first request can come. */
struct campaigns;
void api_set_campaigns(struct api *api, struct campaigns *campaigns);
struct hooks;
void api_set_hooks(struct api *api, struct hooks *hooks);
uint16_t api_port(const struct api *api);
/* Stops accepting, lets answers under way finish for at most 2 s, then calls closed. */
void api_close(struct api *api, void (*closed)(void *arg), void *arg);

#endif
