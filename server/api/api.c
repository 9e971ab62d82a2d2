#include "api/api.h"

#include <stdlib.h>

#include "api/http.h"
#include "api/openapi.h"
#include "api/room.h"
#include "api/streams.h"
#include "base/mem.h"

static void count_answers(struct api *api)
{
    static const char *const labels[API_STATUS_CLASSES] = {"status=\"2xx\"", "status=\"3xx\"",
                                                           "status=\"4xx\"", "status=\"5xx\""};

    for (size_t i = 0; i < API_STATUS_CLASSES; i++)
        api->answers[i] = metrics_add(api->metrics, METRIC_COUNTER, "cyan_http_answers_total", labels[i],
                                      "Answers of the REST interface by class of status.");
    api->vanished =
        metrics_add(api->metrics, METRIC_COUNTER, "cyan_http_vanished_total", NULL,
                    "Requests whose client was gone, or cut for slowness, before its answer was sent.");
    api->unreadable = metrics_add(api->metrics, METRIC_COUNTER, "cyan_http_unreadable_total", NULL,
                                  "Requests that were refused for not being HTTP that can be read.");
    api->stalled = metrics_add(api->metrics, METRIC_COUNTER, "cyan_http_streams_stalled_total", NULL,
                               "Answers in pieces that were cut because their client read too slowly.");
}

/* NOLINTNEXTLINE(readability-function-size): everything the room borrows, given once */
struct api *api_new(uv_loop_t *loop, const struct api_settings *settings, struct fleet *fleet,
                    struct devices *devices, struct metrics *metrics, const struct api_view *view, char *why,
                    size_t why_size)
{
    struct api *api = mem_alloc(sizeof(*api));

    api->fleet = fleet;
    api->devices = devices;
    api->metrics = metrics;
    api->view = *view;
    api->signup_open = settings->signup_open;
    api->token_expires_s = settings->token_expires_s;
    if (!trusted_proxies_parse(&api->proxies, settings->trusted_proxy != NULL ? settings->trusted_proxy : "",
                               why, why_size)) {
        free(api);
        return NULL;
    }
    count_answers(api);
    api->openapi = openapi_text();
    api->limits = limits_new(metrics, &settings->limits);
    api->http = http_new(loop, settings, api, why, why_size);
    if (api->http == NULL) {
        limits_free(api->limits);
        free(api->openapi);
        free(api);
        return NULL;
    }
    api->streams = streams_new(loop, api, &settings->streams);
    return api;
}

void api_reload(struct api *api, const struct api_settings *settings)
{
    limits_reload(api->limits, &settings->limits);
    api->signup_open = settings->signup_open;
    api->token_expires_s = settings->token_expires_s;
}

void api_set_campaigns(struct api *api, struct campaigns *campaigns)
{
    api->campaigns = campaigns;
}

void api_set_hooks(struct api *api, struct hooks *hooks)
{
    api->hooks = hooks;
}

uint16_t api_port(const struct api *api)
{
    return http_port(api->http);
}

static void on_streams_closed(void *arg)
{
    struct api *api = arg;
    void (*closed)(void *) = api->closed;
    void *closed_arg = api->closed_arg;

    free(api->openapi);
    limits_free(api->limits);
    free(api);
    closed(closed_arg);
}

static void on_http_closed(void *arg)
{
    struct api *api = arg;

    streams_close(api->streams, on_streams_closed, api);
}

void api_close(struct api *api, void (*closed)(void *arg), void *arg)
{
    api->closed = closed;
    api->closed_arg = arg;
    streams_stop(api->streams);
    http_close(api->http, on_http_closed, api);
}
