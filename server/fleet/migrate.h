/* migrate.h: brings the schema to this program's version: migrations/NNNN_name.sql, built into the program,
 * applied in order, each in a transaction, under an advisory lock; a schema newer than the program is
 * refused. */
#ifndef CYAN_FLEET_MIGRATE_H
#define CYAN_FLEET_MIGRATE_H

#include "store/pg.h"

/* Blocks; runs before the loop. applied: how many were. Returns 0, or -1 with a one-line reason. */
must_check int migrate_run(struct pg_sync *s, int *applied, char *why, size_t why_size);
/* 0 when the schema is exactly what this program needs; else -1 with a reason that names `cyand migrate`. */
must_check int migrate_check(struct pg_sync *s, char *why, size_t why_size);

#endif
