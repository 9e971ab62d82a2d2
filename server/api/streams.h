/* streams.h: everybody who reads an event stream of this node.
 *
 *   stream: RESTING --something new--> WAKING --its turn--> FLOWING --has all--> RESTING
 *                                                  FLOWING --too far behind--> ENDING --last words, or 1 s-->
 * (gone) any --token, rights, shutdown--> ENDING            any --client gone--> (gone)
 *
 * What readers ask for the same share one feed (stream_index.h), whose text is kept once (stream_log.h). An
 * event costs an entry in each feed it belongs to and nothing for a reader. After each look at what was
 * published (fleet/event_tail.h) the readers of feeds with something new are woken, as many as keep what is
 * written in a turn of the loop to STREAMS_A_TURN of them, and each is written what it has not got in one
 * piece; the next look waits until all had their turn.
 *
 * Bounded: so many streams in all and to one address; a reader that is lag_bytes behind for STREAMS_BEHIND_MS
 * is cut, and the hindmost ones at once when all feeds together hold STREAMS_BYTES_MAX, of which one look
 * adds STREAMS_ROUND_BYTES. A cut is counted by its reason, logged, and its last words are a comment when
 * they can be written. Tokens and rights are looked at again every STREAMS_CHECK_MS. Ownership: made and
 * closed by api.c. Loop thread only. */
#ifndef CYAN_API_STREAMS_H
#define CYAN_API_STREAMS_H

#include <uv.h>

#include "api/room.h"
#include "api/stream_index.h"
#include "fleet/stream_access.h"

#define STREAMS_A_TURN 100 /* readers that are written to, each at most 32 KiB */
#define STREAMS_BYTES_MAX ((size_t)128 * 1048576)
#define STREAMS_ROUND_BYTES                                                                                  \
    ((size_t)8 * 1048576) /* an event goes into each of its feeds: then they are read */
#define STREAMS_CHECK_MS 5000
#define STREAMS_LAST_WORDS_MS 1000
#define STREAMS_BEHIND_MS 1000 /* longer than it takes to write to everybody once */

struct streams;
struct streams *streams_new(uv_loop_t *loop, struct api *api, const struct stream_settings *settings);
/* Ends every stream; none is opened any more. */
void streams_stop(struct streams *s);
/* Stopped, and http has ended every request. */
void streams_close(struct streams *s, void (*closed)(void *arg), void *arg);

/* Before the fleet is asked to open the first stream: to it goes what is published. */
void streams_follow(struct streams *s);
/* Answers r with a stream of this feed, or with 429 or 503. what: the rights it depends on. */
void streams_open(struct streams *s, struct http_request *r, const struct stream_key *key,
                  const struct stream_right *right);

#endif
