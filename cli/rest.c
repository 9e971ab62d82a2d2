#include "rest.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "interrupt.h"
#include "rest_error.h"
#include "text.h"

#define URL_MAX_BYTES 1024
#define JSON_MAX_BYTES (64u << 20)
#define CONNECT_TIMEOUT_S 10L
#define PROGRESS_EVERY_MS 200

struct rest {
    CURL *curl;
    struct rest_settings settings; /* texts ours */
};

/* Where a body goes: a file, or text to be read as JSON. */
struct sink {
    CURL *curl;
    FILE *into; /* borrowed; NULL: text */
    char *text;
    size_t len, size;
};
struct meter {
    const char *what; /* NULL: nothing is shown */
    bool is_upload, shown;
    uint64_t last_ms;
};

bool rest_url_fits(const char *url, char why[REST_WHY_SIZE])
{
    const char *host = strstr(url, "://");
    bool known = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;

    if (known && host[3] != '\0' && host[3] != '/' && strlen(url) <= URL_MAX_BYTES &&
        strpbrk(url, " \t\r\n\"'<>?#@") == NULL && text_is_utf8(url))
        return true;
    (void)snprintf(why, REST_WHY_SIZE,
                   "%.100s is no address of a server: it is like http://127.0.0.1:8080 or https://HOST", url);
    return false;
}

static char *copy(const char *text)
{
    return text != NULL ? mem_string(text) : NULL;
}

struct rest *rest_new(const struct rest_settings *settings)
{
    struct rest *rest = mem_alloc(sizeof(*rest));
    size_t len;

    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    rest->curl = curl_easy_init();
    must(rest->curl != NULL);
    rest->settings = *settings;
    rest->settings.url = copy(settings->url);
    rest->settings.token = copy(settings->token);
    rest->settings.token_from = copy(settings->token_from);
    rest->settings.ca_file = copy(settings->ca_file);
    len = strlen(rest->settings.url);
    while (len > 0 && rest->settings.url[len - 1] == '/')
        ((char *)rest->settings.url)[--len] = '\0';
    return rest;
}

static void drop(const char *text)
{
    free((char *)text);
}

void rest_free(struct rest *rest)
{
    if (rest == NULL)
        return;
    curl_easy_cleanup(rest->curl);
    curl_global_cleanup();
    if (rest->settings.token != NULL)
        bytes_wipe((char *)rest->settings.token, strlen(rest->settings.token));
    drop(rest->settings.url);
    drop(rest->settings.token);
    drop(rest->settings.token_from);
    drop(rest->settings.ca_file);
    free(rest);
}

const char *rest_url(const struct rest *rest)
{
    return rest->settings.url;
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
    struct sink *sink = arg;
    long status = 0;

    (void)one; /* always 1 */
    (void)curl_easy_getinfo(sink->curl, CURLINFO_RESPONSE_CODE, &status);
    if (sink->into != NULL && status >= 200 && status < 300)
        return fwrite(data, 1, len, sink->into);
    if (len > JSON_MAX_BYTES - sink->len)
        return 0;
    if (sink->len + len > sink->size) {
        sink->size = (sink->len + len) * 2;
        sink->text = mem_grow(sink->text, sink->size, 1);
    }
    memcpy(sink->text + sink->len, data, len);
    sink->len += len;
    return len;
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    struct meter *meter = arg;
    curl_off_t done = meter->is_upload ? up : down, total = meter->is_upload ? up_total : down_total;
    uint64_t now_ms = clock_ms();
    char size[TEXT_SIZE];

    if (interrupt_seen())
        return 1;
    if (meter->what == NULL || total <= 0 || now_ms < meter->last_ms + PROGRESS_EVERY_MS)
        return 0;
    meter->last_ms = now_ms;
    meter->shown = true;
    text_bytes(size, (uint64_t)total);
    (void)fprintf(stderr, "\r%s: %3d %% of %s ", meter->what, (int)(done * 100 / total), size);
    (void)fflush(stderr);
    return 0;
}

static void set_limits(struct rest *rest, const struct rest_request *request)
{
    long timeout_s = (long)rest->settings.timeout_s;

    curl_easy_setopt(rest->curl, CURLOPT_CONNECTTIMEOUT,
                     timeout_s < CONNECT_TIMEOUT_S ? timeout_s : CONNECT_TIMEOUT_S);
    if (request->file != NULL || request->into != NULL) { /* as long as something moves */
        curl_easy_setopt(rest->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(rest->curl, CURLOPT_LOW_SPEED_TIME, timeout_s);
    } else {
        curl_easy_setopt(rest->curl, CURLOPT_TIMEOUT, timeout_s);
    }
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char *line = mem_printf("%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(list, line);

    bytes_wipe(line, strlen(line));
    free(line);
    must(longer != NULL);
    return longer;
}

static struct curl_slist *headers_of(const struct rest *rest, const struct rest_request *request)
{
    struct curl_slist *list =
        add_header(NULL, "Accept", request->accept != NULL ? request->accept : "application/json");

    if (rest->settings.token != NULL) {
        char *bearer = mem_printf("Bearer %s", rest->settings.token);
        list = add_header(list, "Authorization", bearer);
        bytes_wipe(bearer, strlen(bearer));
        free(bearer);
    }
    if (request->body != NULL)
        list = add_header(list, "Content-Type", "application/json");
    if (request->key != NULL)
        list = add_header(list, "Idempotency-Key", request->key);
    return list;
}

/* As the server reads values of forms. */
static void add_fields(curl_mime *form, const json_t *fields)
{
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)fields, name, value) {
        curl_mimepart *part = curl_mime_addpart(form);
        char *text =
            json_is_string(value) ? mem_string(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);
        (void)curl_mime_name(part, name);
        (void)curl_mime_data(part, text, CURL_ZERO_TERMINATED);
        free(text);
    }
}

/* The body of the request: a form with the file, JSON, or nothing. Both results are to be freed. */
static void set_body(struct rest *rest, const struct rest_request *request, curl_mime **form, char **text)
{
    *form = NULL;
    *text = NULL;
    if (request->file != NULL) {
        *form = curl_mime_init(rest->curl);
        if (request->fields != NULL)
            add_fields(*form, request->fields);
        curl_mimepart *part = curl_mime_addpart(*form);
        (void)curl_mime_name(part, "file");
        (void)curl_mime_filedata(part, request->file); /* read while it is sent */
        (void)curl_mime_type(part, "application/octet-stream");
        curl_easy_setopt(rest->curl, CURLOPT_MIMEPOST, *form);
    } else if (request->body != NULL) {
        *text = json_dumps(request->body, JSON_COMPACT | JSON_ENCODE_ANY);
        must(*text != NULL);
        curl_easy_setopt(rest->curl, CURLOPT_POSTFIELDS, *text);
    } else if (request->method != NULL && strcmp(request->method, "DELETE") != 0) {
        curl_easy_setopt(rest->curl, CURLOPT_POSTFIELDS, "");
    }
    if (request->method != NULL)
        curl_easy_setopt(rest->curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_transport(struct rest *rest, struct sink *sink, struct meter *meter)
{
    CURL *curl = rest->curl;

    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "cyanctl/" CYAN_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, meter);
    if (rest->settings.ca_file != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, rest->settings.ca_file);
}

static void judge(struct rest *rest, const struct rest_request *request, const struct sink *sink,
                  struct rest_answer *answer)
{
    long status = 0;
    char *location = NULL;
    struct curl_header *next;

    (void)curl_easy_getinfo(rest->curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(rest->curl, CURLINFO_REDIRECT_URL, &location);
    answer->status = (unsigned)status;
    if (curl_easy_header(rest->curl, "X-Next-After", 0, CURLH_HEADER, -1, &next) == CURLHE_OK)
        answer->next_after = strtoull(next->value, NULL, 10);
    if (sink->len > 0)
        answer->json = json_loadb(sink->text, sink->len, JSON_DECODE_ANY, NULL);
    if (status < 200 || status >= 300)
        rest_error_status(answer, &rest->settings, location);
    else if (answer->json == NULL && status != 204 && request->into == NULL)
        rest_error_foreign(answer, &rest->settings);
    else
        answer->exit = CLI_OK;
}

void rest_ask(struct rest *rest, const struct rest_request *request, struct rest_answer *answer)
{
    struct sink sink = {.curl = rest->curl, .into = request->into};
    struct meter meter = {.is_upload = request->file != NULL};
    struct curl_slist *headers = headers_of(rest, request);
    char *url = mem_printf("%s%s", rest->settings.url, request->path), *text;
    curl_mime *form;
    CURLcode code;

    *answer = (struct rest_answer){.exit = CLI_OK};
    if (rest->settings.shows_progress && (request->file != NULL || (request->into != NULL)))
        meter.what = request->file != NULL ? request->file : "receiving";
    curl_easy_reset(rest->curl); /* its connection stays */
    curl_easy_setopt(rest->curl, CURLOPT_URL, url);
    curl_easy_setopt(rest->curl, CURLOPT_HTTPHEADER, headers);
    set_transport(rest, &sink, &meter);
    set_limits(rest, request);
    set_body(rest, request, &form, &text);
    code = curl_easy_perform(rest->curl);
    if (meter.shown)
        (void)fputs("\r\033[K", stderr);
    if (code == CURLE_WRITE_ERROR && sink.into == NULL)
        code = CURLE_FILESIZE_EXCEEDED;
    if (code != CURLE_OK)
        rest_error_transfer(answer, &rest->settings, code);
    else
        judge(rest, request, &sink, answer);
    curl_mime_free(form);
    curl_slist_free_all(headers);
    free(text);
    free(url);
    free(sink.text);
}

void rest_answer_deinit(struct rest_answer *answer)
{
    json_decref(answer->json);
    answer->json = NULL;
}

char *rest_encode(const char *text)
{
    char *encoded = curl_easy_escape(NULL, text, (int)strlen(text)), *copied;

    must(encoded != NULL);
    copied = mem_string(encoded);
    curl_free(encoded);
    return copied;
}

char *rest_path_v(const char *format, va_list args)
{
    char *path = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&path, &len);

    must(out != NULL);
    for (; *format != '\0'; format++) {
        if (format[0] == '%' && format[1] == 's') {
            /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): callers begin it */
            char *part = rest_encode(va_arg(args, const char *));
            (void)fputs(part, out);
            free(part);
            format++;
        } else {
            (void)fputc(*format, out);
        }
    }
    must(fclose(out) == 0);
    return path;
}

char *rest_path(const char *format, ...)
{
    va_list args;
    char *path;

    va_start(args, format);
    path = rest_path_v(format, args);
    va_end(args);
    return path;
}
