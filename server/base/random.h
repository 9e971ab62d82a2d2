/* random.h: unpredictable bytes of the kernel, fetched a page at a time.
 *
 * A handshake asks for a few bytes several times; a system call, or libcrypto's generator, costs more than
 * the bytes are worth. What was handed out is overwritten at once. Any thread, each with a page of its own;
 * not to be used on both sides of a fork. */
#ifndef CYAN_BASE_RANDOM_H
#define CYAN_BASE_RANDOM_H

#include <stddef.h>

/* Succeeds or ends the process, as mem_alloc does. */
void random_bytes(void *out, size_t out_len);

#endif
