/* outbox.h: datagrams on their way out, gathered and handed to the kernel several at a time.
 *
 * What one turn of the loop sends goes out with one system call for each socket in a row, in the order it was
 * pushed. The owner flushes at the end of what it did and before the loop waits, so that nothing is kept
 * longer than the turn. Memory: a fixed number of slots, made once. A datagram the kernel does not take is a
 * lost one, as on any network, and counted. Loop thread only. */
#ifndef CYAN_NET_OUTBOX_H
#define CYAN_NET_OUTBOX_H

#include "base/metrics.h"
#include "net/path.h"

#define OUTBOX_SLOTS 64
#define OUTBOX_DATAGRAM_MAX 2048 /* bytes */

struct outbox;

/* sent, failed: borrowed, counted by datagram. */
struct outbox *outbox_new(struct metric *sent, struct metric *failed);
void outbox_free(struct outbox *o); /* what is in it is lost */
/* Copies data. Flushes first when all slots are taken. False: too long. */
bool outbox_push(struct outbox *o, int fd, bool v6, const struct net_path *path, const uint8_t *data,
                 size_t data_len);
void outbox_flush(struct outbox *o);

#endif
