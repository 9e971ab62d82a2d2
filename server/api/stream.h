/* stream.h: one reader of events: which feed it reads, how far it is, and how it ends. Private to streams.c
 * and its parts. */
#ifndef CYAN_API_STREAM_H
#define CYAN_API_STREAM_H

#include <uthash.h>

#include "api/streams.h"

enum stream_state { STREAM_RESTING, STREAM_WAKING, STREAM_FLOWING, STREAM_ENDING };
enum stream_why { STREAM_LEFT, STREAM_SLOW, STREAM_TOKEN, STREAM_RIGHTS, STREAM_SHUTDOWN, STREAM_WHY_COUNT };

/* Who asks, for the limit of one address. */
struct stream_address {
    uint8_t network[16]; /* client_address.h */
    size_t count;
    UT_hash_handle hh;
};

struct stream {
    struct streams *all;
    struct http_request *request; /* borrowed: until its source is over */
    struct stream_feed *feed;     /* NULL once ENDING */
    struct stream_place place;
    struct stream_address *address; /* counted there */
    struct stream_right right;
    uint64_t serial;
    enum stream_state state;
    enum stream_why why; /* when ENDING */
    bool said_hello, owes_line, said_last;
    uint64_t written_ms, ending_ms;
    uint64_t behind_ms;         /* since when it is too far behind; 0: it is not */
    struct stream *prev, *next; /* of the feed's list of its state, of the waking, or of the ending */
    struct stream *prev_silent, *next_silent; /* of all but the ending, longest silence first */
    struct stream *prev_check, *next_check; /* of all but the ending: whose rights are looked at next first */
    UT_hash_handle hh;                      /* by serial */
};

struct streams {
    struct api *api;
    struct stream_settings settings;
    struct stream_index index;
    struct stream_feed *feeds, *fresh;
    struct stream *waking, *ending, *silent, *check, *by_serial;
    struct stream_address *addresses;
    size_t count, bytes;
    size_t round_bytes;   /* appended to feeds since the last round */
    size_t written_count; /* readers that were written to since the last turn */
    uint64_t serial;
    struct event_follower follower;
    uv_idle_t turn; /* while there are any that wake */
    uv_timer_t janitor;
    int handles_open;
    bool follows, stopped, in_round;
    struct stream_check *checking; /* a question about rights that is under way */
    uint64_t checked_ms;
    void (*closed)(void *arg);
    void *closed_arg;
    struct metric *open, *opened, *ended[STREAM_WHY_COUNT], *refused_address, *refused_full, *deliveries,
        *written, *held, *oversize;
};

/* stream.c */
struct stream *stream_new(struct streams *s, struct http_request *r, const struct stream_key *key,
                          const struct stream_right *right, struct stream_address *address);
void stream_wake(struct stream *stream); /* RESTING: it waits for its turn */
void stream_turn(struct stream *stream); /* WAKING: now */
void stream_end(struct stream *stream, enum stream_why why);
/* stream_rights.c */
void stream_rights_look(struct streams *s, uint64_t now_ms);
void stream_rights_forget(struct streams *s); /* the answer is of no interest any more */

#endif
