#include "fleet/reach_message.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

#define VERSION 1
#define ARGUMENT_MAX 1024 /* no device takes more (device-protocol 4.5) */

static const char *const kinds[] = {"ping", "describe", "call", "read", "signal"};
/* By enum device_ask. */
static const char *const asks[] = {"answered", "no_answer", "not_connected", "moved",
                                   "error",    "busy",      "too_long"};

static int find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return (int)i;
    }
    return -1;
}

static char *dump(json_t *message)
{
    char *text = message != NULL ? json_dumps(message, JSON_COMPACT) : NULL;

    json_decref(message);
    return text;
}

/* An object of our version, or NULL. */
static json_t *load(const uint8_t *data, size_t data_len)
{
    json_t *root = json_loadb((const char *)data, data_len, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(root) && json_integer_value(json_object_get(root, "v")) == VERSION)
        return root;
    json_decref(root);
    return NULL;
}

static bool read_integer(const json_t *root, const char *key, int64_t min, int64_t max, int64_t *value)
{
    const json_t *found = json_object_get(root, key);

    *value = json_integer_value(found);
    return json_is_integer(found) && *value >= min && *value <= max;
}

static bool read_bool(const json_t *root, const char *key, bool *value)
{
    const json_t *found = json_object_get(root, key);

    *value = json_is_true(found);
    return json_is_boolean(found);
}

static bool read_text(const json_t *root, const char *key, size_t max, const char **value)
{
    const json_t *found = json_object_get(root, key);

    *value = json_string_value(found);
    return json_is_string(found) && json_string_length(found) <= max;
}

static bool read_id(const json_t *root, struct device_id *id)
{
    const char *text;

    return read_text(root, "d", DEVICE_ID_TEXT_SIZE, &text) && device_id_parse(id, text, strlen(text));
}

static bool read_number(const json_t *root, uint64_t *number)
{
    int64_t value;

    if (!read_integer(root, "n", 0, (int64_t)REACH_NUMBER_MAX, &value))
        return false;
    *number = (uint64_t)value;
    return true;
}

/* --- questions --- */

static json_t *ask_json(const struct reach_question *q)
{
    switch (q->kind) {
    case REACH_DESCRIBE:
        return json_pack("{si}", "part", (int)q->part);
    case REACH_CALL:
        return json_pack("{ssss}", "name", q->name, "arg", q->argument);
    case REACH_READ:
        return json_pack("{ss}", "name", q->name);
    case REACH_SIGNAL:
        return json_pack("{sb}", "on", (int)q->on);
    case REACH_PING:
    case REACH_KIND_COUNT:
        break;
    }
    return json_object();
}

char *reach_message_ask(uint64_t number, const struct device_id *id, const struct reach_question *question,
                        uint32_t timeout_ms)
{
    char text[DEVICE_ID_TEXT_SIZE];
    json_t *message = ask_json(question);

    if (message == NULL)
        return NULL;
    device_id_format(text, id);
    (void)json_object_set_new(message, "v", json_integer(VERSION));
    (void)json_object_set_new(message, "n", json_integer((json_int_t)number));
    (void)json_object_set_new(message, "d", json_string(text));
    (void)json_object_set_new(message, "k", json_string(kinds[question->kind]));
    (void)json_object_set_new(message, "ms", json_integer(timeout_ms));
    return dump(message);
}

static bool read_part(const json_t *root, struct reach_question *q)
{
    int64_t part;

    if (!read_integer(root, "part", DESCRIBE_SYSTEM, DESCRIBE_METRICS, &part))
        return false;
    q->part = (enum describe_part)part;
    return part == DESCRIBE_SYSTEM || part == DESCRIBE_APPLICATION || part == DESCRIBE_METRICS;
}

static bool read_question(const json_t *root, struct reach_question *q)
{
    const char *kind;
    int64_t timeout_ms;

    if (!read_text(root, "k", DESCRIBE_NAME_MAX, &kind) ||
        !read_integer(root, "ms", 1, REACH_TIMEOUT_MAX_MS, &timeout_ms))
        return false;
    int found = find(kinds, REACH_KIND_COUNT, kind);
    q->kind = found < 0 ? REACH_KIND_COUNT : (enum reach_kind)found;
    q->timeout_ms = (uint32_t)timeout_ms;
    switch (q->kind) {
    case REACH_PING:
        return true;
    case REACH_DESCRIBE:
        return read_part(root, q);
    case REACH_CALL:
        return read_text(root, "name", DESCRIBE_NAME_MAX, &q->name) &&
               read_text(root, "arg", ARGUMENT_MAX, &q->argument);
    case REACH_READ:
        return read_text(root, "name", DESCRIBE_NAME_MAX, &q->name);
    case REACH_SIGNAL:
        return read_bool(root, "on", &q->on);
    case REACH_KIND_COUNT:
        break;
    }
    return false;
}

bool reach_message_read_ask(struct reach_asked *asked, const uint8_t *data, size_t data_len)
{
    *asked = (struct reach_asked){.root = load(data, data_len)};
    if (asked->root == NULL)
        return false;
    if (read_number(asked->root, &asked->number) && read_id(asked->root, &asked->id) &&
        read_question(asked->root, &asked->question))
        return true;
    reach_asked_deinit(asked);
    return false;
}

void reach_asked_deinit(struct reach_asked *asked)
{
    json_decref(asked->root);
    asked->root = NULL;
}

/* --- answers --- */

char *reach_message_answer(uint64_t number, const struct device_answer *answer)
{
    json_t *message = json_pack("{sisIsssb}", "v", VERSION, "n", (json_int_t)number, "a", asks[answer->ask],
                                "sent", (int)answer->sent);
    char *hex = mem_alloc(2 * answer->data_len + 1);

    (void)json_object_set_new(message, "code", json_integer(answer->code));
    (void)json_object_set_new(message, "result", json_integer(answer->result));
    (void)json_object_set_new(message, "rtt", json_integer(answer->rtt_ms));
    hex_encode(hex, answer->data, answer->data_len);
    (void)json_object_set_new(message, "data", json_string(hex));
    free(hex);
    return dump(message);
}

static bool read_numbers(const json_t *root, struct device_answer *answer)
{
    int64_t code, result, rtt_ms;

    if (!read_integer(root, "code", 0, UINT8_MAX, &code) ||
        !read_integer(root, "result", INT32_MIN, INT32_MAX, &result) ||
        !read_integer(root, "rtt", 0, UINT32_MAX, &rtt_ms))
        return false;
    answer->code = (uint8_t)code;
    answer->result = (int32_t)result;
    answer->rtt_ms = (uint32_t)rtt_ms;
    return true;
}

static bool read_data(const json_t *root, struct device_answer *answer, uint8_t room[DEVICE_VARIABLE_MAX])
{
    const char *hex;

    if (!read_text(root, "data", 2 * DEVICE_VARIABLE_MAX, &hex))
        return false;
    answer->data = room;
    answer->data_len = strlen(hex) / 2;
    return hex_decode(room, answer->data_len, hex, strlen(hex));
}

static bool read_answer(const json_t *root, struct device_answer *answer, uint8_t room[DEVICE_VARIABLE_MAX])
{
    const char *name;

    if (!read_text(root, "a", DESCRIBE_NAME_MAX, &name))
        return false;
    int found = find(asks, sizeof(asks) / sizeof(asks[0]), name);
    if (found < 0)
        return false;
    answer->ask = (enum device_ask)found;
    return read_bool(root, "sent", &answer->sent) && read_numbers(root, answer) &&
           read_data(root, answer, room);
}

bool reach_message_read_answer(uint64_t *number, struct device_answer *answer,
                               uint8_t room[DEVICE_VARIABLE_MAX], const uint8_t *data, size_t data_len)
{
    json_t *root = load(data, data_len);

    *answer = (struct device_answer){.ask = DEVICE_NO_ANSWER};
    bool read = root != NULL && read_number(root, number) && read_answer(root, answer, room);
    json_decref(root);
    return read;
}

/* --- ends of sessions --- */

char *reach_message_revoke(const struct device_id *id)
{
    char text[DEVICE_ID_TEXT_SIZE];

    device_id_format(text, id);
    return dump(json_pack("{siss}", "v", VERSION, "d", text));
}

bool reach_message_read_revoke(struct device_id *id, const uint8_t *data, size_t data_len)
{
    json_t *root = load(data, data_len);
    bool read = root != NULL && read_id(root, id);

    json_decref(root);
    return read;
}
