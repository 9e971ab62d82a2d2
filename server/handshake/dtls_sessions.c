/* dtls_sessions.c: sessions that did not begin with a handshake here. */
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "handshake/dtls_private.h"
#include "handshake/session_store_private.h"

#define CID_RANDOM_BYTES 6

void dtls_cid_mark(const struct dtls *d, uint8_t cid[SESSION_CID_BYTES])
{
    uint8_t mac[HMAC_BYTES];
    hmac_make(&d->cid_key, cid, CID_RANDOM_BYTES, mac);
    memcpy(cid + CID_RANDOM_BYTES, mac, SESSION_CID_BYTES - CID_RANDOM_BYTES);
}

bool dtls_cid_is_ours(const struct dtls *d, const uint8_t cid[SESSION_CID_BYTES])
{
    uint8_t mac[HMAC_BYTES];
    hmac_make(&d->cid_key, cid, CID_RANDOM_BYTES, mac);
    return bytes_equal_secret(cid + CID_RANDOM_BYTES, mac, SESSION_CID_BYTES - CID_RANDOM_BYTES);
}

void dtls_set_store(struct dtls *d, struct session_store *store)
{
    d->store = store;
}

struct session *dtls_adopt(struct dtls *d, const struct session_image *image, const struct dtls_adoption *a)
{
    if (session_table_count(&d->sessions) >= d->settings.max_sessions ||
        session_table_find_id(&d->sessions, a->id))
        return NULL;
    struct session *s = slab_new(&d->session_memory);
    s->record = image->record;
    s->path = image->path;
    s->id = a->id;
    s->epoch = a->epoch;
    s->send_limit = a->send_limit;
    s->is_stored = a->is_stored;
    s->unproven = !a->exact;
    s->checked = d->store ? d->store->generation : 0;
    s->profile = image->profile;
    s->heard_ms = a->heard_ms ? a->heard_ms : clock_ms();
    s->dtls = d;
    if (!a->exact) /* what is below the stored maximum was seen, or never will be */
        s->record.recv_window = UINT64_MAX;
    session_table_add(&d->sessions, s); /* whoever was heard from its address here meanwhile keeps that */
    d->session_gauge->value = session_table_count(&d->sessions);
    if (image->named)
        session_table_name(&d->sessions, s, image->name);
    dtls_watch_expiry(d);
    if (d->ops->restored(d->ops_ctx, s, image->owner, image->owner_len, a->exact))
        return s;
    session_table_remove(&d->sessions, s);
    d->session_gauge->value = session_table_count(&d->sessions);
    bytes_wipe(&s->record, sizeof s->record);
    slab_free(&d->session_memory, s);
    return NULL;
}
