/* token_cache.h: answers about tokens, kept a few seconds by the hash of the token, so that a burst of
 * requests asks once. */
#ifndef CYAN_FLEET_TOKEN_CACHE_H
#define CYAN_FLEET_TOKEN_CACHE_H

#include "fleet/room.h"

#define TOKEN_CACHE_MS 5000
#define TOKEN_CACHE_MAX 1024

struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache *c);
bool token_cache_get(struct token_cache *c, const uint8_t sha256[32], uint64_t now_ms,
                     struct fleet_actor *actor);
/* for_ms: at most so long, whatever TOKEN_CACHE_MS says: a token may expire sooner. */
void token_cache_put(struct token_cache *c, const uint8_t sha256[32], uint64_t now_ms, uint64_t for_ms,
                     const struct fleet_actor *actor);
void token_cache_drop(struct token_cache *c, const uint8_t sha256[32]);
void token_cache_clear(struct token_cache *c);
/* Grows with each drop and clear: an answer asked for before must not be kept after. */
uint64_t token_cache_generation(const struct token_cache *c);

#endif
