/* session_image.h: a session as bytes: what Redis and the session file hold of it, and other nodes read.
 *
 * Sealed with AES-128-GCM under a key that follows from the server's own, so that neither a copy of Redis nor
 * of the file gives traffic keys away, and nothing that was changed is believed. Inside: one version byte,
 * then sections `tag, length be16, bytes`. A reader skips tags it does not know and the end of sections
 * longer than it knows; a new field goes to the end of its section, a new version is for what old readers
 * must not read. Pure functions but for randomness. */
#ifndef CYAN_HANDSHAKE_SESSION_IMAGE_H
#define CYAN_HANDSHAKE_SESSION_IMAGE_H

#include "handshake/session.h"

#define SESSION_IMAGE_KEY_BYTES 32
#define SESSION_IMAGE_LABEL "cyan sessions at rest" /* for server_key_derive */
#define SESSION_IMAGE_MAX 640                       /* bytes sealed */

struct session_image {
    struct record_state record; /* send_seq: where to go on sending */
    struct net_path path;
    uint64_t heard_wall_ms;
    uint8_t profile; /* enum session_profile */
    bool named;
    uint8_t name[SESSION_NAME_BYTES];
    uint8_t owner[SESSION_OWNER_MAX];
    size_t owner_len;
};

/* send_from: what takes this image up goes on sending there. Returns the bytes written. */
size_t session_image_seal(const uint8_t key[SESSION_IMAGE_KEY_BYTES], const struct session *s,
                          uint64_t send_from, uint64_t heard_wall_ms, const uint8_t *owner, size_t owner_len,
                          uint8_t out[SESSION_IMAGE_MAX]);
/* False: not sealed under this key for this id, of another version, or malformed. */
must_check bool session_image_open(const uint8_t key[SESSION_IMAGE_KEY_BYTES], uint64_t id,
                                   const uint8_t *data, size_t data_len, struct session_image *image);

/* The inner form alone, for tests and fuzzing. */
size_t session_image_write(const struct session *s, uint64_t send_from, uint64_t heard_wall_ms,
                           const uint8_t *owner, size_t owner_len, uint8_t *out, size_t out_size);
must_check bool session_image_read(const uint8_t *data, size_t data_len, struct session_image *image);

#endif
