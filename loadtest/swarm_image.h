/* swarm_image.h: the contents of files under way, one copy for all devices that receive the same one.
 *
 * A device keeps which of its chunks have arrived, and an image what is in them: the first device that gets a
 * byte writes it, every other compares. One whose byte differs goes on with a copy of its own, so that nobody
 * is believed for another. A thousand devices at once so cost one file and not a thousand.
 *
 * Ownership: swarm_image_get gives a reference, swarm_image_release takes it. Loop thread only. */
#ifndef CYAN_LOADTEST_SWARM_IMAGE_H
#define CYAN_LOADTEST_SWARM_IMAGE_H

#include "swarm_binary.h"
#include <uthash.h>

struct swarm_image_key {
    uint32_t file_bytes;
    uint8_t sha256[SWARM_HASH_BYTES]; /* all zero: the server did not say, see swarm_image_get */
};
struct swarm_image {
    UT_hash_handle hh;
    struct swarm_image_key key;
    struct swarm_images *all; /* borrowed: outlives this */
    uint8_t *data;            /* ours: key.file_bytes */
    uint8_t *known;           /* ours: 1 for each byte that somebody received */
    uint32_t refs;
    bool is_shared; /* in the table of all */
    bool is_checked;
    enum swarm_code code; /* once checked */
    struct swarm_binary binary;
};
struct swarm_images {
    struct swarm_image *by_key;
};

/* Without a SHA-256 (old protocols have none) files of one size begin as one and part at their first
 * difference. */
struct swarm_image *swarm_image_get(struct swarm_images *all, const struct swarm_image_key *key);
void swarm_image_release(struct swarm_image *image); /* NULL is fine */
/* at + len is within the file. False: others received something else there, and *image is now a copy of the
 * caller's own. */
bool swarm_image_write(struct swarm_image **image, size_t at, const uint8_t *data, size_t len);
/* For a caller that has received all of it. */
enum swarm_code swarm_image_check(struct swarm_image *image);

#endif
