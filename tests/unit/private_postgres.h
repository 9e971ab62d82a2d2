/* private_postgres.h: a real Postgres for one test program: its own folder, a unix socket in it, no network.
 *
 * As root it runs as the unprivileged user `postgres` or `nobody`, because Postgres refuses root. It ends
 * with the test program, however that ends. fsync is off: what is tested is the loss of processes, not of
 * power. */
#ifndef CYAN_TESTS_PRIVATE_POSTGRES_H
#define CYAN_TESTS_PRIVATE_POSTGRES_H

#include <stdbool.h>
#include <sys/types.h>

struct private_postgres {
    char folder[64];
    char conninfo[160];
    pid_t pid; /* 0: not running */
};

/* Makes the cluster and starts it. False, with the reason on stderr, when there is no Postgres to start. */
bool private_postgres_init(struct private_postgres *p);
bool private_postgres_start(struct private_postgres *p); /* returns when it takes connections */
void private_postgres_kill(struct private_postgres *p);  /* SIGKILL to every process of it */
void private_postgres_freeze(
    struct private_postgres *p); /* SIGSTOP: the sockets stay open, nothing answers */
void private_postgres_thaw(struct private_postgres *p);
void private_postgres_deinit(struct private_postgres *p);

#endif
