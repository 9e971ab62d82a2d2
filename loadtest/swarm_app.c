#include "swarm_app.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "swarm_firmware.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool piece_is(struct swarm_coap_piece piece, const char *text)
{
    return piece.len == strlen(text) && memcmp(piece.data, text, piece.len) == 0;
}

/* --- functions --- */

/* "D7,HIGH" or "A0,128"; the pin's number, and what follows the comma. */
static int pin_of(const char *argument, const char **value)
{
    const char *comma = strchr(argument, ',');
    int pin;

    if ((argument[0] != 'D' && argument[0] != 'A') || argument[1] < '0' || argument[1] > '9')
        return -1;
    pin = argument[1] - '0' + (argument[0] == 'A' ? 10 : 0);
    *value = comma ? comma + 1 : "";
    return pin;
}

/* First 32 bits of SHA-256("ID\nNAME\nDETAIL"). */
static uint32_t mix(const struct swarm_device *d, struct swarm_coap_piece name, const char *detail)
{
    char *text =
        mem_printf("%s\n%.*s\n%s", d->model->id_text, (int)name.len, (const char *)name.data, detail);
    uint8_t hash[SWARM_HASH_BYTES];

    swarm_sha256(hash, text, strlen(text));
    free(text);
    return be32_load(hash);
}

bool swarm_app_call(struct swarm_device *d, struct swarm_coap_piece name, const char *argument,
                    int32_t *result)
{
    const char *value = "";
    int pin = pin_of(argument, &value);

    if (swarm_firmware_is_in_safe_mode(&d->model->firmware))
        return false;
    if (piece_is(name, "digitalread")) {
        *result = pin < 0 ? -1 : (int32_t)(d->pins >> pin & 1);
    } else if (piece_is(name, "digitalwrite")) {
        *result = pin < 0 ? -1 : 1;
        if (pin >= 0)
            d->pins = strcmp(value, "HIGH") == 0 ? d->pins | 1U << pin : d->pins & ~(1U << pin);
    } else if (piece_is(name, "analogread")) {
        *result = pin < 0 ? -1 : (d->model->id.bytes[11] * 16 + pin) % 4096;
    } else if (piece_is(name, "analogwrite")) {
        *result = pin < 0 ? -1 : 1;
    } else if (piece_is(name, "slow")) {
        *result = (int32_t)strtol(argument, NULL, 10);
        return *result >= 0 && *result <= SWARM_SLOW_MAX_MS;
    } else if (piece_is(name, "mix") || piece_is(name, "mixTwo")) {
        *result = (int32_t)mix(d, name, argument);
    } else {
        return false;
    }
    return true;
}

/* --- variables --- */

static void put_bool(struct swarm_value *value, bool v)
{
    value->bytes[0] = v;
    value->len = 1;
    value->json = json_boolean(v);
}

static void put_int(struct swarm_value *value, int32_t v)
{
    be32_store(value->bytes, (uint32_t)v);
    value->len = 4;
    value->json = json_integer(v);
}

/* Little-endian: device-protocol 4.6. */
static void put_double(struct swarm_value *value, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    for (value->len = 0; value->len < sizeof(bits); value->len++)
        value->bytes[value->len] = (uint8_t)(bits >> 8 * value->len);
    value->json = json_real(v);
}

static void put_text(struct swarm_value *value, const char *text)
{
    value->len = strlen(text);
    must(value->len <= sizeof(value->bytes));
    memcpy(value->bytes, text, value->len);
    value->json = json_string(text);
}

/* Values of one read alone. */
static bool read_mixed(struct swarm_device *d, struct swarm_coap_piece name, struct swarm_value *value)
{
    char number[16], text[SWARM_VALUE_MAX_BYTES];
    uint32_t mixed;

    (void)snprintf(number, sizeof(number), "%u", d->reads);
    mixed = mix(d, name, number);
    if (piece_is(name, "aBool")) {
        put_bool(value, mixed & 1);
    } else if (piece_is(name, "anInt")) {
        put_int(value, (int32_t)mixed);
    } else if (piece_is(name, "aDouble")) {
        put_double(value, (int32_t)mixed / 256.0);
    } else if (piece_is(name, "aString")) {
        (void)snprintf(text, sizeof(text), "%s:%s", d->model->id_text, number);
        put_text(value, text);
    } else {
        return false;
    }
    return true;
}

bool swarm_app_read(struct swarm_device *d, struct swarm_coap_piece name, struct swarm_value *value)
{
    char version[16];

    d->reads++;
    if (piece_is(name, "temperature")) {
        put_double(value, 20.0 + d->model->id.bytes[11] / 16.0);
    } else if (piece_is(name, "counter")) {
        put_int(value, (int32_t)(uint32_t)d->event_counter);
    } else if (piece_is(name, "version")) {
        (void)snprintf(version, sizeof(version), "%u", d->model->firmware.system_version);
        put_text(value, version);
    } else if (piece_is(name, "flag")) {
        put_bool(value, d->pins & 1);
    } else {
        return read_mixed(d, name, value);
    }
    return true;
}
