/* swarm_server_key.h: the server's public key as devices are flashed with it. */
#ifndef CYAN_LOADTEST_SWARM_SERVER_KEY_H
#define CYAN_LOADTEST_SWARM_SERVER_KEY_H

#include "swarm_crypto.h"

/* DER, padding after it allowed. NULL with a sentence (256 bytes) in error. The caller frees. */
struct swarm_verifier *swarm_server_key_load(struct swarm_crypto *c, const char *path, char *error);

#endif
