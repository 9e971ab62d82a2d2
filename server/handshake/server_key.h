/* server_key.h: the server's P-256 key: made once, kept mode 0600, pinned by every device.
 *
 * keys.dir holds `server_key.pem` (private) and `server_key.der` (public, SubjectPublicKeyInfo, what devices
 * get). Ownership: server_key_free releases. Errors: a one-line reason in why. */
#ifndef CYAN_HANDSHAKE_SERVER_KEY_H
#define CYAN_HANDSHAKE_SERVER_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

#define SERVER_KEY_SPKI_BYTES 91
#define SERVER_KEY_BLOB_BYTES 320 /* what is flashed at DFU address 3298 (device-protocol 1.4) */

struct server_key;

/* Makes both files; refuses to replace an existing key. Makes the folder (0700) when it is missing. 0, or -1.
 */
must_check int server_key_make(const char *dir, char *why, size_t why_size);
bool server_key_exists(const char *dir);
/* NULL when it cannot be read, or is not P-256, or others may read the private file. */
must_check struct server_key *server_key_load(const char *dir, char *why, size_t why_size);
void server_key_free(struct server_key *key);

const uint8_t *server_key_spki(const struct server_key *key); /* SERVER_KEY_SPKI_BYTES */
/* SHA-256 of the SPKI in hex, NUL-terminated. */
void server_key_fingerprint(const struct server_key *key, char out[65]);
/* The padded form devices are flashed with, server address block included. host: IPv4 or a name of at most 63
 * bytes; port in host order. False when host is not acceptable. */
must_check bool server_key_export(const struct server_key *key, const char *host, uint16_t port,
                                  uint8_t out[SERVER_KEY_BLOB_BYTES]);

/* A secret of 32 bytes that follows from the private key and says nothing of it; one for each label (static
 * text). All nodes have the same key, so also the same secrets. */
void server_key_derive(const struct server_key *key, const char *label, uint8_t out[32]);

/* For the rest of this room: DER of the private key and of a self-signed certificate over it. Borrowed from
 * key. */
struct server_key_der {
    const uint8_t *data;
    size_t data_len;
};
struct server_key_der server_key_private(const struct server_key *key);
struct server_key_der server_key_certificate(const struct server_key *key);

#endif
