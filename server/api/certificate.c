#include "api/certificate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

#define FILE_MAX_BYTES 65536

static char *file_read(const char *path, size_t *text_len, char *why, size_t why_size)
{
    FILE *file = fopen(path, "re");
    char *text;

    if (file == NULL) {
        (void)snprintf(why, why_size, "http: cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    (void)setvbuf(file, NULL, _IONBF, 0); /* no copy of a key in a buffer that is not wiped */
    text = mem_alloc(FILE_MAX_BYTES + 1);
    *text_len = fread(text, 1, FILE_MAX_BYTES, file);
    bool fine = *text_len > 0 && *text_len < FILE_MAX_BYTES && ferror(file) == 0;
    (void)fclose(file);
    if (fine)
        return text;
    (void)snprintf(why, why_size, "http: %s is empty, too large or unreadable", path);
    bytes_wipe(text, FILE_MAX_BYTES);
    free(text);
    return NULL;
}

static bool is_set(const char *path)
{
    return path != NULL && path[0] != '\0';
}

bool certificate_read(struct certificate *c, const char *chain_path, const char *key_path, char *why,
                      size_t why_size)
{
    size_t chain_len;

    memset(c, 0, sizeof(*c));
    if (is_set(chain_path) != is_set(key_path)) {
        (void)snprintf(why, why_size, "http: tls_cert and tls_key go together; one is missing");
        return false;
    }
    if (!is_set(chain_path))
        return true;
    c->chain = file_read(chain_path, &chain_len, why, why_size);
    if (c->chain == NULL)
        return false;
    c->key = file_read(key_path, &c->key_len, why, why_size);
    if (c->key != NULL)
        return true;
    certificate_deinit(c);
    return false;
}

void certificate_deinit(struct certificate *c)
{
    if (c->key != NULL)
        bytes_wipe(c->key, c->key_len);
    free(c->key);
    free(c->chain);
    memset(c, 0, sizeof(*c));
}
