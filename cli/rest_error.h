/* rest_error.h: what went wrong between here and the server, as one line that says what to do. */
#ifndef CYAN_CLI_REST_ERROR_H
#define CYAN_CLI_REST_ERROR_H

#include <curl/curl.h>

#include "rest.h"

/* There is no answer. */
void rest_error_transfer(struct rest_answer *answer, const struct rest_settings *settings, CURLcode code);
/* answer->status says no. location: of a redirect, or NULL. */
void rest_error_status(struct rest_answer *answer, const struct rest_settings *settings,
                       const char *location);
/* It is no server of ours. */
void rest_error_foreign(struct rest_answer *answer, const struct rest_settings *settings);

#endif
