#include "rest_error.h"

#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "interrupt.h"
#include "text.h"

#define WORDS_SIZE 320
#define say(answer, code, ...)                                                                               \
    ((void)snprintf((answer)->why, REST_WHY_SIZE, __VA_ARGS__), (void)((answer)->exit = (code)))

void rest_error_transfer(struct rest_answer *answer, const struct rest_settings *s, CURLcode code)
{
    bool is_tls = strncmp(s->url, "https:", 6) == 0;

    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
        say(answer, CLI_INTERRUPTED, "interrupted");
        return;
    case CURLE_COULDNT_RESOLVE_HOST:
        say(answer, CLI_AWAY,
            "the host of %s is not known: check the address (--url, CYAN_URL, cyanctl login)", s->url);
        return;
    case CURLE_COULDNT_RESOLVE_PROXY:
        say(answer, CLI_AWAY, "the proxy that this machine is told to use is not known: check http_proxy");
        return;
    case CURLE_COULDNT_CONNECT:
        say(answer, CLI_AWAY, "nothing answers at %s: is cyand running there, and is the address right?",
            s->url);
        return;
    case CURLE_OPERATION_TIMEDOUT:
        say(answer, CLI_AWAY, "%s did not answer within %u s; --timeout S waits longer", s->url,
            s->timeout_s);
        return;
    case CURLE_PEER_FAILED_VERIFICATION:
        say(answer, CLI_AWAY,
            "the certificate of %s is not trusted here, or is for another name: --ca-file FILE names its "
            "authority",
            s->url);
        return;
    case CURLE_SSL_CACERT_BADFILE:
        say(answer, CLI_USAGE, "%s cannot be read as certificates (--ca-file, CYAN_CA_FILE)",
            s->ca_file != NULL ? s->ca_file : "the list of authorities");
        return;
    case CURLE_SSL_CONNECT_ERROR:
        say(answer, CLI_AWAY, "%s does not speak TLS: is it http:// there?", s->url);
        return;
    case CURLE_WRITE_ERROR:
        say(answer, CLI_REFUSED, "what the server sends cannot be written: is the disk full?");
        return;
    case CURLE_READ_ERROR:
        say(answer, CLI_REFUSED, "the file cannot be read to its end");
        return;
    case CURLE_FILESIZE_EXCEEDED:
        say(answer, CLI_REFUSED, "the answer of %s is too long to be read; ask for less", s->url);
        return;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
        say(answer, CLI_AWAY, "what answers at %s does not speak HTTP: check the address and the port",
            s->url);
        return;
    default:
        say(answer, CLI_AWAY, "the connection to %s broke; try again%s", s->url,
            is_tls ? "" : " (or is it https:// there?)");
    }
}

void rest_error_foreign(struct rest_answer *answer, const struct rest_settings *s)
{
    say(answer, CLI_AWAY, "what answers at %s is no Cyan server: check the address and the port", s->url);
}

/* The server's words: what the list of clients in docs/rest.md reads, first what is for people. */
static void take_words(char out[WORDS_SIZE], const struct rest_answer *answer)
{
    const char *error = field_text(answer->json, "error"), *info = field_text(answer->json, "info");
    char *clean;

    if (error == NULL)
        error = field_text_or(answer->json, "error_description", "the server gives no reason");
    clean = text_clean(error);
    (void)snprintf(out, WORDS_SIZE, "%s", clean);
    free(clean);
    if (info != NULL && answer->status == 403) {
        clean = text_clean(info);
        size_t used = strlen(out);
        (void)snprintf(out + used, WORDS_SIZE - used, ": %s", clean);
        free(clean);
    }
}

static void say_conflict(struct rest_answer *answer, const char *words)
{
    const json_t *held = json_object_get(answer->json, "held_by");
    char since[TEXT_SIZE];

    const char *kind = field_text_or(answer->json, "code", "stale");

    if (field_has_number(answer->json, "rev") && strcmp(kind, "stale") == 0) {
        say(answer, CLI_CONFLICT, "%s Its rev is %lld now: look at it again before you repeat this.", words,
            (long long)field_integer(answer->json, "rev"));
    } else if (json_is_object(held)) {
        text_time(since, field_text(held, "since"));
        const char *campaign = field_text(held, "campaign");
        say(answer, CLI_CONFLICT, "%s It is %s%.80s that holds it, by %.80s, since %s.", words,
            campaign != NULL ? "campaign " : "a ",
            campaign != NULL ? campaign : field_text_or(held, "kind", "update"),
            field_text_or(held, "by", "somebody"), since);
    } else {
        say(answer, CLI_CONFLICT, "%s", words);
    }
}

static void say_unknown(struct rest_answer *answer, const struct rest_settings *s, const char *words)
{
    if (!json_is_object(answer->json))
        rest_error_foreign(answer, s);
    else if (strstr(words, "nothing at this path") != NULL)
        say(answer, CLI_NOT_FOUND,
            "the server at %s does not know this: it is older than this cyanctl, or the "
            "address has a wrong path",
            s->url);
    else
        say(answer, CLI_NOT_FOUND, "%s", words);
}

static void say_token(struct rest_answer *answer, const struct rest_settings *s)
{
    if (s->token == NULL)
        say(answer, CLI_NOT_LOGGED_IN, "not logged in: cyanctl login %s", s->url);
    else
        say(answer, CLI_NOT_LOGGED_IN,
            "the token (%s) is expired, revoked or of another server: cyanctl login %s", s->token_from,
            s->url);
}

void rest_error_status(struct rest_answer *answer, const struct rest_settings *s, const char *location)
{
    char words[WORDS_SIZE];
    const char *error = field_text(answer->json, "error");

    take_words(words, answer);
    switch (answer->status) {
    case 401:
        say_token(answer, s);
        return;
    case 404:
        say_unknown(answer, s, words);
        return;
    case 409:
        say_conflict(answer, words);
        return;
    case 408:
        say(answer, CLI_REFUSED, "the device is not connected, or did not answer in time");
        return;
    case 413:
        say(answer, CLI_REFUSED, "too large for the server: %s", words);
        return;
    case 429:
        say(answer, CLI_REFUSED, "%s The server has too much to do: try again in a moment.", words);
        return;
    case 502:
    case 504:
        say(answer, CLI_AWAY, "a proxy in front of %s answers, the server behind it does not; try again",
            s->url);
        return;
    case 503:
        say(answer, CLI_AWAY, "%s", words);
        return;
    default:
        break;
    }
    if (answer->status >= 300 && answer->status < 400)
        say(answer, CLI_AWAY, "%s sends on to %.200s: log in to that address if it is yours", s->url,
            location != NULL ? location : "elsewhere");
    else if (answer->status == 400 && error != NULL && strcmp(error, "invalid_request") == 0)
        say_token(answer, s);
    else if (!json_is_object(answer->json))
        rest_error_foreign(answer, s);
    else
        say(answer, CLI_REFUSED, "%s", words);
}
