#include "fleet/password.h"

#include <argon2.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/random.h"

#define SALT_BYTES 16
#define HASH_BYTES 32

bool password_hash(char phc[PASSWORD_PHC_SIZE], const char *password, const struct password_cost *cost)
{
    uint8_t salt[SALT_BYTES];
    random_bytes(salt, sizeof salt);
    return argon2id_hash_encoded(cost->iterations, cost->memory_kib, 1, password, strlen(password), salt,
                                 sizeof salt, HASH_BYTES, phc, PASSWORD_PHC_SIZE) == ARGON2_OK;
}

bool password_verify(const char *phc, const char *password)
{
    return argon2id_verify(phc, password, strlen(password)) == ARGON2_OK;
}

static int prefix(char out[PASSWORD_PHC_SIZE], const struct password_cost *cost)
{
    return snprintf(out, PASSWORD_PHC_SIZE, "$argon2id$v=%d$m=%u,t=%u,p=1$", ARGON2_VERSION_13,
                    cost->memory_kib, cost->iterations);
}

bool password_is_stale(const char *phc, const struct password_cost *cost)
{
    char wanted[PASSWORD_PHC_SIZE];
    int len = prefix(wanted, cost);
    return strncmp(phc, wanted, (size_t)len) != 0;
}

void password_dummy(char phc[PASSWORD_PHC_SIZE], const struct password_cost *cost)
{
    int len = prefix(phc, cost);
    /* 16 and 32 zero bytes in base64 without padding */
    snprintf(phc + len, PASSWORD_PHC_SIZE - (size_t)len, "%.22s$%.43s", "AAAAAAAAAAAAAAAAAAAAAA",
             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
}

const char *password_flaw(const char *password)
{
    size_t len = strlen(password);
    if (len < PASSWORD_MIN)
        return "A password has at least 8 characters.";
    if (len > PASSWORD_MAX)
        return "A password has at most 256 bytes.";
    return NULL;
}

/* What the audit trail calls the server itself, and who has no name there. */
static bool is_of_trail(const char *name)
{
    static const char *const words[] = {"command", "policy", "server", "system"};
    struct in_addr address;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(name, words[i]))
            return true;
    return inet_pton(AF_INET, name, &address) == 1;
}

const char *password_name_flaw(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > 64)
        return "A user name has 1 to 64 bytes.";
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || name[i] == ':' || name[i] == '/')
            return "A user name has no blanks, no `:` and no `/`.";
    if (is_of_trail(name))
        return "This name stands for others in the audit trail: please take another one.";
    return NULL;
}
