/* stream_log.h: the text that all readers of one feed are to get, kept once, and each reader's place in it.
 *
 *   first [......]->[......]->[....  ] last        a reader is in one chunk; what all have passed is given
 * back
 *
 * An entry is appended whole, lies in one chunk and ends in an empty line; what a reader is given begins and
 * ends between entries. A feed whose readers have all that there is keeps one chunk. total counts the bytes
 * of many logs, for whoever bounds them together. Ownership: the logs are the caller's memory, chunks are
 * ours; a reader's place is its own and leaves before the log is gone. Loop thread only. */
#ifndef CYAN_API_STREAM_LOG_H
#define CYAN_API_STREAM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_CHUNK_MIN_BYTES 2048
#define STREAM_CHUNK_MAX_BYTES 32768

struct stream_chunk;
struct stream_log {
    struct stream_chunk *first, *last; /* private, as all but end */
    uint64_t end;                      /* bytes appended so far */
    size_t *total;                     /* borrowed: of many logs */
};
struct stream_place { /* of a reader */
    struct stream_chunk *chunk;
    size_t offset; /* in chunk */
    uint64_t at;   /* bytes passed, counted as end is */
};

void stream_log_init(struct stream_log *log, size_t *total);
void stream_log_deinit(struct stream_log *log);
/* Behind everything appended so far. */
void stream_log_join(struct stream_log *log, struct stream_place *place);
void stream_log_leave(struct stream_log *log, struct stream_place *place);
/* entry_len: 1 to STREAM_CHUNK_MAX_BYTES. */
void stream_log_append(struct stream_log *log, const char *entry, size_t entry_len);
/* Moves the reader past as many whole entries as fit into out; 0: it has all, or out is smaller than the
 * next. */
size_t stream_log_read(struct stream_log *log, struct stream_place *place, char *out, size_t out_size);
bool stream_log_has_more(const struct stream_log *log, const struct stream_place *place);
/* How far the hindmost reader is behind, at most a chunk too much. */
uint64_t stream_log_lag(const struct stream_log *log);

#endif
