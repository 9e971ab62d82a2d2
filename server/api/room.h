/* room.h: what every part of the REST interface can reach.
 *
 * Ownership: struct api is made by api_new and lives until api_close has called back; everything it points to
 * but http is borrowed and outlives it. Loop thread only. */
#ifndef CYAN_API_ROOM_H
#define CYAN_API_ROOM_H

#include "api/api.h"
#include "api/client_address.h"

struct http;
struct http_request;
struct streams;

#define API_STATUS_CLASSES 4 /* 2xx to 5xx */

struct api {
    struct http *http;       /* ours */
    struct streams *streams; /* ours */
    struct fleet *fleet;
    struct devices *devices;
    struct campaigns *campaigns;
    struct hooks *hooks;
    struct metrics *metrics;
    struct api_view view;
    char *openapi;         /* ours: the document, as text */
    struct limits *limits; /* ours */
    struct trusted_proxies proxies;
    bool signup_open;
    uint32_t token_expires_s;
    size_t upload_count; /* requests that bring a file, HTTP_REQUEST_UPLOADS_MAX at most */
    struct metric *answers[API_STATUS_CLASSES], *vanished, *stalled;
    struct metric *unreadable; /* what is no HTTP */
    void (*closed)(void *arg);
    void *closed_arg;
};

#endif
