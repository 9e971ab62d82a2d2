#include "hook/hook_spec.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "hook/address.h"
#include "hook/template.h"

#define TEMPLATE_MAX_BYTES 16384
#define TOPIC_MAX_BYTES 256
#define NAME_MAX_BYTES 128
#define PAIRS_MAX 32
#define DEPTH_MAX 16
#define VARIABLES_MAX 256 /* in all: each may stand for a whole event, several times as long when escaped */
#define SECRET_BYTES 32

static bool is_among(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (!strcasecmp(word, *words))
            return true;
    return false;
}

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return true;
    return false;
}

/* --- values of the object --- */

/* NULL: absent, null, or not text; then *flaw says so. */
static const char *read_text(const json_t *fields, const char *key, size_t max_bytes, const char **flaw)
{
    const json_t *value = json_object_get(fields, key);
    const char *text = json_string_value(value);
    if (!value || json_is_null(value))
        return NULL;
    if (!text || strlen(text) != json_string_length(value) || strlen(text) > max_bytes) {
        *flaw =
            "event, url, requestType, name, deviceID, responseTopic, errorResponseTopic and responseTemplate "
            "must be texts, and none longer than 2048 bytes, templates of answers 16384.";
        return NULL;
    }
    return text;
}

static bool read_flag(const json_t *fields, const char *key, bool absent, const char **flaw)
{
    const json_t *value = json_object_get(fields, key);
    const char *text = json_string_value(value);
    if (!value || json_is_null(value))
        return absent;
    if (json_is_true(value) || (text && (!strcmp(text, "true") || !strcmp(text, "1"))))
        return true;
    if (!json_is_false(value) && !(text && (!strcmp(text, "false") || !strcmp(text, "0"))))
        *flaw = "noDefaults and rejectUnauthorized must be true or false.";
    return false;
}

/* A new reference to an object, also one that a form brought as the text of one; NULL: absent. */
static json_t *read_object(const json_t *fields, const char *key, const char **flaw)
{
    json_t *value = json_object_get(fields, key);
    json_t *object =
        json_is_string(value) ? json_loads(json_string_value(value), 0, NULL) : json_incref(value);
    if (!value || json_is_null(value)) {
        json_decref(object);
        return NULL;
    }
    if (json_is_object(object))
        return object;
    *flaw = "form, query, headers and auth must be objects.";
    json_decref(object);
    return NULL;
}

/* --- url --- */

/* As libcurl keeps it, to be freed by it; NULL: there is none. */
static char *part_of(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK ? text : NULL;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = part_of(url, part);
    bool has = text != NULL;
    curl_free(text);
    return has;
}

static bool is_http(CURLU *url)
{
    char *scheme = part_of(url, CURLUPART_SCHEME);
    bool good = scheme && (!strcmp(scheme, "http") || !strcmp(scheme, "https"));
    curl_free(scheme);
    return good;
}

static void take_host(struct hook_spec *spec, const char *host, const char *port)
{
    spec->host = mem_printf("%s:%s", host, port);
    for (char *c = spec->host; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
}

static const char *check_parts(struct hook_spec *spec, CURLU *url, bool allow_private)
{
    char *host = part_of(url, CURLUPART_HOST), *port = part_of(url, CURLUPART_PORT);
    const char *flaw = NULL;
    if (!is_http(url) || !host || !*host || !port)
        flaw = "url must begin with http:// or https:// and name a host.";
    else if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD) ||
             has_part(url, CURLUPART_FRAGMENT))
        flaw = "url may hold neither a password nor a fragment; auth takes a username and a password.";
    else if (!allow_private && !address_text_is_public(host))
        flaw = "url names an address that is not of the public internet (webhook.allow_private).";
    else
        take_host(spec, host, port);
    curl_free(host);
    curl_free(port);
    return flaw;
}

/* Variables stand behind the host, so that no event decides where it goes. */
static const char *check_url(struct hook_spec *spec, const char *text, bool allow_private)
{
    const struct template_values sample = {
        .event_name = "x", .event_value = "x", .device_id = "x", .published_at = "x"};
    const char *authority = strstr(text, "://"), *first = strstr(text, "{{");
    const char *flaw = template_flaw(text);
    if (flaw)
        return flaw;
    if (!authority || has_control(text))
        return "url must begin with http:// or https:// and name a host.";
    if (first && first < authority + 3 + strcspn(authority + 3, "/?"))
        return "url may have variables only behind the host.";
    char *rendered = template_render_url(text, &sample);
    CURLU *url = curl_url();
    must(url != NULL);
    flaw = curl_url_set(url, CURLUPART_URL, rendered, 0) == CURLUE_OK ? check_parts(spec, url, allow_private)
                                                                      : "url is not well-formed.";
    curl_url_cleanup(url);
    free(rendered);
    return flaw;
}

/* --- what is sent --- */

static const char *check_json(const json_t *value, unsigned depth)
{
    const char *key, *flaw = NULL;
    const json_t *item;
    size_t i;
    if (depth > DEPTH_MAX)
        return "json is nested too deeply.";
    if (json_is_string(value))
        return template_flaw(json_string_value(value));
    json_array_foreach (value, i, item)
        if ((flaw = check_json(item, depth + 1)) != NULL)
            return flaw;
    json_object_foreach ((json_t *)value, key, item)
        if ((flaw = check_json(item, depth + 1)) != NULL)
            return flaw;
    return NULL;
}

/* form, query and headers: names with texts; numbers and truth values become texts. */
static const char *check_pairs(json_t *object)
{
    const char *key, *flaw;
    json_t *value;
    if (json_object_size(object) > PAIRS_MAX)
        return "form, query and headers take at most 32 values each.";
    json_object_foreach (object, key, value) {
        if (json_is_object(value) || json_is_array(value))
            return "form, query and headers take texts.";
        if (!json_is_string(value)) {
            char *text = json_dumps(value, JSON_ENCODE_ANY);
            (void)json_object_set_new(object, key, json_string(text ? text : ""));
            free(text);
        } else if ((flaw = template_flaw(json_string_value(value))) != NULL) {
            return flaw;
        }
    }
    return NULL;
}

static const char *take_pairs(struct hook_spec *spec, const json_t *fields, const char *key)
{
    const char *flaw = NULL;
    json_t *given = read_object(fields, key, &flaw);
    if (!given)
        return flaw;
    json_t *object = json_deep_copy(given);
    json_decref(given);
    flaw = check_pairs(object);
    (void)json_object_set_new(spec->shown, key, object);
    return flaw;
}

static const char *take_body(struct hook_spec *spec, const json_t *fields, const char *method)
{
    const json_t *json = json_object_get(fields, "json"), *body = json_object_get(fields, "body");
    const char *flaw = take_pairs(spec, fields, "form");
    bool has_form = json_object_get(spec->shown, "form") != NULL;
    bool has_json = json && !json_is_null(json), has_body = body && !json_is_null(body);
    if (flaw)
        return flaw;
    if (has_form + has_json + has_body > 1)
        return "json, form and body exclude each other.";
    if (!strcmp(method, "GET") && (has_form || has_json || has_body))
        return "A GET has no body: use query.";
    if (has_json) {
        (void)json_object_set_new(spec->shown, "json", json_deep_copy(json));
        if (!json_is_object(json) && !json_is_array(json) && !json_is_string(json))
            return "json must be an object, a list, or text.";
        return check_json(json, 0);
    }
    if (has_body) {
        (void)json_object_set_new(spec->shown, "body", json_deep_copy(body));
        if (!json_is_string(body) || json_string_length(body) > TEMPLATE_MAX_BYTES ||
            strlen(json_string_value(body)) != json_string_length(body))
            return "body must be text of at most 16384 bytes.";
        return template_flaw(json_string_value(body));
    }
    return NULL;
}

/* --- headers and auth: values are not shown again --- */

static bool is_header_name(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= 64 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

static const char *take_headers(struct hook_spec *spec, const json_t *fields)
{
    static const char *const ours[] = {"Host",       "Content-Length", "Transfer-Encoding",
                                       "Connection", "Expect",         "Upgrade",
                                       "TE",         "Trailer",        NULL};
    static const char *const open[] = {"Content-Type", "Accept", "User-Agent", NULL};
    const char *flaw = take_pairs(spec, fields, "headers"), *name;
    json_t *shown = json_object_get(spec->shown, "headers"), *value;
    if (flaw || !shown)
        return flaw;
    json_object_foreach (shown, name, value)
        if (!is_header_name(name) || is_among(name, ours) || !strncasecmp(name, "X-Cyan-", 7) ||
            !strncasecmp(name, "Proxy-", 6))
            return "headers names one that cannot be set.";
    (void)json_object_set_new(spec->secrets, "headers", json_deep_copy(shown));
    json_object_foreach (shown, name, value)
        if (!is_among(name, open))
            (void)json_object_set_new(shown, name, json_string(HOOK_SPEC_HIDDEN));
    return NULL;
}

static const char *take_auth(struct hook_spec *spec, const json_t *fields)
{
    static const char flaw[] = "auth must have a username and a password, texts of at most 2048 bytes.";
    const char *why = NULL;
    json_t *auth = read_object(fields, "auth", &why);
    if (!auth)
        return why;
    const json_t *username = json_object_get(auth, "username"), *password = json_object_get(auth, "password");
    bool good = json_is_string(username) && json_is_string(password) &&
                json_string_length(username) <= HOOK_SPEC_URL_MAX &&
                json_string_length(password) <= HOOK_SPEC_URL_MAX &&
                !has_control(json_string_value(username)) && !has_control(json_string_value(password)) &&
                !strchr(json_string_value(username), ':');
    if (good) {
        (void)json_object_set_new(spec->secrets, "auth",
                                  json_pack("{s:O,s:O}", "username", username, "password", password));
        (void)json_object_set_new(spec->shown, "auth",
                                  json_pack("{s:O,s:s}", "username", username, "password", HOOK_SPEC_HIDDEN));
    }
    json_decref(auth);
    return good ? NULL : flaw;
}

/* --- all of it --- */

static const char *check_event(struct hook_spec *spec, const json_t *fields)
{
    const char *flaw = NULL;
    spec->event = read_text(fields, "event", HOOK_SPEC_EVENT_MAX, &flaw);
    if (!spec->event || !*spec->event || has_control(spec->event))
        return "event must be 1 to 64 bytes of text: what the names of events begin with.";
    if (!strncmp(spec->event, "hook-response/", 14) || !strncmp(spec->event, "hook-error/", 11) ||
        !strncmp(spec->event, "hook-sent/", 10))
        return "What webhooks are answered with goes to no webhook.";
    return NULL;
}

static const char *check_kind(const json_t *fields)
{
    const char *flaw = NULL, *kind = read_text(fields, "integration_type", NAME_MAX_BYTES, &flaw);
    if (flaw || (kind && strcasecmp(kind, "Webhook") != 0))
        return "Of integrations only those of type Webhook are supported by this server.";
    if (json_object_get(fields, "azure_sas_token"))
        return "azure_sas_token is not supported by this server.";
    return NULL;
}

static void show_text(struct hook_spec *spec, const char *key, const char *text)
{
    if (text)
        (void)json_object_set_new(spec->shown, key, json_string(text));
}

static const char *take_texts(struct hook_spec *spec, const json_t *fields)
{
    static const struct {
        const char *key;
        size_t max_bytes;
    } texts[] = {{"name", NAME_MAX_BYTES},
                 {"responseTopic", TOPIC_MAX_BYTES},
                 {"errorResponseTopic", TOPIC_MAX_BYTES},
                 {"responseTemplate", TEMPLATE_MAX_BYTES}};
    static const char *const device_keys[] = {"deviceID", "deviceid", "device_id", NULL};
    const char *flaw = NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !flaw; i++) {
        const char *text = read_text(fields, texts[i].key, texts[i].max_bytes, &flaw);
        if (text && !flaw)
            flaw = template_flaw(text);
        show_text(spec, texts[i].key, text);
    }
    for (const char *const *key = device_keys; *key && !flaw; key++) {
        const char *device = read_text(fields, *key, HOOK_SPEC_URL_MAX, &flaw);
        if (device && *device)
            spec->device = device;
    }
    return flaw;
}

static const char *take_request(struct hook_spec *spec, const json_t *fields, bool allow_private)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", NULL};
    const char *flaw = NULL, *url = read_text(fields, "url", HOOK_SPEC_URL_MAX, &flaw);
    const char *asked = read_text(fields, "requestType", NAME_MAX_BYTES, &flaw), *const *method = methods;
    if (flaw)
        return flaw;
    if (!url || !*url)
        return "url must be given: where the events go.";
    while (*method && strcasecmp(*method, asked ? asked : "POST") != 0)
        method++;
    if (!*method)
        return "requestType must be one of GET, POST, PUT, PATCH and DELETE.";
    show_text(spec, "url", url);
    show_text(spec, "requestType", *method);
    flaw = check_url(spec, url, allow_private);
    if (!flaw)
        flaw = take_body(spec, fields, *method);
    if (!flaw)
        flaw = take_pairs(spec, fields, "query");
    bool no_defaults = read_flag(fields, "noDefaults", false, &flaw);
    bool reject = read_flag(fields, "rejectUnauthorized", true, &flaw);
    (void)json_object_set_new(spec->shown, "noDefaults", json_boolean(no_defaults));
    (void)json_object_set_new(spec->shown, "rejectUnauthorized", json_boolean(reject));
    return flaw;
}

static size_t count_variables(const json_t *value)
{
    const char *key;
    const json_t *item;
    size_t i, count = json_is_string(value) ? template_variables(json_string_value(value)) : 0;
    json_array_foreach (value, i, item)
        count += count_variables(item);
    json_object_foreach ((json_t *)value, key, item)
        count += count_variables(item);
    return count;
}

static void make_secret(struct hook_spec *spec)
{
    uint8_t bytes[SECRET_BYTES];
    char text[2 * SECRET_BYTES + 1];
    random_bytes(bytes, sizeof bytes);
    hex_encode(text, bytes, sizeof bytes);
    (void)json_object_set_new(spec->secrets, "secret", json_string(text));
    bytes_wipe(bytes, sizeof bytes);
    bytes_wipe(text, sizeof text);
}

const char *hook_spec_read(struct hook_spec *spec, const json_t *fields, bool allow_private)
{
    const char *flaw;
    *spec = (struct hook_spec){.shown = json_pack("{s:s}", "integration_type", "Webhook"),
                               .secrets = json_object()};
    if ((flaw = check_kind(fields)) == NULL && (flaw = check_event(spec, fields)) == NULL &&
        (flaw = take_request(spec, fields, allow_private)) == NULL &&
        (flaw = take_headers(spec, fields)) == NULL && (flaw = take_auth(spec, fields)) == NULL)
        flaw = take_texts(spec, fields);
    if (!flaw && count_variables(spec->shown) + count_variables(spec->secrets) > VARIABLES_MAX)
        flaw = "All templates of a webhook together may have at most 256 variables.";
    if (flaw)
        hook_spec_deinit(spec);
    else
        make_secret(spec);
    return flaw;
}

void hook_spec_deinit(struct hook_spec *spec)
{
    free(spec->host);
    json_decref(spec->shown);
    json_decref(spec->secrets);
    *spec = (struct hook_spec){.event = NULL};
}

const char *hook_spec_secret(const json_t *secrets)
{
    const char *secret = json_string_value(json_object_get(secrets, "secret"));
    return secret ? secret : "";
}
