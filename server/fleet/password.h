/* password.h: passwords as argon2id (RFC 9106), kept in PHC form: `$argon2id$v=19$m=..,t=..,p=1$salt$hash`.
 *
 * Each call takes tens of milliseconds and the memory its parameters say: on a thread (password_queue.h), or
 * before the loop runs. Any thread. */
#ifndef CYAN_FLEET_PASSWORD_H
#define CYAN_FLEET_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

#define PASSWORD_MIN 8 /* bytes */
#define PASSWORD_MAX 256
#define PASSWORD_PHC_SIZE 160
#define PASSWORD_MEMORY_KIB 19456 /* of the recommendations of OWASP, as the next */
#define PASSWORD_ITERATIONS 2

struct password_cost {
    uint32_t memory_kib, iterations;
};
/* False: no memory, or parameters argon2 does not take. */
must_check bool password_hash(char phc[PASSWORD_PHC_SIZE], const char *password,
                              const struct password_cost *cost);
/* phc: as password_hash made it; with other text the answer is false. */
bool password_verify(const char *phc, const char *password);
/* Made with another cost: to be hashed anew while the password is at hand. */
bool password_is_stale(const char *phc, const struct password_cost *cost);
/* The hash of nobody's password: to verify against it takes as long as against a real one, and fails. */
void password_dummy(char phc[PASSWORD_PHC_SIZE], const struct password_cost *cost);
/* NULL when it may be somebody's password, else a sentence. */
const char *password_flaw(const char *password);
/* The same for a name: 1 to 64 bytes of UTF-8 without blanks, control characters and `:`; e-mail addresses
 * are fine. */
const char *password_name_flaw(const char *name);

#endif
