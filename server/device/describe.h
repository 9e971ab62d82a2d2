/* describe.h: what a device says it runs: modules, functions, variables; JSON and protobuf
 * (device-protocol 4.4).
 *
 * Ownership: describe_parse_* fills a caller's struct whose strings and arrays it allocates; describe_free
 * releases them. */
#ifndef CYAN_DEVICE_DESCRIBE_H
#define CYAN_DEVICE_DESCRIBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "module/module_names.h"

enum describe_part { DESCRIBE_SYSTEM = 1, DESCRIBE_APPLICATION = 2, DESCRIBE_METRICS = 4 };

enum module_store { MODULE_STORE_MAIN, MODULE_STORE_FACTORY, MODULE_STORE_BACKUP, MODULE_STORE_SCRATCHPAD };

#define DESCRIBE_MODULES_MAX 32
#define DESCRIBE_DEPENDENCIES_MAX 4
#define DESCRIBE_FUNCTIONS_MAX 100
#define DESCRIBE_VARIABLES_MAX 100
#define DESCRIBE_NAME_MAX 64
#define DESCRIBE_METRICS_MAX 256

struct module {
    uint8_t function, index, store;
    uint16_t version;
    uint32_t max_size_bytes;
    uint32_t checked_flags, passed_flags; /* validity bits; valid when equal */
    bool has_hash;
    uint8_t hash[32];
    uint8_t dependency_count;
    struct module_dependency dependencies[DESCRIBE_DEPENDENCIES_MAX];
};
enum variable_type { VARIABLE_BOOL = 1, VARIABLE_INT32 = 2, VARIABLE_STRING = 4, VARIABLE_DOUBLE = 9 };
struct variable {
    char name[DESCRIBE_NAME_MAX + 1];
    uint8_t type; /* enum variable_type */
};
struct metric_value {
    uint16_t id;
    int32_t value;
    bool is_error; /* value is a negative system error (device-protocol 4.4.5) */
};

struct describe {
    unsigned parts; /* bits of enum describe_part that were present */
    /* system */
    struct module *modules;
    size_t module_count;
    int platform_id;                                                /* -1 = not stated */
    char imei[24], iccid[32], modem_version[64], serial_number[40]; /* "" = not stated */
    /* application */
    char (*functions)[DESCRIBE_NAME_MAX + 1];
    size_t function_count;
    struct variable *variables;
    size_t variable_count;
    /* metrics */
    struct metric_value *metrics;
    size_t metric_count;
};

/* One body. content_format: of the message, UINT16_MAX when absent; 42 = protobuf; else first byte `{` =
 * JSON, 00 = metrics. On failure false, why (static text) is set and nothing is left to free. Over-long lists
 * are refused, not cut. */
must_check bool describe_parse(struct describe *d, uint16_t content_format, const uint8_t *body,
                               size_t body_len, const char **why);
void describe_free(struct describe *d);

#endif
