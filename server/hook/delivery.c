/* delivery.c: one attempt: the request made and sent, the answer judged and told of in events. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "fleet/hook_event.h"
#include "fleet/utf8.h"
#include "hook/hook_request.h"
#include "hook/hooks_inner.h"

#define PART_BYTES 512 /* of an answer in one event */
#define PARTS_MAX 16
#define VALUE_MAX_BYTES 65536

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macro */
void delivery_free(struct delivery *d)
{
    DL_DELETE(d->h->deliveries, d);
    d->h->delivery_count--;
    d->h->under_way->value = d->h->delivery_count;
    web_cancel(&d->call);
    free(d->host);
    free(d->name);
    free(d->value);
    free(d->error);
    json_decref(d->spec);
    free(d);
}

/* --- the event as templates see it --- */

struct seen {
    struct hook_event event;
    char device_id[DEVICE_ID_TEXT_SIZE], published_at[CLOCK_TEXT_SIZE], delivery[48];
};

static void see(struct seen *seen, const struct delivery *d)
{
    if (d->has_device)
        device_id_format(seen->device_id, &d->device);
    else
        (void)snprintf(seen->device_id, sizeof seen->device_id, "api");
    clock_format(seen->published_at, d->published_ms);
    (void)snprintf(seen->delivery, sizeof seen->delivery, "%" PRId64 "-%" PRId64, d->webhook_id, d->id);
    seen->event = (struct hook_event){.name = d->name,
                                      .value = d->value,
                                      .device_id = seen->device_id,
                                      .published_at = seen->published_at,
                                      .delivery = seen->delivery,
                                      .attempt = (int)d->attempt};
}

/* --- what came back becomes events --- */

/* The same for every attempt: told twice it is one event. */
static void event_hash(const struct seen *seen, bool is_error, unsigned part,
                       uint8_t out[HOOK_EVENT_HASH_BYTES])
{
    char text[96];
    uint8_t hash[EVP_MAX_MD_SIZE];
    int text_len = snprintf(text, sizeof text, "webhook %s %s %u", seen->delivery,
                            is_error ? "error" : "response", part);
    must(EVP_Digest(text, (size_t)text_len, hash, NULL, EVP_sha256(), NULL) == 1);
    memcpy(out, hash, HOOK_EVENT_HASH_BYTES);
}

/* Where a part that begins at text ends: not inside a character. */
static size_t part_len(const char *text)
{
    size_t len = strlen(text);
    if (len <= PART_BYTES)
        return len;
    for (len = PART_BYTES; ((unsigned char)text[len] & 0xc0) == 0x80; len--)
        ;
    return len;
}

static void publish_parts(const struct delivery *d, const struct seen *seen, bool is_error, const char *text)
{
    char *topic = hook_request_topic(d->spec, &seen->event, is_error), data[PART_BYTES + 1];
    uint8_t hash[HOOK_EVENT_HASH_BYTES];
    for (unsigned part = 0; *text != '\0' && part < PARTS_MAX; part++) {
        size_t len = part_len(text);
        char *name = mem_printf("%s/%u", topic, part);
        memcpy(data, text, len);
        data[len] = '\0';
        event_hash(seen, is_error, part, hash);
        if (fleet_publish_hook_event(d->h->fleet, d->has_device ? &d->device : NULL, d->owner_id, hash, name,
                                     data))
            d->h->answers->value++;
        else
            d->h->answers_lost->value++; /* its name is longer than devices take */
        free(name);
        text += len;
    }
    free(topic);
}

static void publish_answer(const struct delivery *d, const struct web_answer *answer)
{
    struct seen seen;
    see(&seen, d);
    if (!strcmp(d->outcome, "dead")) {
        publish_parts(d, &seen, true, d->error);
    } else if (!strcmp(d->outcome, "delivered") && answer->body_len > 0) {
        char *clean = mem_alloc(answer->body_len + 1);
        utf8_clean(clean, answer->body_len + 1, answer->body, answer->body_len);
        char *text = hook_request_answer(d->spec, &seen.event, clean);
        publish_parts(d, &seen, false, text);
        free(text);
        free(clean);
    }
}

/* --- the end of an attempt --- */

static void end(struct delivery *d, const char *outcome)
{
    d->outcome = outcome;
    d->state = DELIVERY_ENDED;
    hooks_ended(d->h);
}

static void end_dead(struct delivery *d, const char *why)
{
    d->error = mem_string(why);
    d->h->dead->value++;
    d->outcome = "dead";
    publish_answer(d, NULL);
    end(d, "dead");
}

static void on_answer(void *arg, const struct web_answer *answer)
{
    struct delivery *d = arg;
    struct hooks *h = d->h;
    const struct retry_rule rule = {.backoff_s = h->settings.backoff_s,
                                    .attempts_max = h->settings.attempts_max};
    uint32_t dice;
    d->call = NULL;
    random_bytes(&dice, sizeof dice);
    struct retry retry = retry_judge(&rule, answer, d->attempt, dice);
    static const char *const outcomes[] = {
        [RETRY_DELIVERED] = "delivered", [RETRY_AGAIN] = "again", [RETRY_DEAD] = "dead"};
    d->status = answer->status;
    d->wait_s = retry.wait_s;
    d->hold_s = retry.hold_s;
    if (retry.kind != RETRY_DELIVERED)
        d->error = answer->err == WEB_ANSWERED ? mem_printf("it answered %d", answer->status)
                                               : mem_string(answer->why);
    struct metric *counter = retry.kind == RETRY_DELIVERED ? h->delivered
                             : retry.kind == RETRY_AGAIN   ? h->again
                                                           : h->dead;
    counter->value++;
    log_debug("webhook.attempt webhook=%" PRId64 " delivery=%" PRId64 " attempt=%" PRIu32
              " outcome=%s status=%d",
              d->webhook_id, d->id, d->attempt, outcomes[retry.kind], answer->status);
    d->outcome = outcomes[retry.kind];
    publish_answer(d, answer);
    end(d, outcomes[retry.kind]);
}

void delivery_release(struct delivery *d)
{
    if (d->state != DELIVERY_SENDING)
        return;
    web_cancel(&d->call);
    end(d, "released");
}

/* --- its beginning --- */

static void send_request(struct delivery *d, const json_t *secrets)
{
    struct hook_request request;
    struct seen seen;
    see(&seen, d);
    const char *why =
        hook_request_make(&request, d->spec, secrets, &seen.event, (int64_t)(clock_wall_ms() / 1000));
    if (why) {
        end_dead(d, why);
    } else {
        struct web_request web = {.method = request.method,
                                  .url = request.url,
                                  .headers = (const char *const *)request.headers,
                                  .header_count = request.header_count,
                                  .body = request.body,
                                  .body_len = request.body_len,
                                  .username = request.username,
                                  .password = request.password,
                                  .checks_certificate = request.checks_certificate,
                                  .timeout_ms = d->h->settings.timeout_s * 1000};
        d->call = web_send(d->h->web, &web, on_answer, d);
    }
    hook_request_deinit(&request);
}

/* A new reference; NULL when the server's key is not the one they were sealed under. */
static json_t *open_secrets(const struct hooks *h, const struct pg_result *result, int row, int column)
{
    size_t size = strlen(pg_value(result, row, column)) / 2 + 1, sealed_len;
    uint8_t *sealed = mem_alloc(size);
    char *text = pg_bytea(result, row, column, sealed, size, &sealed_len)
                     ? seal_open(h->key, sealed, sealed_len)
                     : NULL;
    json_t *secrets = text ? json_loads(text, 0, NULL) : NULL;
    free(sealed);
    if (text)
        bytes_wipe(text, strlen(text));
    free(text);
    return secrets;
}

static char *read_value(const struct pg_result *result, int row, int column)
{
    size_t size = strlen(pg_value(result, row, column)) / 2 + 1, data_len;
    uint8_t *data = mem_alloc(size);
    if (!pg_bytea(result, row, column, data, size, &data_len))
        data_len = 0;
    if (data_len > VALUE_MAX_BYTES)
        data_len = VALUE_MAX_BYTES;
    char *value = mem_alloc(data_len + 1);
    utf8_clean(value, data_len + 1, data, data_len);
    free(data);
    return value;
}

void delivery_begin(struct hooks *h, const struct pg_result *result, int row)
{
    struct delivery *d = mem_alloc(sizeof *d);
    size_t id_len;
    *d = (struct delivery){.h = h,
                           .id = pg_int(result, row, 0),
                           .webhook_id = pg_int(result, row, 1),
                           .attempt = (uint32_t)pg_int(result, row, 2),
                           .host = mem_string(pg_value(result, row, 3)),
                           .owner_id = pg_int(result, row, 4),
                           .spec = json_loads(pg_value(result, row, 6), 0, NULL),
                           .has_device = !pg_is_null(result, row, 8),
                           .name = mem_string(pg_value(result, row, 9)),
                           .value = read_value(result, row, 10),
                           .published_ms = (uint64_t)pg_int(result, row, 11)};
    must(d->spec != NULL && d->attempt > 0);
    if (d->has_device)
        must(pg_bytea(result, row, 8, &d->device, sizeof d->device, &id_len) && id_len == sizeof d->device);
    DL_APPEND(h->deliveries, d);
    h->under_way->value = ++h->delivery_count;
    json_t *secrets = open_secrets(h, result, row, 7);
    if (secrets)
        send_request(d, secrets);
    else
        end_dead(d, "its secrets cannot be read: the key of the server has changed since it was made");
    json_decref(secrets);
}
