#include "swarm_keys.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "swarm_run.h"
#include "swarm_sql.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One JSON line a device. The PSK of a PSK device is its key and stays out. */
static void print_model(const struct swarm_model *m)
{
    char *pem = swarm_key_public_pem(&m->key);
    json_t *line =
        json_pack("{s:s,s:s,s:s,s:s,s:i}", "id", m->id_text, "name", m->name, "platform", m->platform->name,
                  "profile", m->profile == SWARM_PROFILE_PSK ? "psk" : "deviceos", "system_version",
                  (int)m->firmware.system_version);

    if (m->profile != SWARM_PROFILE_PSK)
        json_object_set_new(line, "public_key", json_string(pem));
    json_dumpf(line, stdout, JSON_COMPACT);
    (void)printf("\n");
    json_decref(line);
    free(pem);
}

int swarm_keys_list(const struct swarm_options *o)
{
    char error[SWARM_ERROR_SIZE] = "";
    struct swarm_crypto *crypto = swarm_crypto_new();
    struct swarm_models *models = swarm_models_open(crypto, o->state_dir, error);

    if (!models)
        (void)fprintf(stderr, "cyan-swarm: %s\n", error);
    for (struct swarm_model *m = models ? swarm_models_first(models) : NULL; m; m = swarm_models_next(m))
        print_model(m);
    swarm_models_free(models);
    swarm_crypto_free(crypto);
    return models ? 0 : 1;
}

static bool write_file(const char *dir, const struct swarm_model *m, const char *suffix, const char *text)
{
    char *path = mem_printf("%s/%s%s", dir, m->id_text, suffix);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t len = strlen(text);
    bool ok = fd >= 0 && write(fd, text, len) == (ssize_t)len;

    if (fd >= 0 && close(fd) != 0)
        ok = false;
    if (!ok)
        (void)fprintf(stderr, "cyan-swarm: %s: %s\n", path, strerror(errno));
    free(path);
    return ok;
}

static bool export_model(struct swarm_crypto *crypto, const char *dir, const struct swarm_model *m)
{
    char *private_pem = swarm_key_private_pem(crypto, &m->key), *public_pem = swarm_key_public_pem(&m->key);
    bool ok = write_file(dir, m, ".pem", private_pem) && write_file(dir, m, ".pub.pem", public_pem);

    bytes_wipe(private_pem, strlen(private_pem));
    free(private_pem);
    free(public_pem);
    return ok;
}

static int refuse(const char *why)
{
    (void)fprintf(stderr, "cyan-swarm: %s\n", why);
    return 1;
}

/* Nothing kept: the devices are what the seed says. */
static int make_derived(const struct swarm_options *o, struct swarm_crypto *crypto)
{
    struct swarm_choice choice = swarm_run_choice(o);
    char error[SWARM_ERROR_SIZE] = "";

    return swarm_sql_derived(crypto, &choice, o->sql, error) ? 0 : refuse(error);
}

static int make_kept(const struct swarm_options *o, struct swarm_crypto *crypto)
{
    struct swarm_models *models = swarm_run_models(o, crypto);
    char error[SWARM_ERROR_SIZE] = "";
    bool ok = models != NULL;

    if (ok && o->export_dir && mkdir(o->export_dir, 0700) != 0 && errno != EEXIST) {
        (void)fprintf(stderr, "cyan-swarm: %s: %s\n", o->export_dir, strerror(errno));
        ok = false;
    }
    for (struct swarm_model *m = ok ? swarm_models_first(models) : NULL; m; m = swarm_models_next(m))
        if (m->chosen && o->export_dir)
            ok = export_model(crypto, o->export_dir, m) && ok;
    if (ok && o->sql && !swarm_sql_models(models, o->sql, error))
        ok = refuse(error) == 0;
    swarm_models_free(models);
    return ok ? 0 : 1;
}

int swarm_keys_make(const struct swarm_options *o)
{
    struct swarm_crypto *crypto = swarm_crypto_new();
    int status = o->state_dir ? make_kept(o, crypto) : make_derived(o, crypto);

    swarm_crypto_free(crypto);
    return status;
}
