/* refusals.h: requests that were refused, for the audit trail: gathered in memory, written every two seconds.
 *
 * The same actor or address, route and status are one row an hour with a count. Best effort and bounded: of
 * more than REFUSALS_MAX different ones between two writings the rest is one row for all of them, and what
 * Postgres does not take is dropped and counted. Nothing waits for it. Loop thread only. */
#ifndef CYAN_FLEET_REFUSALS_H
#define CYAN_FLEET_REFUSALS_H

#include "fleet/fleet.h"

#define REFUSALS_MAX 256

struct refusal {
    const char *actor;   /* NULL: nobody known */
    const char *address; /* of the client, as text */
    const char *route;   /* `GET /v1/devices/:device`: never what stood in the path */
    unsigned status;
    const char *why;    /* the sentence it was refused with; NULL: none */
    const char *device; /* the newest one it was about; NULL: none */
};
void fleet_refused(struct fleet *f, const struct refusal *refusal); /* all copied */

struct refusals;
struct refusals *refusals_new(struct fleet *f, struct metrics *metrics);
void refusals_flush(struct refusals *r); /* now, as far as Postgres is there */
void refusals_stop(struct refusals *r);
void refusals_free(struct refusals *r);

#endif
