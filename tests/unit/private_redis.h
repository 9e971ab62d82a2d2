/* private_redis.h: a real Redis for one test program: its own folder, a unix socket in it, no network.
 *
 * It keeps what it holds in its folder, as ./run's does, so that it is there again after a kill. It ends with
 * the test program, however that ends. */
#ifndef CYAN_TESTS_PRIVATE_REDIS_H
#define CYAN_TESTS_PRIVATE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct private_redis {
    char folder[64];
    char socket[80];
    char password[32]; /* "": none; takes effect at the next start */
    pid_t pid;         /* 0: not running */
};

/* Makes the folder and starts it. False, with the reason on stderr, when there is no Redis to start. */
bool private_redis_init(struct private_redis *p);
bool private_redis_start(struct private_redis *p);  /* returns when it answers */
void private_redis_kill(struct private_redis *p);   /* SIGKILL */
void private_redis_freeze(struct private_redis *p); /* SIGSTOP: the sockets stay open, nothing answers */
void private_redis_thaw(struct private_redis *p);
void private_redis_deinit(struct private_redis *p);

/* One command and its answer, blocking: out gets the text, or the number, or the error, or "(nil)", or how
 * many items a list has. NULL ends the words. */
const char *private_redis_ask(const struct private_redis *p, char *out, size_t out_size, const char *word,
                              ...) __attribute__((sentinel));

#endif
