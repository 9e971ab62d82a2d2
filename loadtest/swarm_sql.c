#include "swarm_sql.h"
#include "base/bytes.h"
#include "swarm_derive.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool fail(char error[SWARM_ERROR_SIZE], const char *path)
{
    (void)snprintf(error, SWARM_ERROR_SIZE, "%s: %s", path, strerror(errno));
    return false;
}

/* Keys may be secrets: mode 0600. */
static FILE *open_script(const char *path, char error[SWARM_ERROR_SIZE])
{
    bool to_stdout = strcmp(path, "-") == 0;
    int fd = to_stdout ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *script = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (script) {
        (void)fputs("\\set ON_ERROR_STOP on\nBEGIN;\n", script);
        return script;
    }
    fail(error, path);
    if (fd >= 0)
        close(fd);
    return NULL;
}

static bool close_script(FILE *script, const char *path, char error[SWARM_ERROR_SIZE])
{
    bool ok = fputs("COMMIT;\nANALYZE device, device_key;\n", script) >= 0 && ferror(script) == 0;

    return (fclose(script) == 0 && ok) || fail(error, path);
}

static void begin_devices(FILE *script)
{
    (void)fputs("COPY device (id, name, platform_id) FROM stdin;\n", script);
}

static void begin_keys(FILE *script)
{
    (void)fputs("\\.\nCOPY device_key (device_id, kind, sha256, data) FROM stdin;\n", script);
}

static void end_rows(FILE *script)
{
    (void)fputs("\\.\n", script);
}

/* COPY's text form: a backslash is doubled. With the platform, as of devices that were here before: what the
 * first Hello of a new one costs is not what many Hellos cost. */
static void put_device(FILE *script, const struct swarm_model *m)
{
    (void)fprintf(script, "\\\\x%s\t%s\t%u\n", m->id_text, m->name, m->platform->id);
}

static void put_key(FILE *script, const struct swarm_model *m)
{
    uint8_t spki[SWARM_SPKI_BYTES], hash[SWARM_HASH_BYTES];
    char data_text[2 * SWARM_SPKI_BYTES + 1], hash_text[2 * SWARM_HASH_BYTES + 1];
    bool psk = m->profile == SWARM_PROFILE_PSK;
    const uint8_t *data = psk ? m->psk : spki;
    size_t data_len = psk ? m->psk_len : sizeof(spki);

    swarm_spki_encode(spki, m->key.point);
    swarm_sha256(hash, data, data_len);
    hex_encode(data_text, data, data_len);
    hex_encode(hash_text, hash, sizeof(hash));
    (void)fprintf(script, "\\\\x%s\t%s\t\\\\x%s\t\\\\x%s\n", m->id_text, psk ? "psk" : "p256", hash_text,
                  data_text);
}

bool swarm_sql_derived(struct swarm_crypto *crypto, const struct swarm_choice *choice, const char *path,
                       char error[SWARM_ERROR_SIZE])
{
    struct swarm_derive derive;
    struct swarm_model m;
    FILE *script;

    if (!swarm_derive_init(&derive, choice, error))
        return false;
    script = open_script(path, error);
    if (!script)
        return false;
    begin_devices(script);
    for (uint32_t i = 0; i < choice->count; i++) {
        swarm_derive_model(&derive, i, &m);
        put_device(script, &m);
    }
    begin_keys(script);
    for (uint32_t i = 0; i < choice->count; i++) {
        swarm_derive_model(&derive, i, &m);
        swarm_derive_keys(&derive, crypto, i, &m);
        put_key(script, &m);
    }
    end_rows(script);
    bytes_wipe(&m, sizeof(m));
    return close_script(script, path, error);
}

bool swarm_sql_models(const struct swarm_models *models, const char *path, char error[SWARM_ERROR_SIZE])
{
    FILE *script = open_script(path, error);

    if (!script)
        return false;
    begin_devices(script);
    for (const struct swarm_model *m = swarm_models_first(models); m; m = swarm_models_next(m))
        if (m->chosen)
            put_device(script, m);
    begin_keys(script);
    for (const struct swarm_model *m = swarm_models_first(models); m; m = swarm_models_next(m))
        if (m->chosen)
            put_key(script, m);
    end_rows(script);
    return close_script(script, path, error);
}
