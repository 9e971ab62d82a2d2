/* stage.h: what people write about the stages and limits of a campaign: checked, with every default filled
 * in.
 *
 *   stages: [{"name", "percent" | "max_devices", "gate": {"max_failure_percent", "min_resolved",
 *             "coverage_percent", "soak_s", "max_lost", "allow_small_canary"}}, ..]
 *   limits: {"transfers", "disruption", "start_per_min", "verify_s", "tail_s",
 *            "window": {"from": "22:00", "to": "06:00", "tz": "Europe/Berlin", "days": [1, 2]}}
 *
 * Percents and max_devices are cumulative: 5 % is inside 25 %. A refusal is a sentence that names the field.
 * Pure; what is returned is the caller's to json_decref. */
#ifndef CYAN_CAMPAIGN_STAGE_H
#define CYAN_CAMPAIGN_STAGE_H

#include <jansson.h>

#include "base/must.h"
#include "campaign/gate.h"

#define STAGES_MAX 20
#define STAGE_NAME_MAX 64 /* bytes */
#define STAGE_WHY_SIZE 160

/* NULL: why says what is wrong. stages NULL or null: one stage of all. */
must_check json_t *stages_check(const json_t *stages, char why[STAGE_WHY_SIZE]);
/* limits NULL or null: the defaults. */
must_check json_t *limits_check(const json_t *limits, char why[STAGE_WHY_SIZE]);
/* Of a gate that went through stages_check; what is missing in it is the default. */
void gate_rules_read(struct gate_rules *rules, const json_t *gate);

#endif
