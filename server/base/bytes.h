/* bytes.h: big- and little-endian integers, hex, bounded reading and writing of byte strings.
 *
 * A reader never reads past its end: once a read does not fit, `bad` is set, every later read returns zeros,
 * and the caller checks `bad` once at the end. A writer behaves alike. Memory belongs to the caller. */
#ifndef CYAN_BASE_BYTES_H
#define CYAN_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes_reader {
    const uint8_t *at, *end; /* borrowed: outlives this */
    bool bad;
};
void bytes_reader_init(struct bytes_reader *r, const void *data, size_t data_len);
size_t bytes_left(const struct bytes_reader *r);
uint8_t bytes_get_u8(struct bytes_reader *r);
uint16_t bytes_get_be16(struct bytes_reader *r);
uint32_t bytes_get_be24(struct bytes_reader *r);
uint32_t bytes_get_be32(struct bytes_reader *r);
uint64_t bytes_get_be48(struct bytes_reader *r);
uint64_t bytes_get_be64(struct bytes_reader *r);
uint16_t bytes_get_le16(struct bytes_reader *r);
uint32_t bytes_get_le32(struct bytes_reader *r);
/* Returns the start of n bytes and moves past them; NULL when they are not there. */
const uint8_t *bytes_get(struct bytes_reader *r, size_t n);
/* A reader over the next n bytes, which r moves past; bad when they are not there. */
struct bytes_reader bytes_sub(struct bytes_reader *r, size_t n);

struct bytes_writer {
    uint8_t *start, *at, *end; /* borrowed */
    bool bad;
};
void bytes_writer_init(struct bytes_writer *w, void *out, size_t out_size);
size_t bytes_written(const struct bytes_writer *w);
void bytes_put_u8(struct bytes_writer *w, uint8_t v);
void bytes_put_be16(struct bytes_writer *w, uint16_t v);
void bytes_put_be24(struct bytes_writer *w, uint32_t v);
void bytes_put_be32(struct bytes_writer *w, uint32_t v);
void bytes_put_be48(struct bytes_writer *w, uint64_t v);
void bytes_put_be64(struct bytes_writer *w, uint64_t v);
void bytes_put(struct bytes_writer *w, const void *data, size_t data_len);

static inline uint16_t be16_load(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t be32_load(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t be48_load(const uint8_t *p)
{
    return (uint64_t)be16_load(p) << 32 | be32_load(p + 2);
}
static inline uint64_t be64_load(const uint8_t *p)
{
    return (uint64_t)be32_load(p) << 32 | be32_load(p + 4);
}
static inline void be16_store(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void be32_store(uint8_t *p, uint32_t v)
{
    be16_store(p, (uint16_t)(v >> 16));
    be16_store(p + 2, (uint16_t)v);
}
static inline void be48_store(uint8_t *p, uint64_t v)
{
    be16_store(p, (uint16_t)(v >> 32));
    be32_store(p + 2, (uint32_t)v);
}
static inline void be64_store(uint8_t *p, uint64_t v)
{
    be32_store(p, (uint32_t)(v >> 32));
    be32_store(p + 4, (uint32_t)v);
}

/* Decimal, NUL-terminated; returns the number of characters before that. */
#define DECIMAL_TEXT_SIZE 21
size_t decimal_encode(char out[DECIMAL_TEXT_SIZE], int64_t value);
/* out: 2 * data_len + 1 bytes, lowercase, NUL-terminated. */
void hex_encode(char *out, const void *data, size_t data_len);
/* Exactly 2 * data_len digits of either case, no more. False and out undefined otherwise. */
bool hex_decode(void *out, size_t data_len, const char *text, size_t text_len);

/* True when the two are equal; the time taken depends on len alone. */
bool bytes_equal_secret(const void *a, const void *b, size_t len);
/* Overwrites a secret in a way the compiler keeps. */
void bytes_wipe(void *data, size_t len);

#endif
