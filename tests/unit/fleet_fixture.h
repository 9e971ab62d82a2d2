/* fleet_fixture.h: a fleet on a private Postgres, driven from a test: migrated, started, with a clean
 * registry. */
#ifndef CYAN_TESTS_FLEET_FIXTURE_H
#define CYAN_TESTS_FLEET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fleet/device_change.h"
#include "fleet/room.h"
#include "private_postgres.h"

struct fleet_fixture {
    uv_loop_t loop;
    uv_timer_t timer; /* runs the deadlines */
    struct deadlines deadlines;
    struct metrics *metrics;
    struct pg *pg;
    struct fleet *fleet;
    const struct device_ops *ops;
    struct fleet_actor owner, other_owner, operator, admin;
    bool pg_closed;
    /* what the fleet asked of the rooms below */
    int revoked, published;
    struct device_id revoked_id, published_id;
    char published_name[65];
    int deliveries;
    char delivered[2000]; /* `device:name=data ` of each */
    int psk_answers, psk_aways;
    void (*on_psk_answer)(struct fleet_fixture *fx); /* NULL, or as the handshake goes on at once */
    uint8_t psk[64];
    size_t psk_len;
};

#define FLEET_FIRST_ELSEWHERE 500 /* devices from this number on are not on this node */

extern struct private_postgres fleet_postgres;

/* For main: makes the Postgres, migrates, runs the tests. */
bool fleet_fixture_begin(void);
void fleet_fixture_end(void);
/* For each test. policy refuse, hold 60 s, events kept a week. */
int fleet_fixture_setup(void **state);
int fleet_fixture_teardown(void **state);

#define fleet_run_until(fx, cond)                                                                            \
    do {                                                                                                     \
        uint64_t limit_ = clock_ms() + 60000; /* only a hang meets it */                                     \
        while (!(cond)) {                                                                                    \
            assert_true(clock_ms() < limit_);                                                                \
            uv_run(&(fx)->loop, UV_RUN_ONCE);                                                                \
        }                                                                                                    \
    } while (0)

/* Blocking looks into the database, outside the program under test. The text is valid until the next call. */
const char *fleet_sql(const char *sql);
void fleet_script(const char *sql);

struct device_id fleet_test_id(unsigned n);
struct device_facts fleet_test_facts(unsigned n, uint64_t session_id);
struct hello fleet_test_hello(unsigned n, uint16_t platform_id);

/* A verdict and how often it came. */
struct fleet_verdict {
    int calls;
    enum device_verdict verdict;
};
void fleet_on_verdict(void *arg, enum device_verdict verdict);

/* An answer about one device, copied. */
struct fleet_answer {
    int calls;
    enum fleet_err err;
    struct device_id id;
    char name[65], owner[65], status[16], cc3000[33], why[100], reason[200], functions[200], variables[200];
    bool has_name, requires_deep_update, has_cc3000, connected, quarantined, has_reason;
    int platform_id, product_id;
    uint64_t last_heard_ms, last_handshake_ms;
    char last_ip[64], last_reset[64], system_release[16];
    int updates_enabled, updates_forced;
};
void fleet_on_device(void *arg, enum fleet_err err, const struct fleet_device *device);
void fleet_on_change(void *arg, enum fleet_err err, const struct fleet_device *device, const char *why);

/* Steps that must succeed. */
void fleet_enrol(struct fleet_fixture *fx, unsigned n); /* by provisioning, as the admin */
void fleet_say_hello(struct fleet_fixture *fx, unsigned n, uint16_t platform_id, uint64_t session_id);
void fleet_describe_module(struct fleet_fixture *fx, unsigned n, uint8_t function, uint8_t index,
                           uint16_t version);
void fleet_send_event(struct fleet_fixture *fx, unsigned n, enum device_event_kind kind, const char *name,
                      const char *data);
struct fleet_answer fleet_get(struct fleet_fixture *fx, const struct fleet_actor *actor, const char *which);
struct fleet_answer fleet_get_id(struct fleet_fixture *fx, unsigned n);

#endif
