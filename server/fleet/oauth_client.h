/* oauth_client.h: clients that may ask for tokens with a secret of theirs (RFC 6749 4.4): a person's own, or
 * a product's.
 *
 * product: 0 = the actor's own; else the actor manages it, which was looked at before. Callbacks come from
 * the loop, exactly once; texts are borrowed. */
#ifndef CYAN_FLEET_OAUTH_CLIENT_H
#define CYAN_FLEET_OAUTH_CLIENT_H

#include "fleet/fleet.h"

#define OAUTH_CLIENT_MAX 100 /* of a person or a product: more are FLEET_CONFLICT */

/* json: an array of {"id", "name", "type", "scope", "redirect_uri", "product_id", "created_at"}. */
typedef void oauth_clients_fn(void *arg, enum fleet_err err, const char *json);
void fleet_list_clients(struct fleet *f, const struct fleet_actor *actor, int32_t product,
                        oauth_clients_fn *done, void *arg);

struct oauth_client_wish {
    const char *name;         /* 1 to 64 bytes of UTF-8 */
    const char *type;         /* `installed` or `web` */
    const char *scopes;       /* separated by spaces; NULL: all */
    const char *redirect_uri; /* NULL: none */
};
/* json: one of them; secret: shown once. */
typedef void oauth_client_fn(void *arg, enum fleet_err err, const char *json, const char *secret);
void fleet_create_client(struct fleet *f, const struct fleet_actor *actor, int32_t product,
                         const struct oauth_client_wish *wish, oauth_client_fn *done, void *arg);

/* Its tokens end with it. */
typedef void oauth_client_gone_fn(void *arg, enum fleet_err err);
void fleet_delete_client(struct fleet *f, const struct fleet_actor *actor, int32_t product, const char *id,
                         oauth_client_gone_fn *done, void *arg);

#endif
