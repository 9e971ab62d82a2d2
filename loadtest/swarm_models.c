#include "swarm_models.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "swarm_derive.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PSK_BYTES 16

struct swarm_models {
    struct swarm_model *by_id; /* ours */
    struct swarm_crypto *crypto;
    char *path; /* NULL: nothing is kept */
};

static bool fail(char error[SWARM_ERROR_SIZE], const char *what, const char *why)
{
    (void)snprintf(error, SWARM_ERROR_SIZE, "%s: %s", what, why);
    return false;
}

/* NOLINTNEXTLINE(readability-function-size): nesting inside the hash macros */
static struct swarm_model *model_get(struct swarm_models *all, const struct device_id *id)
{
    struct swarm_model *m;

    HASH_FIND(hh, all->by_id, id, sizeof(*id), m);
    if (m)
        return m;
    m = mem_alloc(sizeof(*m));
    m->id = *id;
    device_id_format(m->id_text, id);
    m->cid = true;
    HASH_ADD(hh, all->by_id, id, sizeof(m->id), m);
    return m;
}

/* Keys are made once for each device; a profile changed later still finds its own. */
static bool model_complete(struct swarm_models *all, struct swarm_model *m)
{
    static const uint8_t none[32];

    if (m->psk_len == 0) {
        swarm_random(m->psk, PSK_BYTES);
        m->psk_len = PSK_BYTES;
    }
    if (m->name[0] == 0)
        (void)snprintf(m->name, sizeof(m->name), "%s-%s", m->platform->name, m->id_text + 18);
    if (memcmp(m->key.secret, none, sizeof(none)) == 0)
        return swarm_key_generate(all->crypto, &m->key);
    return m->key.point[0] == 4 || swarm_key_complete(all->crypto, &m->key);
}

struct swarm_defects *swarm_model_defects(struct swarm_model *m)
{
    if (!m->defects)
        m->defects = mem_alloc(sizeof(*m->defects));
    return m->defects;
}

bool swarm_profile_parse(uint8_t *profile, const char *name)
{
    if (strcmp(name, "deviceos") != 0 && strcmp(name, "psk") != 0)
        return false;
    *profile = strcmp(name, "psk") == 0 ? SWARM_PROFILE_PSK : SWARM_PROFILE_DEVICEOS;
    return true;
}

/* --- JSON in --- */

static bool read_version(json_t *entry, struct swarm_dependency *out)
{
    const char *f = NULL, *n = NULL;
    int v = 0;

    if (json_unpack(entry, "{s:s,s:s,s:i}", "f", &f, "n", &n, "v", &v) != 0 || strlen(f) != 1 ||
        strlen(n) != 1 || n[0] < '0' || n[0] > '9' || v < 0 || v > 65535)
        return false;
    *out = (struct swarm_dependency){.f = f[0], .n = n[0], .v = (uint16_t)v};
    return true;
}

/* What came with an update says what it needs; for the rest that is guessed. */
static bool read_module(struct swarm_model *m, json_t *entry)
{
    json_t *depends = json_object_get(entry, "depends"), *one;
    const char *hash = json_string_value(json_object_get(entry, "hash"));
    struct swarm_dependency version, needs[2] = {{0}};
    struct swarm_module *module;
    size_t i;

    if (!read_version(entry, &version) ||
        !swarm_firmware_set(&m->firmware, m->platform, version.f, version.n, version.v))
        return false;
    module = swarm_firmware_find(&m->firmware, version.f, version.n);
    json_array_foreach (depends, i, one)
        if (i >= 2 || !read_version(one, &needs[i]))
            return false;
    if (depends)
        memcpy(module->depends, needs, sizeof(needs));
    module->has_hash = hash && hex_decode(module->hash, sizeof(module->hash), hash, strlen(hash));
    return module->has_hash || !hash;
}

static bool read_firmware(struct swarm_model *m, json_t *entry)
{
    json_t *modules = json_object_get(entry, "modules"), *module;
    json_t *version = json_object_get(entry, "system_version");
    const char *cc3000 = json_string_value(json_object_get(entry, "cc3000"));
    size_t i;

    if (modules) {
        struct swarm_firmware fresh = {.system_version = m->firmware.system_version};

        memcpy(fresh.cc3000, m->firmware.cc3000, sizeof(fresh.cc3000));
        m->firmware = fresh;
        if (!json_is_array(modules))
            return false;
        json_array_foreach (modules, i, module)
            if (!read_module(m, module))
                return false;
    }
    if (version) {
        if (!json_is_integer(version) || json_integer_value(version) < 0 ||
            json_integer_value(version) > 65535)
            return false;
        m->firmware.system_version = (uint16_t)json_integer_value(version);
    }
    if (cc3000)
        (void)snprintf(m->firmware.cc3000, sizeof(m->firmware.cc3000), "%s", cc3000);
    return true;
}

static bool read_secret(json_t *entry, const char *key, uint8_t *out, size_t min, size_t max, size_t *len)
{
    const char *text = json_string_value(json_object_get(entry, key));
    size_t text_len = text ? strlen(text) : 0;

    *len = 0;
    if (!text)
        return true;
    *len = text_len / 2;
    return text_len % 2 == 0 && *len >= min && *len <= max && hex_decode(out, *len, text, text_len);
}

/* Platform as a number or a name. */
static const struct swarm_platform *read_platform(json_t *entry)
{
    json_t *platform = json_object_get(entry, "platform");

    if (json_is_string(platform))
        return swarm_platform_by_name(json_string_value(platform));
    if (json_is_integer(platform) && json_integer_value(platform) >= 0 &&
        json_integer_value(platform) <= 65535)
        return swarm_platform_by_id((uint16_t)json_integer_value(platform));
    return NULL;
}

static bool read_defects(struct swarm_model *m, json_t *object, char error[SWARM_ERROR_SIZE])
{
    char why[SWARM_ERROR_SIZE / 2];

    if (swarm_defects_read(swarm_model_defects(m), object, why, sizeof(why)))
        return true;
    return fail(error, m->id_text, why);
}

/* One device of a file. Sets what the entry says and leaves the rest. */
static struct swarm_model *read_model(struct swarm_models *all, json_t *entry, char error[SWARM_ERROR_SIZE])
{
    const char *id_text = json_string_value(json_object_get(entry, "id"));
    const char *profile = json_string_value(json_object_get(entry, "profile"));
    const char *name = json_string_value(json_object_get(entry, "name"));
    const struct swarm_platform *platform = read_platform(entry);
    struct device_id id;
    struct swarm_model *m;
    size_t secret_len, psk_len;

    if (!id_text || !device_id_parse(&id, id_text, strlen(id_text))) {
        fail(error, "device", "\"id\" is not 24 hex digits");
        return NULL;
    }
    m = model_get(all, &id);
    if (json_object_get(entry, "platform") && !platform) {
        fail(error, id_text, "unknown platform");
        return NULL;
    }
    if (!platform)
        platform = m->platform ? m->platform : swarm_platform_by_name("argon");
    if (m->platform != platform)
        swarm_platform_firmware(platform, swarm_platform_releases(platform) - 1, &m->firmware);
    m->platform = platform;
    if (json_is_boolean(json_object_get(entry, "cid")))
        m->cid = json_is_true(json_object_get(entry, "cid"));
    if (name)
        (void)snprintf(m->name, sizeof(m->name), "%s", name);
    if ((profile && !swarm_profile_parse(&m->profile, profile)) || !read_firmware(m, entry) ||
        !read_secret(entry, "private_key", m->key.secret, 32, 32, &secret_len) ||
        !read_secret(entry, "psk", m->psk, 1, sizeof(m->psk), &psk_len)) {
        fail(error, id_text, "bad profile, modules, system_version, private_key or psk");
        return NULL;
    }
    if (json_object_get(entry, "defects") && !read_defects(m, json_object_get(entry, "defects"), error))
        return NULL;
    if (secret_len > 0)
        m->key.point[0] = 0; /* to be computed */
    if (psk_len > 0)
        m->psk_len = (uint8_t)psk_len;
    return m;
}

static bool read_point(struct swarm_model *m, json_t *entry)
{
    const char *text = json_string_value(json_object_get(entry, "public_key"));

    return text && hex_decode(m->key.point, SWARM_POINT_BYTES, text, strlen(text));
}

static bool load(struct swarm_models *all, char error[SWARM_ERROR_SIZE])
{
    json_error_t json_error;
    json_t *root, *entry;
    size_t i;
    bool ok = true;

    if (access(all->path, F_OK) != 0)
        return true;
    root = json_load_file(all->path, 0, &json_error);
    if (!json_is_array(root)) {
        json_decref(root);
        return fail(error, all->path, json_error.text[0] ? json_error.text : "not a list");
    }
    json_array_foreach (root, i, entry) {
        struct swarm_model *m = read_model(all, entry, error);

        ok = m && (read_point(m, entry) || fail(error, m->id_text, "bad public_key"));
        if (!ok)
            break;
    }
    json_decref(root);
    return ok;
}

struct swarm_models *swarm_models_open(struct swarm_crypto *c, const char *dir, char error[SWARM_ERROR_SIZE])
{
    struct swarm_models *all = mem_alloc(sizeof(*all));

    all->crypto = c;
    if (!dir)
        return all;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        fail(error, dir, strerror(errno));
        swarm_models_free(all);
        return NULL;
    }
    all->path = mem_printf("%s/devices.json", dir);
    if (load(all, error))
        return all;
    swarm_models_free(all);
    return NULL;
}

void swarm_models_free(struct swarm_models *all)
{
    struct swarm_model *m, *next;

    if (!all)
        return;
    m = all->by_id;
    HASH_CLEAR(hh, all->by_id); /* the index; the models stay chained */
    for (; m; m = next) {
        next = m->hh.next;
        free(m->defects);
        bytes_wipe(m, sizeof(*m));
        free(m);
    }
    free(all->path);
    free(all);
}

/* --- JSON out --- */

static json_t *write_version(char f, char n, uint16_t v)
{
    return json_pack("{s:s%,s:s%,s:i}", "f", &f, (size_t)1, "n", &n, (size_t)1, "v", (int)v);
}

static json_t *write_module(const struct swarm_module *module)
{
    json_t *entry = write_version(module->f, module->n, module->v), *depends = json_array();
    char hash[2 * sizeof(module->hash) + 1];

    for (size_t i = 0; i < 2 && module->depends[i].f; i++)
        json_array_append_new(
            depends, write_version(module->depends[i].f, module->depends[i].n, module->depends[i].v));
    json_object_set_new(entry, "depends", depends);
    if (module->has_hash) {
        hex_encode(hash, module->hash, sizeof(module->hash));
        json_object_set_new(entry, "hash", json_string(hash));
    }
    return entry;
}

static json_t *write_model(const struct swarm_model *m)
{
    char secret[65], point[2 * SWARM_POINT_BYTES + 1], psk[2 * SWARM_PSK_MAX_BYTES + 1];
    json_t *modules = json_array(), *entry;

    hex_encode(secret, m->key.secret, sizeof(m->key.secret));
    hex_encode(point, m->key.point, sizeof(m->key.point));
    hex_encode(psk, m->psk, m->psk_len);
    for (size_t i = 0; i < m->firmware.module_count; i++) {
        const struct swarm_module *module = &m->firmware.modules[i];

        json_array_append_new(modules, write_module(module));
    }
    entry =
        json_pack("{s:s,s:s,s:i,s:s,s:b,s:i,s:o,s:s,s:s,s:s}", "id", m->id_text, "name", m->name, "platform",
                  (int)m->platform->id, "profile", m->profile == SWARM_PROFILE_PSK ? "psk" : "deviceos",
                  "cid", (int)m->cid, "system_version", (int)m->firmware.system_version, "modules", modules,
                  "private_key", secret, "public_key", point, "psk", psk);
    must(entry != NULL);
    if (m->firmware.cc3000[0])
        json_object_set_new(entry, "cc3000", json_string(m->firmware.cc3000));
    bytes_wipe(secret, sizeof(secret));
    return entry;
}

static bool write_all(const struct swarm_models *all, FILE *file)
{
    json_t *root = json_array();
    bool ok;

    for (struct swarm_model *m = all->by_id; m; m = m->hh.next)
        json_array_append_new(root, write_model(m));
    ok = json_dumpf(root, file, JSON_INDENT(1)) == 0;
    json_decref(root);
    return ok;
}

/* Written beside and renamed, so that a full disk leaves the old keys. */
bool swarm_models_save(const struct swarm_models *all, char error[SWARM_ERROR_SIZE])
{
    char *temporary;
    FILE *file = NULL;
    bool ok;
    int fd;

    if (!all->path)
        return true;
    temporary = mem_printf("%s.new", all->path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0)
        file = fdopen(fd, "w");
    ok = file && write_all(all, file);
    if (file)
        ok = fclose(file) == 0 && ok;
    ok = ok && rename(temporary, all->path) == 0;
    if (!ok)
        fail(error, all->path, strerror(errno));
    free(temporary);
    return ok;
}

/* --- choosing --- */

/* What the device of the seed is that the file has not got already. */
static struct swarm_model *choose(struct swarm_models *all, const struct swarm_derive *derive, uint32_t i)
{
    struct swarm_model fresh, *m;

    swarm_derive_model(derive, i, &fresh);
    m = model_get(all, &fresh.id);
    if (!m->platform) {
        m->platform = fresh.platform;
        m->firmware = fresh.firmware;
    }
    m->profile = fresh.profile;
    m->cid = fresh.cid;
    m->chosen = true;
    return m;
}

bool swarm_models_choose(struct swarm_models *all, const struct swarm_choice *choice,
                         char error[SWARM_ERROR_SIZE])
{
    struct swarm_derive derive;

    if (!swarm_derive_init(&derive, choice, error))
        return false;
    for (uint32_t i = 0; i < choice->count; i++) {
        struct swarm_model *m = choose(all, &derive, i);

        if (choice->derive_keys)
            swarm_derive_keys(&derive, all->crypto, i, m);
        if (!model_complete(all, m))
            return fail(error, m->id_text, "its key is unusable");
    }
    return true;
}

bool swarm_models_choose_file(struct swarm_models *all, const char *path, const struct swarm_choice *choice,
                              char error[SWARM_ERROR_SIZE])
{
    json_error_t json_error;
    json_t *root = json_load_file(path, 0, &json_error), *entry;
    size_t i;
    bool ok = true;

    if (!json_is_array(root)) {
        json_decref(root);
        return fail(error, path, json_error.text[0] ? json_error.text : "not a list");
    }
    json_array_foreach (root, i, entry) {
        struct swarm_model *m = read_model(all, entry, error);

        ok = m != NULL;
        if (!ok)
            break;
        if (!json_object_get(entry, "profile") && strcmp(choice->profile, "psk") == 0)
            m->profile = SWARM_PROFILE_PSK;
        if (!json_object_get(entry, "cid"))
            m->cid = choice->cid;
        m->chosen = true;
        ok = model_complete(all, m) || fail(error, m->id_text, "its key is unusable");
        if (!ok)
            break;
    }
    json_decref(root);
    return ok;
}

size_t swarm_models_chosen(const struct swarm_models *all)
{
    size_t count = 0;

    for (struct swarm_model *m = all->by_id; m; m = m->hh.next)
        count += m->chosen;
    return count;
}

struct swarm_model *swarm_models_first(const struct swarm_models *all)
{
    return all->by_id;
}

struct swarm_model *swarm_models_next(const struct swarm_model *m)
{
    return m->hh.next;
}

struct swarm_credentials swarm_model_credentials(const struct swarm_model *m,
                                                 const struct swarm_verifier *server)
{
    return (struct swarm_credentials){.key = &m->key,
                                      .server = server,
                                      .identity = {(const uint8_t *)m->id_text, DEVICE_ID_TEXT_SIZE - 1},
                                      .psk = {m->psk, m->psk_len},
                                      .profile = (enum swarm_profile)m->profile,
                                      .suite = SWARM_SUITE_CCM8,
                                      .cid = m->cid};
}
