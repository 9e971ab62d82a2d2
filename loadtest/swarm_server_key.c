#include "swarm_server_key.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ERROR_SIZE 256

struct swarm_verifier *swarm_server_key_load(struct swarm_crypto *c, const char *path, char *error)
{
    uint8_t der[1024], point[SWARM_POINT_BYTES];
    struct swarm_verifier *v = NULL;
    size_t der_len;
    FILE *file;

    if (!path) {
        (void)snprintf(error, ERROR_SIZE, "--server-key is needed for the Device OS profile");
        return NULL;
    }
    file = fopen(path, "rbe");
    if (!file) {
        (void)snprintf(error, ERROR_SIZE, "%s: %s", path, strerror(errno));
        return NULL;
    }
    der_len = fread(der, 1, sizeof(der), file);
    (void)fclose(file);
    if (swarm_spki_decode(point, der, der_len))
        v = swarm_verifier_new(c, point);
    if (!v)
        (void)snprintf(error, ERROR_SIZE, "%s: not a P-256 public key in DER", path);
    return v;
}
