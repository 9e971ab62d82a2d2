/* swarm_sql.h: devices and their keys as a script for psql: enrolment in bulk, where one REST request for
 * each would take hours.
 *
 * The tables are those of migrations/0001_registry.sql. Devices that are there already make the script fail
 * as a whole. */
#ifndef CYAN_LOADTEST_SWARM_SQL_H
#define CYAN_LOADTEST_SWARM_SQL_H

#include "swarm_models.h"

/* Devices of the choice, derived one after the other and never all in memory. path "-" is stdout. False with
 * a sentence in error. */
bool swarm_sql_derived(struct swarm_crypto *crypto, const struct swarm_choice *choice, const char *path,
                       char error[SWARM_ERROR_SIZE]) must_check;
/* The chosen of models that exist. */
bool swarm_sql_models(const struct swarm_models *models, const char *path,
                      char error[SWARM_ERROR_SIZE]) must_check;

#endif
