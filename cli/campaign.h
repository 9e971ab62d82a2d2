/* campaign.h: a campaign by its id or name, and what people see of one. */
#ifndef CYAN_CLI_CAMPAIGN_H
#define CYAN_CLI_CAMPAIGN_H

#include "cli.h"

/* The campaign that the first argument of the call names, as it is now. *campaign is the caller's. */
must_check enum cli_exit campaign_find(const struct cli *cli, json_t **campaign);
void campaign_print(const struct cli *cli, const json_t *campaign);
/* {rev, reason}: the rev that was seen, or the one of --rev. */
json_t *campaign_move_body(const struct cli *cli, const json_t *campaign);
/* Says what a move led to; takes answer. */
enum cli_exit campaign_tell(const struct cli *cli, json_t *answer);

#endif
