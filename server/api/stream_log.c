#include "api/stream_log.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

struct stream_chunk {
    struct stream_chunk *next;
    uint64_t start; /* of its first byte, counted as end is */
    size_t len, size;
    size_t reader_count; /* whose place is in it */
    char text[];
};

static struct stream_chunk *chunk_add(struct stream_log *log, size_t size)
{
    struct stream_chunk *chunk = mem_alloc(sizeof(*chunk) + size);

    chunk->size = size;
    chunk->start = log->end;
    *log->total += size;
    if (log->last != NULL)
        log->last->next = chunk;
    else
        log->first = chunk;
    log->last = chunk;
    return chunk;
}

/* What nobody will read any more; the last one stays, for the next entries. */
static void trim(struct stream_log *log)
{
    while (log->first != log->last && log->first->reader_count == 0) {
        struct stream_chunk *gone = log->first;
        log->first = gone->next;
        *log->total -= gone->size;
        free(gone);
    }
}

void stream_log_init(struct stream_log *log, size_t *total)
{
    *log = (struct stream_log){.total = total};
    (void)chunk_add(log, STREAM_CHUNK_MIN_BYTES);
}

void stream_log_deinit(struct stream_log *log)
{
    trim(log);
    must(log->first == log->last && log->first->reader_count == 0);
    *log->total -= log->first->size;
    free(log->first);
    log->first = log->last = NULL;
}

void stream_log_join(struct stream_log *log, struct stream_place *place)
{
    *place = (struct stream_place){.chunk = log->last, .offset = log->last->len, .at = log->end};
    log->last->reader_count++;
}

void stream_log_leave(struct stream_log *log, struct stream_place *place)
{
    place->chunk->reader_count--;
    place->chunk = NULL;
    trim(log);
}

static size_t next_size(const struct stream_chunk *last, size_t entry_len)
{
    size_t size = 2 * last->size;

    if (size > STREAM_CHUNK_MAX_BYTES)
        size = STREAM_CHUNK_MAX_BYTES;
    return size > entry_len ? size : entry_len;
}

void stream_log_append(struct stream_log *log, const char *entry, size_t entry_len)
{
    struct stream_chunk *chunk = log->last;

    must(entry_len > 0 && entry_len <= STREAM_CHUNK_MAX_BYTES);
    if (chunk->size - chunk->len < entry_len) {
        chunk = chunk_add(log, next_size(chunk, entry_len));
        trim(log);
    }
    memcpy(chunk->text + chunk->len, entry, entry_len);
    chunk->len += entry_len;
    log->end += entry_len;
}

/* Of text, which begins at an entry and ends with one: as much of it as fits, up to the end of an entry. */
static size_t whole_entries(const char *text, size_t text_len, size_t out_size)
{
    if (text_len <= out_size)
        return text_len;
    for (size_t len = out_size; len >= 2; len--)
        if (text[len - 1] == '\n' && text[len - 2] == '\n')
            return len;
    return 0;
}

static void move_on(struct stream_log *log, struct stream_place *place)
{
    place->chunk->reader_count--;
    place->chunk = place->chunk->next;
    place->chunk->reader_count++;
    place->offset = 0;
    trim(log);
}

size_t stream_log_read(struct stream_log *log, struct stream_place *place, char *out, size_t out_size)
{
    size_t used = 0;

    for (;;) {
        const struct stream_chunk *chunk = place->chunk;
        size_t left = chunk->len - place->offset;
        size_t len = whole_entries(chunk->text + place->offset, left, out_size - used);
        memcpy(out + used, chunk->text + place->offset, len);
        used += len;
        place->offset += len;
        place->at += len;
        if (len < left || chunk->next == NULL)
            return used;
        move_on(log, place);
    }
}

bool stream_log_has_more(const struct stream_log *log, const struct stream_place *place)
{
    return place->at < log->end;
}

uint64_t stream_log_lag(const struct stream_log *log)
{
    return log->end - log->first->start;
}
