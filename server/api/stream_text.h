/* stream_text.h: an event as the entry of an event stream that clients read (rest-api 3). */
#ifndef CYAN_API_STREAM_TEXT_H
#define CYAN_API_STREAM_TEXT_H

#include "fleet/event_tail.h"

/* `event: NAME`, `data: {...}` and an empty line; from malloc. for_product: with what streams of products
 * have besides. Text is text (bytes that are none become `?`), nothing is null, and what is neither is a data
 * URI. */
char *stream_text(const struct told_event *event, bool for_product, size_t *len);

#endif
