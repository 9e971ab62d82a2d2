#include "base/bucket.h"

#include "base/must.h"

#define MILLI 1000u

void bucket_init(struct bucket *b, uint32_t burst, uint32_t per_s, uint64_t now_ms)
{
    must(burst <= UINT32_MAX / MILLI);
    b->burst = burst;
    b->per_s = per_s;
    b->milli_tokens = burst * MILLI;
    b->refilled_ms = now_ms;
}

/* One token a second is one thousandth a millisecond: integers lose nothing. */
static void refill(struct bucket *b, uint64_t now_ms)
{
    uint32_t full = b->burst * MILLI;
    uint32_t missing = full - b->milli_tokens;

    if (now_ms <= b->refilled_ms)
        return;
    uint64_t elapsed_ms = now_ms - b->refilled_ms;
    b->refilled_ms = now_ms;
    if (b->per_s == 0)
        return;
    if (elapsed_ms > missing / b->per_s) /* also keeps the product below from overflowing */
        b->milli_tokens = full;
    else
        b->milli_tokens += (uint32_t)elapsed_ms * b->per_s;
}

bool bucket_has(struct bucket *b, uint64_t now_ms)
{
    refill(b, now_ms);
    return b->milli_tokens >= MILLI;
}

bool bucket_is_full(struct bucket *b, uint64_t now_ms)
{
    refill(b, now_ms);
    return b->milli_tokens == b->burst * MILLI;
}

bool bucket_take(struct bucket *b, uint64_t now_ms)
{
    return bucket_take_many(b, 1, now_ms);
}

bool bucket_take_many(struct bucket *b, uint32_t count, uint64_t now_ms)
{
    refill(b, now_ms);
    if (b->milli_tokens / MILLI < count)
        return false;
    b->milli_tokens -= count * MILLI;
    return true;
}

uint64_t bucket_wait_ms(struct bucket *b, uint32_t count, uint64_t now_ms)
{
    refill(b, now_ms);
    if (b->milli_tokens / MILLI >= count)
        return 0;
    if (b->per_s == 0 || count > b->burst)
        return UINT64_MAX;
    return (count * MILLI - b->milli_tokens + b->per_s - 1) / b->per_s;
}
