/* fuzz_session.c: what Redis or the session file may hold of a session: the header in Redis, the inner form
 * of the image, and what the device room kept with it. What is accepted comes out the same when it is written
 * again. */
#include <string.h>

#include "base/clock.h"
#include "device/devices.h"
#include "handshake/session_image.h"
#include "handshake/session_stored.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void written_again(const struct session_image *image)
{
    struct session s = {
        .record = image->record, .path = image->path, .profile = image->profile, .named = image->named};
    struct session_image again;
    uint8_t out[1024];
    memcpy(s.name, image->name, sizeof s.name);
    size_t len = session_image_write(&s, image->record.send_seq, image->heard_wall_ms, image->owner,
                                     image->owner_len, out, sizeof out);
    must(session_image_read(out, len, &again));
    must(memcmp(&again, image, sizeof again) == 0);
}

/* Is it taken in, and what is kept of it then? */
static void restored(const struct session_image *image)
{
    static const struct devices_settings settings = {.offline_after_ms = 1000, .hello_timeout_ms = 1000};
    static const struct device_ops ops = {0};
    struct session s = {.record = image->record, .profile = image->profile, .id = 1};
    struct metrics *metrics = metrics_new();
    uint8_t saved[SESSION_OWNER_MAX];
    struct deadlines deadlines;
    deadlines_init(&deadlines);
    struct devices *all = devices_new(&deadlines, &ops, metrics, &settings);
    if (devices_dtls_ops.restored(all, &s, image->owner, image->owner_len, true)) {
        must(devices_dtls_ops.save(all, &s, saved) > 0);
        devices_dtls_ops.ended(all, &s, SESSION_END_MOVED);
    }
    devices_free(all);
    deadlines_deinit(&deadlines);
    metrics_free(metrics);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session_image image;
    struct session_stored stored;
    char text[2048];
    if (size < sizeof text) { /* Redis's texts end in a NUL */
        memcpy(text, data, size);
        text[size] = '\0';
        if (session_stored_read(text, size, &stored))
            must(stored.image_len <= size);
    }
    if (!session_image_read(data, size, &image))
        return 0;
    written_again(&image);
    restored(&image);
    return 0;
}
