#include "base/random.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/must.h"

#define PAGE_BYTES 4096

static void fetch(uint8_t *out, size_t out_len)
{
    while (out_len > 0) {
        ssize_t got = getrandom(out, out_len, 0);
        must(got > 0 || (got < 0 && errno == EINTR));
        if (got > 0) {
            out += got;
            out_len -= (size_t)got;
        }
    }
}

void random_bytes(void *out, size_t out_len)
{
    static _Thread_local uint8_t page[PAGE_BYTES];
    static _Thread_local size_t left; /* at the end of page */

    if (out_len > PAGE_BYTES / 4) {
        fetch(out, out_len);
        return;
    }
    if (left < out_len) {
        fetch(page, sizeof(page));
        left = sizeof(page);
    }
    uint8_t *from = page + sizeof(page) - left;
    memcpy(out, from, out_len);
    bytes_wipe(from, out_len);
    left -= out_len;
}
