/* step_bench.h: updates of an Argon in Postgres, moved step by step as a node would. Included by one .c file
 * of a test program. */
#ifndef CYAN_TESTS_STEP_BENCH_H
#define CYAN_TESTS_STEP_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet_fixture.h"

#define ARGON 12
#define BOOTLOADER 2
#define NCP 7
#define SETTINGS                                                                                             \
    "'{\"again_s\":0,\"describe_s\":100,\"reboot_s\":300,\"ncp_reboot_s\":600,\"backoff_s\":30,"             \
    "\"offline_s\":60}'"

static char device_hex[2 * DEVICE_ID_BYTES + 1];

static inline int setup(void **state)
{
    if (fleet_fixture_setup(state) != 0)
        return -1;
    fleet_script(
        "TRUNCATE module_content, module_binary, release, campaign, device_update, update_event CASCADE");
    return 0;
}

/* A number or text that the statement of this format answers with; valid until the next call. */
__attribute__((format(printf, 1, 2))) static inline const char *ask(const char *format, ...)
{
    char sql[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    return fleet_sql(sql);
}
#define assert_says(said, ...) assert_string_equal(ask(__VA_ARGS__), said)

/* A binary of the Argon; its id. */
static inline long binary(int func, int idx, int version)
{
    return atol(
        ask("WITH c AS (INSERT INTO module_content VALUES (sha256('%d.%d.%d'), 'x') RETURNING sha256)"
            " INSERT INTO module_binary (platform_id, func, idx, version, sha256, size_bytes, uploaded_by)"
            " SELECT 12, %d, %d, %d, sha256, 100000, 'test' FROM c RETURNING id",
            func, idx, version, func, idx, version));
}

/* Device n of this node: an Argon online with a bootloader of this version. */
static inline void argon(struct fleet_fixture *fx, unsigned n, uint16_t version)
{
    struct device_id id = fleet_test_id(n);
    device_id_format(device_hex, &id);
    fleet_enrol(fx, n);
    fleet_say_hello(fx, n, ARGON, 70 + n);
    fleet_describe_module(fx, n, BOOTLOADER, 0, version);
    ask("UPDATE device SET online = true, node_id = 0, last_heard = now() WHERE id = '\\x%s' RETURNING 1",
        device_hex);
}

static inline long flash(long module)
{
    assert_says("ok", "SELECT code FROM create_flash(NULL, 'opal', true, '%s', %ld)", device_hex, module);
    return atol(ask("SELECT max(id) FROM update_step"));
}

static inline const char *state_of(long step)
{
    return ask("SELECT state FROM update_step WHERE id = %ld", step);
}

static inline int rev_of(long step)
{
    return atoi(ask("SELECT rev FROM update_step WHERE id = %ld", step));
}

static inline const char *update_of(long step)
{
    return ask("SELECT u.state || coalesce(' ' || u.reason, '') FROM device_update u JOIN update_step s ON"
               " s.update_id = u.id WHERE s.id = %ld",
               step);
}

static inline const char *claim(void)
{
    return ask("SELECT coalesce(string_agg(job, ' '), '') FROM update_claim(0, 10, 10, 60)");
}

static inline void sweep(void)
{
    ask("SELECT count(*) FROM update_sweep(0, " SETTINGS ")");
}

static inline const char *told(void)
{
    return ask("SELECT coalesce(string_agg(convert_from(data, 'UTF8'), '' ORDER BY id), '') FROM event"
               " WHERE name = 'spark/flash/status'");
}

/* From `ready` to `rebooting`. */
static inline void carry(long step)
{
    assert_string_equal(claim(), "start");
    assert_says("start", "SELECT said FROM step_check(%ld, %d, 0)", step, rev_of(step));
    assert_says("ok", "SELECT said FROM step_transfer(%ld, %d, 0, 0)", step, rev_of(step));
    assert_says("finish", "SELECT said FROM step_finish(%ld, %d, 0, 100000, 110000)", step, rev_of(step));
    assert_says("rebooting",
                "SELECT said FROM step_ended(%ld, %d, 0, 'validated', 0, '', false, 100000, 110000, " SETTINGS
                ")",
                step, rev_of(step));
}

/* It came back, with a Hello. */
static inline void come_back(struct fleet_fixture *fx, unsigned n, uint16_t version)
{
    fleet_say_hello(fx, n, ARGON, 70 + n);
    fleet_describe_module(fx, n, BOOTLOADER, 0, version);
    sweep();
}

static inline const char *look(long step)
{
    return ask("SELECT said FROM step_look(%ld, %d, 0, " SETTINGS ")", step, rev_of(step));
}

/* Brings a step into a state, and its deadline into the past. */
static inline void force(long step, const char *state_name, const char *more)
{
    ask("UPDATE update_step SET state = '%s', node_id = 9, deadline_at = now() - interval '1 s', finished_at "
        "= now(),"
        " session_epoch = 0, hellos = (SELECT max(hellos) FROM device)%s WHERE id = %ld RETURNING 1",
        state_name, more, step);
}

#endif
