/* restore.h: what is kept of a device with its session, and how one begins again from that. Private to
 * device/.
 *
 * A device that comes back so tells nothing again: its Hello, describes and subscriptions are in the
 * registry. Only its key is asked about once more, with its first record, because it may have been revoked
 * meanwhile. */
#ifndef CYAN_DEVICE_RESTORE_H
#define CYAN_DEVICE_RESTORE_H

#include "device/link.h"

/* The save and restored of struct dtls_ops; ctx is the struct devices. */
size_t restore_save(void *ctx, const struct session *s, uint8_t *out);
bool restore_begin(void *ctx, struct session *s, const uint8_t *saved, size_t saved_len, bool exact);
/* A RESTORED one was heard. */
void restore_authorise(struct device *device);
/* It goes on as what it was. */
void restore_go_on(struct device *device);

#endif
