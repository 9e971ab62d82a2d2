/* product_gate.h: before every handler of a path with `:product`: whether the product is there, and the actor
 * one who may ask this of it. What is read needs a look at the product, everything else its management. */
#ifndef CYAN_API_PRODUCT_GATE_H
#define CYAN_API_PRODUCT_GATE_H

#include "api/http_request.h"

/* With r->actor: goes on with the handler, at once when the path names no product, else with r->product_id
 * set; or answers 404 or 403. */
void product_gate_pass(struct http_request *r);

#endif
