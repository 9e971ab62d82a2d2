#include "hook/hook_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "hook/hook_spec.h"
#include "hook/seal.h"
#include "hook/template.h"

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* What events look like to templates; data is to be released. */
static struct template_values values_of(const struct hook_event *event, json_t **data)
{
    size_t blanks = strspn(event->value, " \t\r\n");
    bool is_json = event->value[blanks] == '{' || event->value[blanks] == '[';
    *data = is_json ? json_loads(event->value, 0, NULL) : NULL;
    return (struct template_values){.event_name = event->name,
                                    .event_value = event->value,
                                    .device_id = event->device_id,
                                    .published_at = event->published_at,
                                    .data = *data};
}

/* What is sent of every event unless the webhook says otherwise. */
static json_t *defaults(const struct hook_event *event)
{
    return json_pack("{s:s,s:s,s:s,s:s}", "event", event->name, "data", event->value, "coreid",
                     event->device_id, "published_at", event->published_at);
}

/* A form, from malloc: name=value&... */
static char *form_text(const json_t *object)
{
    char *text = NULL;
    size_t text_len;
    const char *key;
    const json_t *value;
    FILE *out = open_memstream(&text, &text_len);
    must(out != NULL);
    json_object_foreach ((json_t *)object, key, value) {
        char *name = template_percent(key), *data = template_percent(json_string_value(value));
        (void)fprintf(out, "%s%s=%s", ftell(out) > 0 ? "&" : "", name, data);
        free(name);
        free(data);
    }
    must(fclose(out) == 0);
    return text;
}

/* base with what the webhook says of `key` on top. */
static json_t *merged(json_t *base, const json_t *spec, const char *key, const struct template_values *values)
{
    json_t *own =
        json_object_get(spec, key) ? template_render_json(json_object_get(spec, key), values) : NULL;
    if (own)
        (void)json_object_update(base, own);
    json_decref(own);
    return base;
}

static void add_header(struct hook_request *r, const char *name, const char *value)
{
    if (r->header_count == HOOK_REQUEST_HEADERS_MAX || !*value)
        return;
    char *line = mem_printf("%s: %s", name, value);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) /* no event makes a line of its own */
            *c = ' ';
    r->headers[r->header_count++] = line;
}

static bool has_header(const json_t *headers, const char *name)
{
    const char *key;
    const json_t *value;
    json_object_foreach ((json_t *)headers, key, value)
        if (!strcasecmp(key, name))
            return true;
    return false;
}

/* Fills body; the type it is of, NULL when there is none. */
static const char *make_body(struct hook_request *r, const json_t *spec, const struct hook_event *event,
                             const struct template_values *values, bool no_defaults)
{
    const json_t *json = json_object_get(spec, "json");
    const char *type = "application/json";
    if (text_of(spec, "body")) {
        r->body = template_render(text_of(spec, "body"), values);
        type = "text/plain; charset=utf-8";
    } else if (json_is_string(json)) {
        r->body = template_render(json_string_value(json), values);
    } else if (json) {
        json_t *object = json_is_object(json)
                             ? merged(no_defaults ? json_object() : defaults(event), spec, "json", values)
                             : template_render_json(json, values);
        r->body = json_dumps(object, JSON_COMPACT);
        must(r->body != NULL);
        json_decref(object);
    } else {
        json_t *form = merged(no_defaults ? json_object() : defaults(event), spec, "form", values);
        r->body = form_text(form);
        type = "application/x-www-form-urlencoded";
        json_decref(form);
    }
    r->body_len = strlen(r->body);
    return type;
}

static void make_url(struct hook_request *r, const json_t *spec, const struct hook_event *event,
                     const struct template_values *values, bool no_defaults)
{
    bool takes_defaults = !strcmp(r->method, "GET") && !no_defaults;
    json_t *pairs = merged(takes_defaults ? defaults(event) : json_object(), spec, "query", values);
    char *query = form_text(pairs), *url = template_render_url(text_of(spec, "url"), values);
    json_decref(pairs);
    r->url = *query ? mem_printf("%s%s%s", url, strchr(url, '?') ? "&" : "?", query) : mem_string(url);
    free(query);
    free(url);
}

static void make_headers(struct hook_request *r, const json_t *secrets, const struct hook_event *event,
                         const struct template_values *values, const char *type, int64_t now_s)
{
    const json_t *headers = json_object_get(secrets, "headers"), *value;
    const char *name;
    char signature[SEAL_SIGNATURE_SIZE], attempt[16];
    json_object_foreach ((json_t *)headers, name, value) {
        char *text = template_render(json_string_value(value), values);
        add_header(r, name, text);
        free(text);
    }
    if (r->body && !has_header(headers, "Content-Type"))
        add_header(r, "Content-Type", type);
    (void)snprintf(attempt, sizeof attempt, "%d", event->attempt);
    seal_sign(hook_spec_secret(secrets), now_s, r->body, r->body_len, signature);
    char *signed_at = mem_printf("t=%lld,v1=%s", (long long)now_s, signature);
    add_header(r, "X-Cyan-Delivery", event->delivery);
    add_header(r, "X-Cyan-Attempt", attempt);
    add_header(r, "X-Cyan-Signature", signed_at);
    free(signed_at);
}

const char *hook_request_make(struct hook_request *r, const json_t *spec, const json_t *secrets,
                              const struct hook_event *event, int64_t now_s)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    const json_t *auth = json_object_get(secrets, "auth");
    const char *method = text_of(spec, "requestType"), *type = NULL;
    bool no_defaults = json_is_true(json_object_get(spec, "noDefaults"));
    json_t *data;
    struct template_values values = values_of(event, &data);
    size_t room = HOOK_REQUEST_RENDERED_MAX;
    values.room = &room;
    *r = (struct hook_request){.checks_certificate =
                                   !json_is_false(json_object_get(spec, "rejectUnauthorized"))};
    for (size_t i = 0; method && i < sizeof methods / sizeof *methods; i++)
        if (!strcmp(method, methods[i]))
            r->method = methods[i];
    must(r->method != NULL && text_of(spec, "url") != NULL);
    r->username = text_of(auth, "username");
    r->password = text_of(auth, "password");
    make_url(r, spec, event, &values, no_defaults);
    if (strcmp(r->method, "GET") != 0)
        type = make_body(r, spec, event, &values, no_defaults);
    make_headers(r, secrets, event, &values, type, now_s);
    json_decref(data);
    if (strlen(r->url) > HOOK_REQUEST_URL_MAX)
        return "the url would be longer than 8192 bytes";
    if (r->body_len > HOOK_REQUEST_BODY_MAX)
        return "the body would be longer than 65536 bytes";
    return room > 0 ? NULL : "its variables would make more than 262144 bytes of it";
}

void hook_request_deinit(struct hook_request *r)
{
    free(r->url);
    free(r->body);
    for (size_t i = 0; i < r->header_count; i++)
        free(r->headers[i]);
    *r = (struct hook_request){.method = NULL};
}

/* --- what comes back --- */

char *hook_request_topic(const json_t *spec, const struct hook_event *event, bool is_error)
{
    const char *topic = text_of(spec, is_error ? "errorResponseTopic" : "responseTopic");
    json_t *data;
    struct template_values values = values_of(event, &data);
    char *text = topic && *topic ? template_render(topic, &values)
                                 : mem_printf("hook-%s/%s", is_error ? "error" : "response", event->name);
    json_decref(data);
    return text;
}

char *hook_request_answer(const json_t *spec, const struct hook_event *event, const char *body)
{
    const char *template = text_of(spec, "responseTemplate");
    json_t *data;
    struct template_values values = values_of(event, &data);
    if (!template || !*template) {
        json_decref(data);
        return mem_string(body);
    }
    json_decref(data);
    data = json_loads(body, 0, NULL); /* its members, not those of the event */
    values.data = data;
    char *text = template_render(template, &values);
    json_decref(data);
    return text;
}
