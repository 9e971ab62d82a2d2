/* migrate.c: applies what is missing, and compares what is there with what this program knows. */
#include "fleet/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fleet/migration.h"

/* One number for every program that migrates this schema: only one does at a time. */
#define LOCK "SELECT pg_advisory_lock(3000, 1)"
#define UNLOCK "SELECT pg_advisory_unlock(3000, 1)"

/* Counts how many of ours are applied, which must be the first ones; -1 with why when the schema is not ours.
 */
static int count_applied(struct pg_sync *s, char *why, size_t why_size)
{
    struct pg_result *result;
    if (pg_sync_exec(s, "SELECT name, sha256 FROM schema_migration ORDER BY name", NULL, 0, &result, why,
                     why_size) != 0)
        return -1;
    int applied = pg_rows(result);
    for (int i = 0; i < applied; i++) {
        const char *name = pg_value(result, i, 0), *flaw = NULL;
        if ((size_t)i >= migration_count)
            flaw = "is newer than this program";
        else if (strcmp(name, migrations[i].name) != 0)
            flaw = "is not one of this program's";
        else if (strcmp(pg_value(result, i, 1), migrations[i].sha256) != 0)
            flaw = "was applied in another version than this program's";
        if (!flaw)
            continue;
        snprintf(why, why_size, "the database schema does not fit: migration %.64s %s", name, flaw);
        applied = -1;
        break;
    }
    pg_sync_free(result);
    return applied;
}

static int apply(struct pg_sync *s, const struct migration *m, char *why, size_t why_size)
{
    struct pg_result *result;
    struct pg_param params[] = {pg_text(m->name), pg_text(m->sha256)};
    char reason[200];
    if (pg_sync_script(s, "BEGIN", reason, sizeof reason) == 0 &&
        pg_sync_script(s, m->text, reason, sizeof reason) == 0 &&
        pg_sync_exec(s, "INSERT INTO schema_migration (name, sha256) VALUES ($1::text, $2::text)", params, 2,
                     &result, reason, sizeof reason) == 0) {
        pg_sync_free(result);
        if (pg_sync_script(s, "COMMIT", reason, sizeof reason) == 0)
            return 0;
    }
    snprintf(why, why_size, "migration %s: %s", m->name, reason);
    if (pg_sync_script(s, "ROLLBACK", reason, sizeof reason) != 0)
        log_debug("migrate.rollback why=\"%s\"",
                  reason); /* the connection is gone, and the transaction with it */
    return -1;
}

static int apply_missing(struct pg_sync *s, int *applied, char *why, size_t why_size)
{
    if (pg_sync_script(
            s,
            "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())",
            why, why_size) != 0)
        return -1;
    int before = count_applied(s, why, why_size);
    if (before < 0)
        return -1;
    for (size_t i = (size_t)before; i < migration_count; i++) {
        if (apply(s, &migrations[i], why, why_size) != 0)
            return -1;
        ++*applied;
    }
    return 0;
}

int migrate_run(struct pg_sync *s, int *applied, char *why, size_t why_size)
{
    char ignored[100];
    *applied = 0;
    if (pg_sync_script(s, LOCK, why, why_size) != 0)
        return -1;
    int ret = apply_missing(s, applied, why, why_size);
    if (pg_sync_script(s, UNLOCK, ignored, sizeof ignored) != 0)
        log_debug("migrate.unlock why=\"%s\"", ignored); /* ends with the connection */
    return ret;
}

int migrate_check(struct pg_sync *s, char *why, size_t why_size)
{
    struct pg_result *result;
    if (pg_sync_exec(s, "SELECT to_regclass('schema_migration') IS NOT NULL", NULL, 0, &result, why,
                     why_size) != 0)
        return -1;
    bool exists = pg_bool(result, 0, 0);
    pg_sync_free(result);
    int applied = exists ? count_applied(s, why, why_size) : 0;
    if (applied < 0)
        return -1;
    if ((size_t)applied == migration_count)
        return 0;
    snprintf(why, why_size, "the database has %d of %zu migrations: run `cyand migrate`", applied,
             migration_count);
    return -1;
}
