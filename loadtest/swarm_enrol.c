#include "swarm_enrol.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LANES 8
#define GIVE_UP_MS 30000
#define PAUSE_US 200000
#define ANSWER_MAX_BYTES 2048

/* One connection, working off devices one after the other. */
struct lane {
    CURL *curl;                      /* ours */
    const struct swarm_model *model; /* NULL = idle */
    char *url, *body;                /* ours, while a request runs */
    char answer[ANSWER_MAX_BYTES];
    size_t answer_len;
    bool naming; /* the key is known, now the name */
};

struct enrolment {
    const struct swarm_enrol_target *target;
    const struct swarm_model *next;
    struct curl_slist *headers;
    CURLM *multi;
    struct lane lanes[LANES];
    uint64_t give_up_ms;
    char *error;
    bool failed, pause;
};

char *swarm_enrol_token(const char *path, char error[SWARM_ERROR_SIZE])
{
    char line[256] = "";
    FILE *file = fopen(path, "re");

    if (!file) {
        (void)snprintf(error, SWARM_ERROR_SIZE, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (!fgets(line, sizeof(line), file))
        line[0] = 0;
    (void)fclose(file);
    line[strcspn(line, "\r\n")] = 0;
    if (line[0] == 0) {
        (void)snprintf(error, SWARM_ERROR_SIZE, "%s: no token in it", path);
        return NULL;
    }
    return mem_string(line);
}

static size_t on_answer(char *data, size_t size, size_t count, void *arg)
{
    struct lane *lane = arg;
    size_t len = size * count, room = sizeof(lane->answer) - 1 - lane->answer_len;

    memcpy(lane->answer + lane->answer_len, data, len < room ? len : room);
    lane->answer_len += len < room ? len : room;
    lane->answer[lane->answer_len] = 0;
    return len;
}

static char *key_body(const struct swarm_model *m)
{
    char psk[2 * SWARM_PSK_MAX_BYTES + 1], *pem, *text;
    json_t *body;

    if (m->profile == SWARM_PROFILE_PSK) {
        hex_encode(psk, m->psk, m->psk_len);
        body = json_pack("{s:s,s:s}", "algorithm", "psk", "psk", psk);
    } else {
        pem = swarm_key_public_pem(&m->key);
        body = json_pack("{s:s,s:s}", "algorithm", "ecc", "publicKey", pem);
        free(pem);
    }
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    must(text != NULL);
    return text;
}

static char *name_body(const struct swarm_model *m)
{
    json_t *body = json_pack("{s:s}", "name", m->name);
    char *text = json_dumps(body, JSON_COMPACT);

    json_decref(body);
    must(text != NULL);
    return text;
}

static void lane_request(struct enrolment *e, struct lane *lane)
{
    must(lane->model != NULL);
    free(lane->url);
    free(lane->body);
    lane->url = mem_printf("%s/v1/%s/%s", e->target->api, lane->naming ? "devices" : "provisioning",
                           lane->model->id_text);
    lane->body = lane->naming ? name_body(lane->model) : key_body(lane->model);
    lane->answer_len = 0;
    lane->answer[0] = 0;
    curl_easy_setopt(lane->curl, CURLOPT_URL, lane->url);
    curl_easy_setopt(lane->curl, CURLOPT_POSTFIELDS, lane->body);
    curl_easy_setopt(lane->curl, CURLOPT_CUSTOMREQUEST, lane->naming ? "PUT" : "POST");
    curl_multi_add_handle(e->multi, lane->curl);
}

static void lane_next(struct enrolment *e, struct lane *lane)
{
    while (e->next && !e->next->chosen)
        e->next = swarm_models_next(e->next);
    lane->model = e->failed ? NULL : e->next;
    lane->naming = false;
    if (!lane->model)
        return;
    e->next = swarm_models_next(e->next);
    lane_request(e, lane);
}

static void fail(struct enrolment *e, const struct lane *lane, CURLcode code, long status)
{
    e->failed = true;
    (void)snprintf(e->error, SWARM_ERROR_SIZE, "%s %s: %s (HTTP %ld) %.120s",
                   lane->naming ? "naming" : "enrolling", lane->model->id_text,
                   code == CURLE_OK ? "refused" : curl_easy_strerror(code), status, lane->answer);
}

static void on_done(struct enrolment *e, struct lane *lane, CURLcode code)
{
    long status = 0;

    curl_easy_getinfo(lane->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(e->multi, lane->curl);
    if (code == CURLE_OK && status >= 200 && status < 300) {
        if (lane->naming) {
            lane_next(e, lane);
            return;
        }
        lane->naming = true;
        lane_request(e, lane);
        return;
    }
    if ((code == CURLE_COULDNT_CONNECT || status == 503 || status == 429) && clock_ms() < e->give_up_ms) {
        e->pause = true;
        lane_request(e, lane);
        return;
    }
    fail(e, lane, code, status);
    lane->model = NULL;
}

static struct lane *lane_of(struct enrolment *e, const CURL *curl)
{
    size_t i = 0;

    while (e->lanes[i].curl != curl)
        i++;
    must(i < LANES);
    return &e->lanes[i];
}

static void work(struct enrolment *e)
{
    int running = 1, left;
    CURLMsg *message;

    while (running > 0) {
        curl_multi_perform(e->multi, &running);
        while ((message = curl_multi_info_read(e->multi, &left)) != NULL) {
            if (message->msg != CURLMSG_DONE)
                continue;
            on_done(e, lane_of(e, message->easy_handle), message->data.result);
            running = 1; /* a lane may have a new request */
        }
        if (e->pause)
            usleep(PAUSE_US);
        e->pause = false;
        if (running > 0)
            curl_multi_poll(e->multi, NULL, 0, 100, NULL);
    }
}

bool swarm_enrol_all(const struct swarm_models *models, const struct swarm_enrol_target *target,
                     char error[SWARM_ERROR_SIZE])
{
    struct enrolment e = {.target = target,
                          .next = swarm_models_first(models),
                          .give_up_ms = clock_ms() + GIVE_UP_MS,
                          .error = error};
    char *authorization = mem_printf("Authorization: Bearer %s", target->token);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    e.multi = curl_multi_init();
    must(e.multi != NULL);
    e.headers = curl_slist_append(curl_slist_append(NULL, authorization), "Content-Type: application/json");
    free(authorization);
    for (size_t i = 0; i < LANES; i++) {
        struct lane *lane = &e.lanes[i];

        lane->curl = curl_easy_init();
        must(lane->curl != NULL);
        curl_easy_setopt(lane->curl, CURLOPT_HTTPHEADER, e.headers);
        curl_easy_setopt(lane->curl, CURLOPT_WRITEFUNCTION, on_answer);
        curl_easy_setopt(lane->curl, CURLOPT_WRITEDATA, lane);
        curl_easy_setopt(lane->curl, CURLOPT_TIMEOUT_MS, 10000L);
        curl_easy_setopt(lane->curl, CURLOPT_NOPROXY, "*"); /* loopback only */
        lane_next(&e, lane);
    }
    work(&e);
    for (size_t i = 0; i < LANES; i++) {
        curl_multi_remove_handle(e.multi, e.lanes[i].curl);
        curl_easy_cleanup(e.lanes[i].curl);
        free(e.lanes[i].url);
        free(e.lanes[i].body);
    }
    curl_slist_free_all(e.headers);
    curl_multi_cleanup(e.multi);
    curl_global_cleanup();
    return !e.failed;
}
