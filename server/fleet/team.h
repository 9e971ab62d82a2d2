/* team.h: who may work on a product besides its owner: people by name, and API users, which have one token.
 *
 * The actor sees the product, which was looked at before; changing the team is its owner's, and operators'
 * and admins'. Callbacks come from the loop, exactly once; texts are borrowed. */
#ifndef CYAN_FLEET_TEAM_H
#define CYAN_FLEET_TEAM_H

#include "fleet/fleet.h"

/* json: an array of {"_id", "username", "role"}, and of API users "is_programmatic", "friendly_name",
 * "scopes". */
typedef void team_list_fn(void *arg, enum fleet_err err, const char *json);
void fleet_list_team(struct fleet *f, int32_t product, team_list_fn *done, void *arg);

/* why: static sentence, "" when none. */
typedef void team_change_fn(void *arg, enum fleet_err err, const char *why);
/* Also gives a member another role. */
void fleet_add_member(struct fleet *f, const struct fleet_actor *actor, int32_t product, const char *username,
                      bool manages, team_change_fn *done, void *arg);
void fleet_remove_member(struct fleet *f, const struct fleet_actor *actor, int32_t product,
                         const char *username, team_change_fn *done, void *arg);

struct api_user {
    const char *username, *token; /* the token is shown once */
};
/* user: NULL unless err is FLEET_OK. */
typedef void team_api_user_fn(void *arg, enum fleet_err err, const struct api_user *user, const char *why);
/* scopes: separated by spaces, valid. One that only reads may not change anything whatever the routes say. */
void fleet_add_api_user(struct fleet *f, const struct fleet_actor *actor, int32_t product,
                        const char *friendly_name, const char *scopes, team_api_user_fn *done, void *arg);

#endif
