/* test_fleet_firmware.c: module binaries and releases in the registry; binaries shared in memory. */
#include "fleet_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "fleet/firmware.h"
#include "fleet/firmware_cache.h"
#include "fleet/firmware_get.h"
#include "fleet/release.h"
#include "module_builder.h"

static int setup(void **state)
{
    fleet_script("TRUNCATE module_content, module_binary, release, release_module RESTART IDENTITY CASCADE");
    return fleet_fixture_setup(state);
}

static struct built binary(uint16_t version, size_t body_len)
{
    struct module_recipe r = {.body_len = body_len,
                              .function = MODULE_SYSTEM,
                              .index = 1,
                              .platform_id = 12,
                              .version = version,
                              .needs = {{MODULE_BOOTLOADER, 0, 3100}}};
    return module_build(&r);
}

/* --- uploads --- */

struct uploaded {
    int calls;
    enum fleet_err err;
    int64_t id;
    bool is_new;
    char why[MODULE_WHY_SIZE], status[16], reason[64], dependencies[100], combined[100], file_name[140];
    uint32_t size_bytes;
};

static void on_firmware(void *arg, enum fleet_err err, const struct firmware *f, bool is_new, const char *why)
{
    struct uploaded *u = arg;
    u->calls++;
    u->err = err;
    u->is_new = is_new;
    snprintf(u->why, sizeof u->why, "%s", why);
    assert_true((err == FLEET_OK) == (f != NULL));
    if (!f)
        return;
    u->id = f->id;
    u->size_bytes = f->size_bytes;
    snprintf(u->status, sizeof u->status, "%s", f->status);
    snprintf(u->reason, sizeof u->reason, "%s", f->withdrawn_reason ? f->withdrawn_reason : "");
    snprintf(u->dependencies, sizeof u->dependencies, "%s", f->dependencies);
    snprintf(u->combined, sizeof u->combined, "%s", f->combined);
    snprintf(u->file_name, sizeof u->file_name, "%s", f->file_name ? f->file_name : "(none)");
}

/* b.data is taken. */
static struct uploaded upload(struct fleet_fixture *fx, struct built b, const char *name)
{
    struct uploaded u = {0};
    fleet_upload_firmware(fx->fleet, &fx->operator, b.data, b.len, name, on_firmware, &u);
    assert_int_equal(u.calls, 0);
    fleet_run_until(fx, u.calls);
    return u;
}

static int64_t store(struct fleet_fixture *fx, uint16_t version, size_t body_len)
{
    struct uploaded u = upload(fx, binary(version, body_len), NULL);
    assert_int_equal(u.err, FLEET_OK);
    return u.id;
}

static void test_an_upload_is_stored_once(void **state)
{
    struct fleet_fixture *fx = *state;
    struct uploaded u = upload(fx, binary(6200, 400000), "part.bin");
    assert_int_equal(u.err, FLEET_OK);
    assert_true(u.is_new);
    assert_int_equal(u.size_bytes, 400064);
    assert_string_equal(u.status, "active");
    assert_string_equal(u.file_name, "part.bin");
    assert_string_equal(u.dependencies, "[{\"func\": 2, \"index\": 0, \"version\": 3100}]");
    assert_string_equal(u.combined, "[]");
    struct uploaded again = upload(fx, binary(6200, 400000), "other.bin");
    assert_int_equal(again.err, FLEET_OK);
    assert_false(again.is_new);
    assert_int_equal(again.id, u.id);
    assert_string_equal(again.file_name, "part.bin");
    assert_string_equal(fleet_sql("SELECT count(*) || ' ' || sum(length(data)) FROM module_content"),
                        "1 400064");
    assert_string_equal(
        fleet_sql("SELECT string_agg(actor || ' ' || action || ' ' || target, ',') FROM audit"),
        "opal firmware.upload firmware 1");
}

static void test_a_refused_upload_leaves_nothing(void **state)
{
    struct fleet_fixture *fx = *state;
    struct built b = binary(6200, 4000);
    b.data[100] ^= 1;
    struct uploaded u = upload(fx, b, NULL);
    assert_int_equal(u.err, FLEET_INVALID);
    assert_non_null(strstr(u.why, "its CRC-32 is"));
    assert_string_equal(fleet_sql("SELECT count(*) FROM module_content"), "0");
    assert_string_equal(fleet_sql("SELECT count(*) FROM audit"), "0");
}

static void test_what_is_uploaded_when_the_server_stops(void **state)
{
    struct fleet_fixture *fx = *state;
    struct uploaded u = {0};
    struct built b = binary(6200, 1900000);
    fleet_upload_firmware(fx->fleet, &fx->operator, b.data, b.len, NULL, on_firmware, &u);
    firmware_upload_stop(fx->fleet);
    assert_int_equal(u.calls, 1);
    assert_int_equal(u.err, FLEET_AWAY);
    /* the thread may still be at it; the teardown waits for that */
}

static void test_withdrawing_twice_is_withdrawing_once(void **state)
{
    struct fleet_fixture *fx = *state;
    int64_t id = store(fx, 6200, 4000);
    for (int i = 0; i < 2; i++) {
        struct uploaded u = {0};
        fleet_withdraw_firmware(fx->fleet, &fx->operator, id, i ? "other" : "it hangs", on_firmware, &u);
        fleet_run_until(fx, u.calls);
        assert_int_equal(u.err, FLEET_OK);
        assert_string_equal(u.status, "withdrawn");
        assert_string_equal(u.reason, "it hangs");
    }
    struct uploaded u = {0};
    fleet_withdraw_firmware(fx->fleet, &fx->operator, 77, "x", on_firmware, &u);
    fleet_run_until(fx, u.calls);
    assert_int_equal(u.err, FLEET_NOT_FOUND);
    assert_string_equal(fleet_sql("SELECT count(*) FROM audit WHERE action = 'firmware.withdraw'"), "1");
}

/* --- the cache --- */

struct got {
    int calls;
    enum fleet_err err;
    const struct firmware_blob *blob; /* held when keep */
    bool keep;
    size_t len;
    uint16_t version;
};

static void on_blob(void *arg, enum fleet_err err, const struct firmware_blob *blob)
{
    struct got *g = arg;
    g->calls++;
    g->err = err;
    assert_true((err == FLEET_OK) == (blob != NULL));
    if (!blob)
        return;
    g->len = blob->data_len;
    g->version = blob->version;
    if (g->keep) {
        firmware_hold(blob);
        g->blob = blob;
    }
}

static uint64_t reads(struct fleet_fixture *fx)
{
    return metrics_add(fx->metrics, METRIC_COUNTER, "cyan_firmware_reads_total", NULL, "")->value;
}

static void test_a_binary_is_read_once_for_all(void **state)
{
    struct fleet_fixture *fx = *state;
    struct firmware_cache *c = fleet_firmware_cache(fx->fleet);
    struct built b = binary(6200, 700000); /* three slices */
    struct built copy = {.data = mem_copy(b.data, b.len), .len = b.len};
    int64_t id = upload(fx, b, NULL).id;
    struct got got[50] = {0};
    for (int i = 0; i < 50; i++) {
        got[i].keep = i == 0;
        firmware_get(c, id, on_blob, &got[i]);
    }
    assert_int_equal(got[49].calls, 0);
    fleet_run_until(fx, got[49].calls);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(got[i].calls, 1);
        assert_int_equal(got[i].err, FLEET_OK);
        assert_int_equal(got[i].len, copy.len);
    }
    const struct firmware_blob *blob = got[0].blob;
    assert_memory_equal(blob->data, copy.data, copy.len);
    assert_int_equal(blob->module_id, id);
    assert_int_equal(blob->platform_id, 12);
    assert_int_equal(blob->version, 6200);
    assert_int_equal(blob->function, MODULE_SYSTEM);
    assert_int_equal(blob->index, 1);
    free(copy.data);
    struct got later = {0};
    firmware_get(c, id, on_blob, &later);
    assert_int_equal(later.calls, 0);
    fleet_run_until(fx, later.calls);
    assert_int_equal(later.err, FLEET_OK);
    assert_int_equal(reads(fx), 1);
    firmware_release(blob);
}

static void test_a_binary_that_is_not_there(void **state)
{
    struct fleet_fixture *fx = *state;
    struct got got = {0};
    firmware_get(fleet_firmware_cache(fx->fleet), 4711, on_blob, &got);
    fleet_run_until(fx, got.calls);
    assert_int_equal(got.err, FLEET_NOT_FOUND);
}

static void test_damaged_content_goes_to_nobody(void **state)
{
    struct fleet_fixture *fx = *state;
    struct firmware_cache *c = fleet_firmware_cache(fx->fleet);
    int64_t changed = store(fx, 1, 400000), cut = store(fx, 2, 400000);
    fleet_script("UPDATE module_content SET data = set_byte(data, 300000, get_byte(data, 300000) # 1)"
                 " WHERE sha256 = (SELECT sha256 FROM module_binary WHERE version = 1)");
    fleet_script("UPDATE module_content SET data = substring(data FOR 300000)"
                 " WHERE sha256 = (SELECT sha256 FROM module_binary WHERE version = 2)");
    struct got got[2] = {0};
    firmware_get(c, changed, on_blob, &got[0]);
    firmware_get(c, cut, on_blob, &got[1]);
    fleet_run_until(fx, got[0].calls && got[1].calls);
    assert_int_equal(got[0].err, FLEET_FAULT);
    assert_int_equal(got[1].err, FLEET_FAULT);
}

static void test_who_cancels_hears_nothing(void **state)
{
    struct fleet_fixture *fx = *state;
    struct firmware_cache *c = fleet_firmware_cache(fx->fleet);
    int64_t id = store(fx, 6200, 300000);
    struct got gone = {0}, stays = {0};
    struct firmware_wait *wait = firmware_get(c, id, on_blob, &gone);
    firmware_get(c, id, on_blob, &stays);
    firmware_cancel(&wait);
    assert_null(wait);
    firmware_cancel(&wait);
    fleet_run_until(fx, stays.calls);
    assert_int_equal(gone.calls, 0);
    wait = firmware_get(c, id, on_blob, &gone); /* in memory already */
    firmware_cancel(&wait);
    struct got last = {0};
    firmware_get(c, id, on_blob, &last);
    fleet_run_until(fx, last.calls);
    assert_int_equal(gone.calls, 0);
}

/* Each 1.9 MB, of which 33 fit: the 34th waits until one is let go; those nobody holds leave first. */
static void test_memory_is_bounded(void **state)
{
    enum { COUNT = 35, FIT = 33 };
    struct fleet_fixture *fx = *state;
    struct firmware_cache *c = fleet_firmware_cache(fx->fleet);
    struct got got[COUNT] = {0};
    int64_t ids[COUNT];
    assert_int_equal(FIRMWARE_CACHE_MAX_BYTES / 2000064, FIT);
    for (int i = 0; i < COUNT; i++)
        ids[i] = store(fx, (uint16_t)(i + 1), 2000000);
    for (int i = 0; i < COUNT; i++) { /* nobody holds them: all get through */
        struct got one = {0};
        firmware_get(c, ids[i], on_blob, &one);
        fleet_run_until(fx, one.calls);
        assert_int_equal(one.err, FLEET_OK);
    }
    assert_int_equal(reads(fx), COUNT);
    struct got newest = {0};
    firmware_get(c, ids[COUNT - 1], on_blob, &newest);
    fleet_run_until(fx, newest.calls);
    assert_int_equal(reads(fx), COUNT); /* still there; the first ones left */
    for (int i = 0; i < FIT; i++) {
        got[i].keep = true;
        firmware_get(c, ids[i], on_blob, &got[i]);
        fleet_run_until(fx, got[i].calls);
        assert_int_equal(got[i].err, FLEET_OK);
    }
    firmware_get(c, ids[FIT], on_blob, &got[FIT]);
    struct got known = {0};
    for (int i = 0; i < 20; i++) { /* what is held goes on meanwhile */
        firmware_get(c, ids[0], on_blob, &known);
        fleet_run_until(fx, known.calls == i + 1);
    }
    assert_int_equal(got[FIT].calls, 0);
    firmware_release(got[3].blob);
    fleet_run_until(fx, got[FIT].calls);
    assert_int_equal(got[FIT].err, FLEET_OK);
    assert_int_equal(got[FIT].version, FIT + 1);
    for (int i = 0; i < FIT; i++)
        if (i != 3)
            firmware_release(got[i].blob);
}

static void test_stopping_ends_every_wait_and_leaves_what_is_held(void **state)
{
    struct fleet_fixture *fx = *state;
    struct firmware_cache *c = fleet_firmware_cache(fx->fleet);
    int64_t first = store(fx, 1, 300000), second = store(fx, 2, 300000);
    static struct got held = {.keep = true};
    struct got loading = {0}, ready = {0}, late = {0};
    firmware_get(c, first, on_blob, &held);
    fleet_run_until(fx, held.calls);
    firmware_get(c, first, on_blob, &ready);
    firmware_get(c, second, on_blob, &loading);
    firmware_cache_stop(c);
    assert_int_equal(ready.calls, 1);
    assert_int_equal(loading.calls, 1);
    assert_int_equal(loading.err, FLEET_AWAY);
    firmware_get(c, first, on_blob, &late);
    fleet_run_until(fx, late.calls);
    assert_int_equal(late.err, FLEET_AWAY);
    assert_int_equal(fleet_fixture_teardown(state), 0);
    assert_int_equal(held.blob->version, 1); /* outlives the fleet */
    firmware_release(held.blob);
    assert_int_equal(setup(state), 0); /* for the teardown */
}

/* --- releases --- */

struct changed {
    int calls;
    enum fleet_err err;
    int64_t id;
    char state[16], why[200];
};

static void on_release(void *arg, enum fleet_err err, const struct release *release, const char *why)
{
    struct changed *c = arg;
    c->calls++;
    c->err = err;
    snprintf(c->why, sizeof c->why, "%s", why);
    assert_true((err == FLEET_OK) == (release != NULL));
    if (!release)
        return;
    c->id = release->id;
    snprintf(c->state, sizeof c->state, "%s", release->state);
}

/* Both want the row of the binary: either the release is refused, or it was published before. */
static void test_publishing_against_withdrawing(void **state)
{
    struct fleet_fixture *fx = *state;
    char name[24];
    for (int i = 0; i < 20; i++) {
        int64_t id = store(fx, (uint16_t)(i + 1), 1000);
        struct changed made = {0}, published = {0};
        struct uploaded withdrawn = {0};
        struct release_change change = {.name = name, .has_modules = true, .targets = &id, .target_count = 1};
        snprintf(name, sizeof name, "r%d", i);
        fleet_create_release(fx->fleet, &fx->operator, & change, on_release, &made);
        fleet_run_until(fx, made.calls);
        assert_int_equal(made.err, FLEET_OK);
        if (i % 2)
            fleet_withdraw_firmware(fx->fleet, &fx->operator, id, "it hangs", on_firmware, &withdrawn);
        fleet_publish_release(fx->fleet, &fx->operator, name, on_release, &published);
        if (!(i % 2))
            fleet_withdraw_firmware(fx->fleet, &fx->operator, id, "it hangs", on_firmware, &withdrawn);
        fleet_run_until(fx, published.calls && withdrawn.calls);
        assert_int_equal(withdrawn.err, FLEET_OK);
        if (published.err == FLEET_CONFLICT)
            assert_non_null(strstr(published.why, "is withdrawn: it hangs"));
        else
            assert_string_equal(published.state, "published");
    }
    /* no release was published after the binary in it had been withdrawn */
    assert_string_equal(
        fleet_sql("SELECT count(*) FROM release r JOIN release_module rm ON rm.release_id = r.id"
                  " JOIN audit w ON w.action = 'firmware.withdraw' AND w.target = 'firmware ' ||"
                  " rm.module_id JOIN audit p ON p.action = 'release.publish' AND p.target ="
                  " 'release ' || r.id WHERE p.id > w.id"),
        "0");
}

static void test_postgres_away(void **state)
{
    struct fleet_fixture *fx = *state;
    int64_t id = store(fx, 6200, 300000);
    private_postgres_kill(&fleet_postgres);
    fleet_run_until(fx, !pg_is_up(fx->pg));
    struct uploaded u = upload(fx, binary(1, 1000), NULL);
    assert_int_equal(u.err, FLEET_AWAY);
    struct got got = {0};
    firmware_get(fleet_firmware_cache(fx->fleet), id, on_blob, &got);
    fleet_run_until(fx, got.calls);
    assert_int_equal(got.err, FLEET_AWAY);
    struct changed c = {0};
    fleet_get_release(fx->fleet, "x", on_release, &c);
    fleet_run_until(fx, c.calls);
    assert_int_equal(c.err, FLEET_AWAY);
    assert_true(private_postgres_start(&fleet_postgres));
    fleet_run_until(fx, pg_is_up(fx->pg));
    struct got again = {0};
    firmware_get(fleet_firmware_cache(fx->fleet), id, on_blob, &again);
    fleet_run_until(fx, again.calls);
    assert_int_equal(again.err, FLEET_OK);
}

#define STORED(test) cmocka_unit_test_setup_teardown(test, setup, fleet_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORED(test_an_upload_is_stored_once),
        STORED(test_a_refused_upload_leaves_nothing),
        STORED(test_what_is_uploaded_when_the_server_stops),
        STORED(test_withdrawing_twice_is_withdrawing_once),
        STORED(test_a_binary_is_read_once_for_all),
        STORED(test_a_binary_that_is_not_there),
        STORED(test_damaged_content_goes_to_nobody),
        STORED(test_who_cancels_hears_nothing),
        STORED(test_memory_is_bounded),
        STORED(test_stopping_ends_every_wait_and_leaves_what_is_held),
        STORED(test_publishing_against_withdrawing),
        STORED(test_postgres_away),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
