/* rest.h: the server as cyanctl asks it: one connection, JSON in and out, files streamed both ways.
 *
 * Whatever goes wrong becomes one line that says what to do and the exit code for it. Redirects are not
 * followed: they would carry the token elsewhere. Blocks; Ctrl-C ends a transfer. */
#ifndef CYAN_CLI_REST_H
#define CYAN_CLI_REST_H

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/must.h"
#include "cli_exit.h"

struct rest;
struct rest_settings {
    const char *url;        /* http://HOST[:PORT][/PREFIX] or https:// */
    const char *token;      /* NULL: none */
    const char *token_from; /* `CYAN_TOKEN`, ...: how messages call it */
    const char *ca_file;    /* NULL: the machine's authorities */
    uint32_t timeout_s;     /* of an answer; of a file: of no progress */
    bool shows_progress;    /* of files, on stderr */
};

/* False: why. Texts are copied. */
#define REST_WHY_SIZE 600
must_check bool rest_url_fits(const char *url, char why[REST_WHY_SIZE]);
struct rest *rest_new(const struct rest_settings *settings);
void rest_free(struct rest *rest); /* NULL is fine */
const char *rest_url(const struct rest *rest);

struct rest_request {
    const char *method;   /* NULL: GET */
    const char *path;     /* from the slash on, encoded, with its query */
    const json_t *body;   /* NULL: none */
    const char *file;     /* sent as the part `file` of a form; NULL: none */
    const json_t *fields; /* of that form, before the file; NULL: none */
    const char *accept;   /* NULL: JSON */
    const char *key;      /* Idempotency-Key; NULL: none */
    FILE *into;           /* where the body of a 2xx goes; NULL: it is JSON */
};
struct rest_answer {
    enum cli_exit exit;
    unsigned status;         /* 0: there was no answer */
    json_t *json;            /* ours; NULL: none, or it went to a file */
    uint64_t next_after;     /* X-Next-After: where the next slice begins; 0: there is none */
    char why[REST_WHY_SIZE]; /* unless CLI_OK */
};
void rest_ask(struct rest *rest, const struct rest_request *request, struct rest_answer *answer);
void rest_answer_deinit(struct rest_answer *answer);

/* text as one part of a path, or as a value in a query. The caller frees. */
char *rest_encode(const char *text) __attribute__((malloc));
/* A path whose %s are encoded by rest_encode. */
char *rest_path(const char *format, ...) __attribute__((malloc, format(printf, 1, 2)));
char *rest_path_v(const char *format, va_list args) __attribute__((malloc));

#endif
