#include "fleet/vitals_tree.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define PLACE_MAX_BYTES 128

enum form {
    INTEGER,
    UNSIGNED, /* 32 bits */
    PERCENT,  /* fixed point, 8 bits behind the point */
    FIXED,    /* fixed point, 16 bits behind the point, signed */
    ADDRESS,  /* IPv4 */
    MNC,      /* negative: of two digits */
    WORD,     /* one of words */
};

/* As Device OS numbers them. */
static const char *const network_states[] = {"turned_off", "turning_on",    "disconnected", "connecting",
                                             "connected",  "disconnecting", "turning_off",  NULL};
static const char *const cloud_states[] = {"disconnected", "connecting", "connected", "disconnecting", NULL};
static const char *const network_reasons[] = {"none",  "error", "user",    "network_off", "listening",
                                              "sleep", "reset", "unknown", NULL};
static const char *const cloud_reasons[] = {
    "none",         "error", "user",    "network_disconnect", "listening",
    "system_reset", "sleep", "unknown", "server_moved",       NULL};
static const char *const battery_states[] = {"unknown",     "not_charging", "charging",     "charged",
                                             "discharging", "fault",        "disconnected", NULL};
static const char *const power_sources[] = {"unknown", "VIN",     "USB host", "USB adapter",
                                            "USB OTG", "battery", NULL};
static const char *const technologies[] = {"unknown", "Wi-Fi",    "GSM",   "EDGE",   "UMTS", "CDMA",
                                           "LTE",     "802.15.4", "LTE-M", "NB-IoT", NULL};

struct place {
    uint16_t id;
    enum form form;
    const char *path, *units;
    const char *const *words; /* of WORD */
};

static const struct place places[] = {
    {40, INTEGER, "device.network.cellular.cell_global_identity.mobile_country_code", NULL, NULL},
    {41, MNC, "device.network.cellular.cell_global_identity.mobile_network_code", NULL, NULL},
    {42, UNSIGNED, "device.network.cellular.cell_global_identity.location_area_code", NULL, NULL},
    {43, UNSIGNED, "device.network.cellular.cell_global_identity.cell_id", NULL, NULL},
    {36, WORD, "device.network.signal.at", NULL, technologies},
    {33, PERCENT, "device.network.signal.strength", "%", NULL},
    {37, FIXED, "device.network.signal.strengthv", "dBm", NULL},
    {34, PERCENT, "device.network.signal.quality", "%", NULL},
    {35, FIXED, "device.network.signal.qualityv", "dB", NULL},
    {19, INTEGER, "device.network.signal.rssi", "dBm", NULL},
    {8, WORD, "device.network.connection.status", NULL, network_states},
    {9, INTEGER, "device.network.connection.error", NULL, NULL},
    {12, INTEGER, "device.network.connection.disconnects", NULL, NULL},
    {27, INTEGER, "device.network.connection.attempts", NULL, NULL},
    {28, WORD, "device.network.connection.disconnect_reason", NULL, network_reasons},
    {15, ADDRESS, "device.network.ip.address", NULL, NULL},
    {16, ADDRESS, "device.network.ip.gateway", NULL, NULL},
    {17, UNSIGNED, "device.network.flags", NULL, NULL},
    {18, INTEGER, "device.network.country", NULL, NULL},
    {49, WORD, "device.network.alternate.signal.at", NULL, technologies},
    {46, PERCENT, "device.network.alternate.signal.strength", "%", NULL},
    {45, FIXED, "device.network.alternate.signal.strengthv", "dBm", NULL},
    {47, PERCENT, "device.network.alternate.signal.quality", "%", NULL},
    {48, FIXED, "device.network.alternate.signal.qualityv", "dB", NULL},
    {10, WORD, "device.cloud.connection.status", NULL, cloud_states},
    {13, INTEGER, "device.cloud.connection.error", NULL, NULL},
    {29, INTEGER, "device.cloud.connection.attempts", NULL, NULL},
    {14, INTEGER, "device.cloud.connection.disconnects", NULL, NULL},
    {30, WORD, "device.cloud.connection.disconnect_reason", NULL, cloud_reasons},
    {44, INTEGER, "device.cloud.connection.interface", NULL, NULL},
    {23, UNSIGNED, "device.cloud.coap.transmit", NULL, NULL},
    {21, UNSIGNED, "device.cloud.coap.retransmit", NULL, NULL},
    {22, UNSIGNED, "device.cloud.coap.unack", NULL, NULL},
    {31, UNSIGNED, "device.cloud.coap.round_trip", "ms", NULL},
    {20, UNSIGNED, "device.cloud.publish.rate_limited", NULL, NULL},
    {3, PERCENT, "device.power.battery.charge", "%", NULL},
    {7, WORD, "device.power.battery.state", NULL, battery_states},
    {24, WORD, "device.power.source", NULL, power_sources},
    {6, UNSIGNED, "device.system.uptime", "s", NULL},
    {26, UNSIGNED, "device.system.memory.used", "bytes", NULL},
    {25, UNSIGNED, "device.system.memory.total", "bytes", NULL},
    {2, UNSIGNED, "device.system.memory.free", "bytes", NULL},
    {1, INTEGER, "device.system.reset", NULL, NULL},
    {4, INTEGER, "device.system.loop", NULL, NULL},
    {5, INTEGER, "device.system.application_loop", NULL, NULL},
    {60, INTEGER, "device.system.protected", NULL, NULL},
    {0, WORD, "service.device.status", NULL, NULL},
    {0, INTEGER, "service.cloud.uptime", "s", NULL},
    {0, INTEGER, "service.cloud.publish.sent", NULL, NULL},
    {0, INTEGER, "service.coap.round_trip", "ms", NULL},
};
#define PLACE_COUNT (sizeof places / sizeof *places)

const char *vitals_tree_place(size_t index, unsigned *id, const char **units)
{
    if (index >= PLACE_COUNT)
        return NULL;
    *id = places[index].id;
    *units = places[index].units;
    return places[index].path;
}

/* --- values --- */

static json_t *text_of_address(uint32_t address)
{
    return json_sprintf("%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

static json_t *text_of_mnc(int64_t value)
{
    if (value < -99 || value > 999)
        return json_integer(value);
    return value < 0 ? json_sprintf("%02d", -(int)value) : json_sprintf("%03d", (int)value);
}

static json_t *word_of(const char *const *words, int64_t value)
{
    for (int64_t i = 0; words[i]; i++)
        if (i == value)
            return json_string(words[i]);
    return json_integer(value); /* newer than this list */
}

static json_t *value_of(const struct place *place, const json_t *said)
{
    int64_t value = json_integer_value(said);
    if (!json_is_integer(said)) /* {"err": code} */
        return json_deep_copy(said);
    switch (place->form) {
    case UNSIGNED:
        return json_integer((json_int_t)(uint32_t)value);
    case PERCENT:
        return json_real((double)(uint32_t)value / 256);
    case FIXED:
        return json_real((double)value / 65536);
    case ADDRESS:
        return text_of_address((uint32_t)value);
    case MNC:
        return text_of_mnc(value);
    case WORD:
        return word_of(place->words, value);
    case INTEGER:
        break;
    }
    return json_integer(value);
}

/* --- the tree --- */

static void put(json_t *tree, const char *path, json_t *value)
{
    char copy[PLACE_MAX_BYTES], *rest = copy, *key;
    (void)snprintf(copy, sizeof copy, "%s", path);
    while ((key = strsep(&rest, ".")) != NULL && rest != NULL) {
        json_t *inner = json_object_get(tree, key);
        if (!inner) {
            inner = json_object();
            (void)json_object_set_new(tree, key, inner);
        }
        tree = inner;
    }
    (void)json_object_set_new(tree, key, value);
}

static void put_units(json_t *tree, const struct place *place)
{
    if (!place->units || strncmp(place->path, "device.network.", 15) != 0)
        return;
    char *path = mem_printf("%s_units", place->path);
    put(tree, path, json_string(place->units));
    free(path);
}

static const struct place *place_of(const char *id_text)
{
    unsigned long id = strtoul(id_text, NULL, 10);
    for (size_t i = 0; i < PLACE_COUNT; i++)
        if (places[i].id == id && id != 0)
            return &places[i];
    return NULL;
}

json_t *vitals_tree(const json_t *vitals, const json_t *service)
{
    json_t *tree =
        json_pack("{s:{},s:o}", "device", "service", service ? json_deep_copy(service) : json_object());
    const char *id;
    const json_t *said;
    json_object_foreach ((json_t *)vitals, id, said) {
        const struct place *place = place_of(id);
        char other[PLACE_MAX_BYTES];
        if (place) {
            put(tree, place->path, value_of(place, said));
            put_units(tree, place);
        } else {
            (void)snprintf(other, sizeof other, "device.other.%s", id);
            put(tree, other, json_deep_copy(said));
        }
    }
    return tree;
}

const json_t *vitals_tree_find(const json_t *tree, const char *place)
{
    char copy[PLACE_MAX_BYTES], *rest = copy, *key;
    (void)snprintf(copy, sizeof copy, "%s", place);
    while (tree && (key = strsep(&rest, ".")) != NULL)
        tree = json_object_get(tree, key);
    return tree;
}
