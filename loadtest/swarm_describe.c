/* Payloads of the describes (device-protocol 4.4): system as JSON or protobuf, application as JSON, metrics.
 */
#include "base/bytes.h"
#include "base/mem.h"
#include "swarm_firmware.h"
#include "swarm_messages.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNMET 4     /* dependencies */
#define VALIDITY 30 /* integrity, dependencies, range, platform: all checked and passed */
#define PROTOBUF_MAX_BYTES 2048

/* The user part's hash: any 32 bytes that stay the same for the same build. */
static void user_hash(const struct swarm_model *m, const struct swarm_module *module,
                      uint8_t out[SWARM_HASH_BYTES])
{
    char text[64];
    int len;

    if (module->has_hash) {
        memcpy(out, module->hash, SWARM_HASH_BYTES);
        return;
    }
    len = snprintf(text, sizeof(text), "user %u %u", m->platform->id, module->v);

    swarm_sha256(out, text, (size_t)len);
}

static int passed(const struct swarm_model *m, const struct swarm_module *module)
{
    return swarm_firmware_meets(&m->firmware, module) ? VALIDITY : VALIDITY & ~UNMET;
}

/* A co-processor that does not answer has version 0. */
static uint16_t told_version(const struct swarm_model *m, const struct swarm_module *module)
{
    return module->f == 'c' && m->firmware.ncp_silent ? 0 : module->v;
}

/* Identities of the modem, made from the device id. */
static void modem_identity(const struct swarm_model *m, char imei[16], char iccid[21])
{
    (void)snprintf(imei, 16, "35%013u", be32_load(m->id.bytes + 8));
    (void)snprintf(iccid, 21, "8934076500%010u", be32_load(m->id.bytes + 8));
}

static const char *modem_firmware(const struct swarm_model *m)
{
    return m->platform->generation == 2 ? "L0.0.00.00.05.06,A.02.01" : "R510S-02B-00A.05.06.01";
}

/* --- JSON --- */

static json_t *json_module(const struct swarm_model *m, const struct swarm_module *module)
{
    uint8_t hash[SWARM_HASH_BYTES];
    char hash_text[2 * SWARM_HASH_BYTES + 1];
    json_t *depends = json_array(), *entry;

    for (size_t i = 0; i < 2 && module->depends[i].f; i++)
        json_array_append_new(depends,
                              json_pack("{s:s%,s:s%,s:i}", "f", &module->depends[i].f, (size_t)1, "n",
                                        &module->depends[i].n, (size_t)1, "v", (int)module->depends[i].v));
    entry = json_pack("{s:i,s:s,s:i,s:i,s:s%,s:s%,s:i,s:o}", "s", (int)module->slot_bytes, "l", "m", "vc",
                      VALIDITY, "vv", passed(m, module), "f", &module->f, (size_t)1, "n", &module->n,
                      (size_t)1, "v", (int)told_version(m, module), "d", depends);
    must(entry != NULL);
    if (module->f == 'u') {
        user_hash(m, module, hash);
        hex_encode(hash_text, hash, sizeof(hash));
        json_object_set_new(entry, "u", json_string(hash_text));
    }
    return entry;
}

static void json_add_system(const struct swarm_model *m, json_t *root)
{
    json_t *modules = json_array();
    char imei[16], iccid[21];

    json_object_set_new(root, "p", json_integer(m->platform->id));
    if (m->platform->cellular) {
        modem_identity(m, imei, iccid);
        json_object_set_new(root, "imei", json_string(imei));
        json_object_set_new(root, "iccid", json_string(iccid));
        json_object_set_new(root, "cellfw", json_string(modem_firmware(m)));
    }
    for (size_t i = 0; i < m->firmware.module_count; i++)
        json_array_append_new(modules, json_module(m, &m->firmware.modules[i]));
    json_object_set_new(root, "m", modules);
}

/* Variable types: 1 bool, 2 int32, 4 string, 9 double (device-protocol 4.4.2). */
static void json_add_app(const struct swarm_model *m, json_t *root)
{
    if (swarm_firmware_is_in_safe_mode(&m->firmware)) { /* its application does not run */
        json_object_set_new(root, "f", json_array());
        json_object_set_new(root, "v", json_object());
        return;
    }
    json_object_set_new(root, "f",
                        json_pack("[s,s,s,s,s,s,s]", "digitalread", "digitalwrite", "analogread",
                                  "analogwrite", "mix", "mixTwo", "slow"));
    json_object_set_new(root, "v",
                        json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "temperature", 9, "counter", 2,
                                  "version", 4, "flag", 1, "aBool", 1, "anInt", 2, "aString", 4, "aDouble",
                                  9));
}

static uint8_t *describe_json(const struct swarm_model *m, unsigned int flags, size_t *len)
{
    json_t *root = json_object();
    char *text;

    if (flags & SWARM_DESCRIBE_APP)
        json_add_app(m, root);
    if (flags & SWARM_DESCRIBE_SYSTEM)
        json_add_system(m, root);
    text = json_dumps(root, JSON_COMPACT);
    must(text != NULL);
    json_decref(root);
    *len = strlen(text);
    return (uint8_t *)text;
}

/* --- protobuf: particle.cloud.SystemDescribe (device-protocol 4.4.4) --- */

static void put_varint(struct bytes_writer *w, uint64_t v)
{
    while (v >= 0x80) {
        bytes_put_u8(w, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    bytes_put_u8(w, (uint8_t)v);
}

static void put_uint(struct bytes_writer *w, unsigned int field, uint64_t v)
{
    if (v == 0) /* the default of proto3 is not written */
        return;
    put_varint(w, field << 3);
    put_varint(w, v);
}

static void put_fixed32(struct bytes_writer *w, unsigned int field, uint32_t v)
{
    put_varint(w, field << 3 | 5);
    for (int i = 0; i < 4; i++)
        bytes_put_u8(w, (uint8_t)(v >> 8 * i));
}

static void put_bytes(struct bytes_writer *w, unsigned int field, const void *data, size_t len)
{
    put_varint(w, field << 3 | 2);
    put_varint(w, len);
    bytes_put(w, data, len);
}

static unsigned int protobuf_type(char f)
{
    static const char letters[] = "_rbmsu_ca";
    const char *at = strchr(letters, f);

    return at ? (unsigned int)(at - letters) : 0;
}

static void put_module(struct bytes_writer *w, const struct swarm_model *m, const struct swarm_module *module)
{
    uint8_t bytes[256], hash[SWARM_HASH_BYTES], depends_bytes[32];
    struct bytes_writer inner, depends;

    bytes_writer_init(&inner, bytes, sizeof(bytes));
    put_uint(&inner, 1, protobuf_type(module->f));
    put_uint(&inner, 2, (unsigned int)(module->n - '0'));
    put_uint(&inner, 3, told_version(m, module));
    put_uint(&inner, 5, module->slot_bytes);
    put_fixed32(&inner, 6, VALIDITY);
    put_fixed32(&inner, 7, (uint32_t)passed(m, module));
    if (module->f == 'u') {
        user_hash(m, module, hash);
        put_bytes(&inner, 8, hash, sizeof(hash));
    }
    for (size_t i = 0; i < 2 && module->depends[i].f; i++) {
        bytes_writer_init(&depends, depends_bytes, sizeof(depends_bytes));
        put_uint(&depends, 1, protobuf_type(module->depends[i].f));
        put_uint(&depends, 2, (unsigned int)(module->depends[i].n - '0'));
        put_uint(&depends, 3, module->depends[i].v);
        put_bytes(&inner, 9, depends_bytes, bytes_written(&depends));
    }
    put_uint(&inner, 11, module->slot_bytes / 2 + module->v); /* a size that fits its slot */
    put_bytes(w, 1, bytes, bytes_written(&inner));
}

static uint8_t *describe_protobuf(const struct swarm_model *m, size_t *len)
{
    uint8_t *out = mem_alloc(PROTOBUF_MAX_BYTES);
    struct bytes_writer w;
    char imei[16], iccid[21];

    bytes_writer_init(&w, out, PROTOBUF_MAX_BYTES);
    for (size_t i = 0; i < m->firmware.module_count; i++)
        put_module(&w, m, &m->firmware.modules[i]);
    if (m->platform->cellular) {
        modem_identity(m, imei, iccid);
        put_bytes(&w, 2, imei, strlen(imei));
        put_bytes(&w, 3, iccid, strlen(iccid));
        put_bytes(&w, 4, modem_firmware(m), strlen(modem_firmware(m)));
    }
    must(!w.bad);
    *len = bytes_written(&w);
    return out;
}

/* --- metrics (device-protocol 4.4.5, ids of its appendix B) --- */

static void put_le16(struct bytes_writer *w, uint16_t v)
{
    bytes_put_u8(w, (uint8_t)v);
    bytes_put_u8(w, (uint8_t)(v >> 8));
}

static void put_metric(struct bytes_writer *w, uint16_t id, int32_t value)
{
    put_le16(w, id);
    put_le16(w, (uint16_t)((uint32_t)value & 0xffff));
    put_le16(w, (uint16_t)((uint32_t)value >> 16));
}

static uint8_t *describe_metrics(const struct swarm_model *m, uint32_t uptime_s, size_t *len)
{
    uint8_t *out = mem_alloc(128);
    struct bytes_writer w;

    bytes_writer_init(&w, out, 128);
    bytes_put_u8(&w, 0);
    put_le16(&w, 4);
    put_le16(&w, 2);
    put_le16(&w, 4);
    put_metric(&w, 1, 0);                                /* sys:reset */
    put_metric(&w, 6, (int32_t)(uptime_s & 0x7fffffff)); /* sys:uptime */
    put_metric(&w, 2, 84000 + m->id.bytes[11]);          /* mem:free */
    put_metric(&w, 19, -40 - m->id.bytes[10] % 50);      /* net:rssi */
    put_metric(&w, 21, m->id.bytes[9] % 5);              /* coap:retransmit */
    put_metric(&w, 10, 2);                               /* cloud:stat */
    *len = bytes_written(&w);
    return out;
}

uint8_t *swarm_describe_payload(const struct swarm_model *m, unsigned int flags, uint32_t uptime_s,
                                size_t *len)
{
    if (flags == SWARM_DESCRIBE_METRICS)
        return describe_metrics(m, uptime_s, len);
    if (swarm_describe_is_protobuf(m, flags))
        return describe_protobuf(m, len);
    return describe_json(m, flags, len);
}
