/* test_fleet_migrate.c: the schema is brought up to date once, by one at a time, and a strange one is
 * refused. */
#include "fleet_fixture.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fleet/migrate.h"
#include "fleet/migration.h"

static char why[300];

static struct pg_sync *fresh_database(const char *name, char *conninfo, size_t conninfo_size)
{
    char sql[100];
    snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS %s", name);
    fleet_script(sql);
    snprintf(sql, sizeof sql, "CREATE DATABASE %s", name);
    fleet_script(sql);
    snprintf(conninfo, conninfo_size, "host=%s user=cyan dbname=%s", fleet_postgres.folder, name);
    struct pg_sync *s = pg_sync_open(conninfo, why, sizeof why);
    assert_non_null(s);
    return s;
}

static int64_t number(struct pg_sync *s, const char *sql)
{
    struct pg_result *result;
    if (pg_sync_exec(s, sql, NULL, 0, &result, why, sizeof why) != 0)
        fail_msg("%s", why);
    int64_t n = pg_int(result, 0, 0);
    pg_sync_free(result);
    return n;
}

static void script(struct pg_sync *s, const char *sql)
{
    if (pg_sync_script(s, sql, why, sizeof why) != 0)
        fail_msg("%s", why);
}

static void test_twice(void **state)
{
    (void)state;
    char conninfo[200];
    int applied = -1;
    struct pg_sync *s = fresh_database("twice", conninfo, sizeof conninfo);
    assert_int_equal(migrate_check(s, why, sizeof why), -1);
    assert_non_null(strstr(why, "cyand migrate"));
    assert_int_equal(migrate_run(s, &applied, why, sizeof why), 0);
    assert_int_equal(applied, migration_count);
    assert_int_equal(migrate_check(s, why, sizeof why), 0);
    assert_int_equal(migrate_run(s, &applied, why, sizeof why), 0);
    assert_int_equal(applied, 0);
    assert_int_equal(number(s, "SELECT count(*) FROM schema_migration WHERE applied_at <= now()"),
                     migration_count);
    assert_int_equal(number(s, "SELECT count(*) FROM transition_rule WHERE kind = 'deep_update_needed'"), 2);
    pg_sync_close(s);
}

static void test_the_rest_is_applied(void **state)
{
    (void)state;
    char conninfo[200];
    int applied = -1;
    struct pg_sync *s = fresh_database("rest", conninfo, sizeof conninfo);
    assert_int_equal(migrate_run(s, &applied, why, sizeof why), 0);
    script(s, "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE schema_migration (name text "
              "PRIMARY KEY,"
              " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())");
    script(s, migrations[0].text); /* as an older program left it */
    char sql[200];
    snprintf(sql, sizeof sql, "INSERT INTO schema_migration VALUES ('%s', '%s')", migrations[0].name,
             migrations[0].sha256);
    script(s, sql);
    assert_int_equal(migrate_check(s, why, sizeof why), -1);
    assert_int_equal(migrate_run(s, &applied, why, sizeof why), 0);
    assert_int_equal(applied, migration_count - 1);
    assert_int_equal(migrate_check(s, why, sizeof why), 0);
    pg_sync_close(s);
}

static void refused(struct pg_sync *s, const char *word)
{
    int applied;
    why[0] = 0;
    assert_int_equal(migrate_run(s, &applied, why, sizeof why), -1);
    assert_non_null(strstr(why, word));
    assert_null(strchr(why, '\n'));
    assert_int_equal(applied, 0);
    why[0] = 0;
    assert_int_equal(migrate_check(s, why, sizeof why), -1);
    assert_non_null(strstr(why, word));
}

static void test_newer_and_changed_schemas_are_refused(void **state)
{
    (void)state;
    char conninfo[200];
    int applied;
    struct pg_sync *s = fresh_database("strange", conninfo, sizeof conninfo);
    assert_int_equal(migrate_run(s, &applied, why, sizeof why), 0);
    script(s, "INSERT INTO schema_migration VALUES ('9999_of_the_future', 'x')");
    refused(s, "9999_of_the_future is newer");
    script(s, "DELETE FROM schema_migration WHERE name LIKE '9999%'; UPDATE schema_migration SET sha256 = 'y'"
              " WHERE name LIKE '0002%'");
    refused(s, "another version");
    script(s, "UPDATE schema_migration SET name = '0000_other' WHERE name LIKE '0001%'");
    refused(s, "0000_other");
    pg_sync_close(s);
}

static void test_a_failing_migration_leaves_nothing(void **state)
{
    (void)state;
    char conninfo[200];
    int applied;
    struct pg_sync *s = fresh_database("failing", conninfo, sizeof conninfo);
    script(s, "CREATE TABLE event (something_else integer)"); /* in the way of the first one */
    assert_int_equal(migrate_run(s, &applied, why, sizeof why), -1);
    assert_non_null(strstr(why, "0001_registry"));
    assert_int_equal(number(s, "SELECT count(*) FROM schema_migration"), 0);
    assert_int_equal(number(s, "SELECT count(*) FROM pg_class WHERE relname = 'device'"), 0);
    script(s, "DROP TABLE event");
    assert_int_equal(migrate_run(s, &applied, why, sizeof why), 0);
    pg_sync_close(s);
}

/* Several at once, as when nodes start together: all succeed, each migration is applied once. */
static void test_several_at_once(void **state)
{
    (void)state;
    char conninfo[200];
    enum { N = 4 };
    pid_t pids[N];
    struct pg_sync *s = fresh_database("several", conninfo, sizeof conninfo);
    for (int i = 0; i < N; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            int applied;
            struct pg_sync *own = pg_sync_open(conninfo, why, sizeof why);
            _exit(own && migrate_run(own, &applied, why, sizeof why) == 0 ? 100 + applied : 1);
        }
    }
    int total = 0;
    for (int i = 0; i < N; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) >= 100);
        total += WEXITSTATUS(status) - 100;
    }
    assert_int_equal(total, migration_count);
    assert_int_equal(migrate_check(s, why, sizeof why), 0);
    pg_sync_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_the_rest_is_applied),
        cmocka_unit_test(test_newer_and_changed_schemas_are_refused),
        cmocka_unit_test(test_a_failing_migration_leaves_nothing),
        cmocka_unit_test(test_several_at_once),
    };
    if (!fleet_fixture_begin())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fleet_fixture_end();
    return failed;
}
