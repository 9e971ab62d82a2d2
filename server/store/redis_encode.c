/* redis_encode.c: bytes to and from Redis: commands in its protocol, answers as redis.h shows them.
 *
 * A command is a list of counted strings: `*2 CRLF $3 CRLF GET CRLF $1 CRLF k CRLF` (Redis documentation,
 * RESP). */
#include "store/redis_inner.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

#define KEPT_BYTES 1048576 /* of an empty buffer: what a storm made larger is given back */
#define HEADER_MAX 24      /* `$`, a number, CRLF */

void redis_buffer_put(struct redis_buffer *b, const void *data, size_t data_len)
{
    if (b->size - b->len < data_len) {
        size_t size = b->size ? b->size : 4096;
        while (size - b->len < data_len)
            size *= 2;
        b->data = mem_grow(b->data, size, 1);
        b->size = size;
    }
    if (data_len > 0)
        memcpy(b->data + b->len, data, data_len);
    b->len += data_len;
}

void redis_buffer_reset(struct redis_buffer *b)
{
    b->len = 0;
    if (b->size <= KEPT_BYTES)
        return;
    free(b->data);
    *b = (struct redis_buffer){0};
}

static void put_header(struct redis_buffer *b, char mark, size_t number)
{
    char text[HEADER_MAX];
    int text_len = snprintf(text, sizeof text, "%c%zu\r\n", mark, number);
    redis_buffer_put(b, text, (size_t)text_len);
}

void redis_put_count(struct redis_buffer *b, size_t count)
{
    put_header(b, '*', count);
}

void redis_put_arg(struct redis_buffer *b, const void *data, size_t data_len)
{
    put_header(b, '$', data_len);
    redis_buffer_put(b, data, data_len);
    redis_buffer_put(b, "\r\n", 2);
}

void redis_put_text(struct redis_buffer *b, const char *text)
{
    redis_put_arg(b, text, strlen(text));
}

size_t redis_args_bytes(const struct redis_arg *args, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += args[i].data_len + HEADER_MAX;
    return bytes;
}

void redis_script_sha(char out[REDIS_SHA_TEXT_SIZE], const char *text)
{
    uint8_t digest[SHA_DIGEST_LENGTH];
    (void)SHA1((const uint8_t *)text, strlen(text), digest);
    hex_encode(out, digest, sizeof digest);
}

struct redis_arg redis_arg_text(const char *text)
{
    return (struct redis_arg){.data = text, .data_len = strlen(text)};
}

struct redis_arg redis_arg_int(struct redis_number *n, int64_t value)
{
    int len = snprintf(n->text, sizeof n->text, "%lld", (long long)value);
    return (struct redis_arg){.data = n->text, .data_len = (size_t)len};
}

/* --- answers --- */

const struct redis_reply *redis_reply_of(const redisReply *reply)
{
    return (const struct redis_reply *)(const void *)reply;
}

static const redisReply *inner(const struct redis_reply *r)
{
    return (const redisReply *)(const void *)r;
}

enum redis_kind redis_kind(const struct redis_reply *r)
{
    if (!r)
        return REDIS_NIL;
    switch (inner(r)->type) {
    case REDIS_REPLY_INTEGER:
        return REDIS_INT;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return REDIS_TEXT;
    case REDIS_REPLY_ARRAY:
        return REDIS_LIST;
    case REDIS_REPLY_ERROR:
        return REDIS_ERROR;
    default:
        return REDIS_NIL;
    }
}

int64_t redis_int(const struct redis_reply *r)
{
    enum redis_kind kind = redis_kind(r);
    char *end;
    if (kind == REDIS_INT)
        return inner(r)->integer;
    if (kind != REDIS_TEXT || inner(r)->len == 0)
        return 0;
    const char *text = inner(r)->str;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno == 0 && end == text + inner(r)->len ? value : 0;
}

const char *redis_text(const struct redis_reply *r, size_t *text_len)
{
    enum redis_kind kind = redis_kind(r);
    bool has_text = (kind == REDIS_TEXT || kind == REDIS_ERROR) && inner(r)->str;
    if (text_len)
        *text_len = has_text ? inner(r)->len : 0;
    return has_text ? inner(r)->str : "";
}

size_t redis_count(const struct redis_reply *r)
{
    return redis_kind(r) == REDIS_LIST ? inner(r)->elements : 0;
}

const struct redis_reply *redis_item(const struct redis_reply *r, size_t i)
{
    return i < redis_count(r) ? redis_reply_of(inner(r)->element[i]) : NULL;
}
