/* swarm_rest.c: what is left of a device at rest, and how it goes on. */
#include "swarm_device_private.h"
#include <string.h>

void swarm_device_rest(struct swarm_device *d, struct swarm_rest *rest)
{
    struct swarm_session *s = &d->session;

    *rest = (struct swarm_rest){.record = s->record,
                                .audit = s->audit,
                                .past = s->past,
                                .event_counter = d->event_counter,
                                .mid = d->exchange.mid,
                                .handshakes = (uint16_t)d->handshakes,
                                .token = d->exchange.token,
                                .resume_uses = d->resume_uses,
                                .has_session = s->state >= SWARM_SESSION_UP && swarm_device_can_resume(d),
                                .told_reset = d->told_reset,
                                /* Hello must be said again when nobody has acknowledged it */
                                .changed = d->changed || d->state == SWARM_DEVICE_GREETING,
                                .forced_updates = d->forced_updates,
                                .clock_valid = d->clock_valid};
    memset(&s->audit, 0, sizeof(s->audit));
    s->past = NULL;
    swarm_audit_rest(&rest->audit);
    swarm_past_quiet(rest->past);
    if (!rest->has_session)
        swarm_rest_clear(rest);
    swarm_device_deinit(d);
}

void swarm_rest_clear(struct swarm_rest *rest)
{
    swarm_audit_clear(&rest->audit);
    swarm_past_free(rest->past);
    rest->past = NULL;
    rest->has_session = false;
}

void swarm_device_restore(struct swarm_device *d, struct swarm_rest *rest)
{
    swarm_past_quiet(rest->past); /* it would tell the rest of what comes */
    d->session.record = rest->record;
    d->session.audit = rest->audit;
    d->session.past = rest->past;
    memset(&rest->audit, 0, sizeof(rest->audit));
    rest->past = NULL;
    d->session.state = rest->has_session ? SWARM_SESSION_SUSPENDED : SWARM_SESSION_IDLE;
    if (rest->event_counter > 0)
        d->event_counter = rest->event_counter;
    d->exchange.mid = rest->mid;
    d->exchange.token = rest->token;
    d->handshakes = rest->handshakes;
    d->resume_uses = rest->resume_uses;
    d->told_reset = rest->told_reset;
    d->changed = rest->changed;
    d->forced_updates = rest->forced_updates;
    d->clock_valid = rest->clock_valid;
    d->state = SWARM_DEVICE_ASLEEP;
}
