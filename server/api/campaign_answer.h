/* campaign_answer.h: what the resources of campaigns have in common: pages, and the words for how it went. */
#ifndef CYAN_API_CAMPAIGN_ANSWER_H
#define CYAN_API_CAMPAIGN_ANSWER_H

#include "base/must.h"
#include "campaign/campaigns.h"

struct http_request;

/* False: answered with 400. */
must_check bool campaign_answer_read_page(struct http_request *r, uint32_t *page, uint32_t *per_page);
/* A number of the query; false: answered with 400. *number stays when it is absent. */
must_check bool campaign_answer_read_number(struct http_request *r, const char *name, int64_t max,
                                            int64_t *number);

/* arg: the request. 200 with text. */
void campaign_answer_text(void *arg, enum fleet_err err, const char *text);
/* status with the campaign as it is now; or in words what stands in the way: 409 carries the current rev. */
void campaign_answer_outcome(struct http_request *r, enum fleet_err err,
                             const struct campaign_outcome *outcome, unsigned status);
void campaign_answer_err(struct http_request *r, enum fleet_err err);

#endif
