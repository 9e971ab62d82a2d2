/* token_news.h: what ends a token makes every node forget what it keeps of it.
 *
 * A message between nodes; when Redis is away others notice within TOKEN_CACHE_MS, by themselves. */
#ifndef CYAN_FLEET_TOKEN_NEWS_H
#define CYAN_FLEET_TOKEN_NEWS_H

#include <stdint.h>

struct fleet;
struct nodes;
void token_news_set_nodes(struct fleet *f, struct nodes *nodes);
void token_news_one(struct fleet *f, const uint8_t sha256[32]);
void token_news_all(struct fleet *f); /* which ones is not known here */

#endif
