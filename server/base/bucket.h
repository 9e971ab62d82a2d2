/* bucket.h: a token bucket: `burst` at once, `per_s` on average. Memory is the caller's; no timer. */
#ifndef CYAN_BASE_BUCKET_H
#define CYAN_BASE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    uint64_t refilled_ms;
    uint32_t milli_tokens; /* thousandths */
    uint32_t burst, per_s;
};
void bucket_init(struct bucket *b, uint32_t burst, uint32_t per_s, uint64_t now_ms); /* starts full */
bool bucket_has(struct bucket *b, uint64_t now_ms);                                  /* one could be taken */
bool bucket_is_full(struct bucket *b, uint64_t now_ms);
bool bucket_take(struct bucket *b, uint64_t now_ms); /* false: empty, nothing taken */
/* So many at once; false: there are less, nothing taken. */
bool bucket_take_many(struct bucket *b, uint32_t count, uint64_t now_ms);
/* Until so many are there; 0: they are. UINT64_MAX: never. */
uint64_t bucket_wait_ms(struct bucket *b, uint32_t count, uint64_t now_ms);

#endif
