/* product_firmware_bench.h: versions of a product's firmware and its devices in Postgres. Included by one .c
 * file of a test program. */
#ifndef CYAN_TESTS_PRODUCT_FIRMWARE_BENCH_H
#define CYAN_TESTS_PRODUCT_FIRMWARE_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/product_firmware.h"
#include "fleet_fixture.h"
#include "module_builder.h"

#define ARGON 12
#define PRODUCT 1000
#define SETTINGS                                                                                             \
    "'{\"again_s\":0,\"describe_s\":100,\"reboot_s\":300,\"ncp_reboot_s\":600,\"backoff_s\":30,"             \
    "\"offline_s\":60}'"

static char device_hex[2 * DEVICE_ID_BYTES + 1];

/* A number or text that the statement of this format answers with; valid until the next call. */
__attribute__((format(printf, 1, 2))) static inline const char *ask(const char *format, ...)
{
    char sql[4000];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    return fleet_sql(sql);
}
#define assert_says(said, ...) assert_string_equal(ask(__VA_ARGS__), said)

static inline int setup(void **state)
{
    if (fleet_fixture_setup(state) != 0)
        return -1;
    fleet_script(
        "TRUNCATE module_content, module_binary, release, campaign, device_update, update_event, product,"
        " product_push RESTART IDENTITY CASCADE;"
        "INSERT INTO product (id, slug, name, platform_id) VALUES (1000, 'toaster', 'Toaster', 12),"
        " (1001, 'kettle', 'Kettle', 12);"
        "INSERT INTO product_group (product_id, name) VALUES (1000, 'beta'), (1000, 'late'), (1001, 'beta')");
    return 0;
}

struct answered {
    int calls;
    enum fleet_err err;
    char json[2000], why[300];
};

static inline void on_answer(void *arg, enum fleet_err err, const char *json, const char *why)
{
    struct answered *a = arg;
    a->calls++;
    a->err = err;
    snprintf(a->json, sizeof a->json, "%s", json ? json : "");
    snprintf(a->why, sizeof a->why, "%s", why);
}

struct wanted {
    uint16_t platform_id, product_id, product_version;
    uint8_t function, fill;
    bool bare; /* its suffix says no product */
    int version;
};
/* An application for the Argon that says what it is a version of. */
#define APPLICATION(v)                                                                                       \
    (struct wanted)                                                                                          \
    {                                                                                                        \
        .platform_id = ARGON, .product_id = PRODUCT, .product_version = (v), .function = MODULE_USER,        \
        .version = (v)                                                                                       \
    }

static inline struct answered upload(struct fleet_fixture *fx, struct wanted w)
{
    uint8_t suffix[4] = {(uint8_t)w.product_id, (uint8_t)(w.product_id >> 8), (uint8_t)w.product_version,
                         (uint8_t)(w.product_version >> 8)};
    struct module_recipe recipe = {.body_len = 4000,
                                   .function = w.function,
                                   .index = 1,
                                   .platform_id = w.platform_id,
                                   .version = 6,
                                   .fill = (uint8_t)(w.fill + w.product_version),
                                   .suffix = suffix,
                                   .suffix_len = w.bare ? 0 : sizeof suffix};
    struct built b = module_build(&recipe);
    struct product_firmware_upload up = {
        .product_id = PRODUCT, .version = w.version, .title = "first", .description = "<b>text</b>"};
    struct answered a = {0};
    fleet_upload_product_firmware(fx->fleet, &fx->owner, &up, b.data, b.len, "app.bin", on_answer, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a;
}

static inline void add_version(struct fleet_fixture *fx, uint16_t version)
{
    struct answered a = upload(fx, APPLICATION(version));
    assert_string_equal(a.why, "");
    assert_int_equal(a.err, FLEET_OK);
}

#define assert_has(text, part) assert_non_null(strstr(text, part))

static inline struct answered release(struct fleet_fixture *fx, int version, const char *group, bool at_once)
{
    struct answered a = {0};
    struct product_firmware_release r = {.product_id = PRODUCT,
                                         .version = version,
                                         .groups = &group,
                                         .group_count = group ? 1 : 0,
                                         .is_default = !group,
                                         .at_once = at_once};
    fleet_release_product_firmware(fx->fleet, &fx->owner, &r, on_answer, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static inline void say_hello(struct fleet_fixture *fx, unsigned n, uint64_t session, uint16_t product,
                             uint16_t version)
{
    struct device_facts facts = fleet_test_facts(n, session);
    struct hello hello = fleet_test_hello(n, ARGON);
    struct fleet_verdict v = {0};
    hello.product_id = product;
    hello.product_version = version;
    fx->ops->hello(fx->ops->ctx, &facts, &hello, false, NULL, 0, fleet_on_verdict, &v);
    fleet_run_until(fx, v.calls);
    assert_int_equal(v.verdict, DEVICE_STORED);
}

/* Device n of this node and of the product, online, running this version of it; 0: another application. */
static inline void argon(struct fleet_fixture *fx, unsigned n, uint16_t version)
{
    struct device_id id = fleet_test_id(n);
    device_id_format(device_hex, &id);
    fleet_enrol(fx, n);
    say_hello(fx, n, 70 + n, version ? PRODUCT : ARGON, version ? version : 0xffff);
    fleet_describe_module(fx, n, MODULE_USER, 1, 5);
    ask("UPDATE device SET online = true, node_id = 0, last_heard = now(), in_product = 1000 WHERE id = "
        "'\\x%s'"
        " RETURNING 1",
        device_hex);
}

static inline void sweep(void)
{
    ask("SELECT count(*) FROM update_sweep(0, " SETTINGS ")");
}

#endif
