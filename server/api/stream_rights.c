/* stream_rights.c: whether those who read event streams still may. */
#include "api/stream.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"

#define SLICES 20 /* in which all of them are looked at in STREAMS_CHECK_MS */

struct stream_check {
    struct streams *s; /* borrowed; NULL: forgotten */
    size_t count;
    uint64_t serials[]; /* of who was asked about */
};

static void on_checked(void *arg, enum fleet_err err, const struct stream_end *ends, size_t count)
{
    struct stream_check *check = arg;
    struct streams *s = check->s;

    if (s != NULL)
        s->checking = NULL;
    for (size_t i = 0; s != NULL && err == FLEET_OK && i < count; i++) {
        struct stream *stream;
        must(ends[i].place < check->count);
        HASH_FIND(hh, s->by_serial, &check->serials[ends[i].place], sizeof(uint64_t), stream);
        if (stream != NULL) /* it has not left meanwhile */
            stream_end(stream, strcmp(ends[i].why, "token") == 0 ? STREAM_TOKEN : STREAM_RIGHTS);
    }
    free(check);
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the list macros */
void stream_rights_look(struct streams *s, uint64_t now_ms)
{
    size_t count = s->count / SLICES + 1;
    struct stream_right *rights;
    struct stream_check *check;

    if (s->checking != NULL || s->check == NULL || now_ms - s->checked_ms < STREAMS_CHECK_MS / SLICES)
        return;
    s->checked_ms = now_ms;
    if (count > s->count)
        count = s->count;
    check = mem_alloc(sizeof(*check) + count * sizeof(check->serials[0]));
    rights = mem_array(count, sizeof(*rights));
    check->s = s;
    check->count = count;
    for (size_t i = 0; i < count; i++) {
        struct stream *stream = s->check;
        rights[i] = stream->right;
        check->serials[i] = stream->serial;
        DL_DELETE2(s->check, stream, prev_check, next_check);
        DL_APPEND2(s->check, stream, prev_check, next_check);
    }
    s->checking = check;
    fleet_check_streams(s->api->fleet, rights, count, on_checked, check);
    free(rights);
}

void stream_rights_forget(struct streams *s)
{
    if (s->checking != NULL)
        s->checking->s = NULL;
    s->checking = NULL;
}
