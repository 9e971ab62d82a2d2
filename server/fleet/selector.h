/* selector.h: which devices of the fleet a campaign or a question is about, as people write it:
 *
 *   {"platform_id": 12 | [12, 22], "product_id": 5, "requires_deep_update": true, "devices": ["24 hex
 * digits"], "names": ["kitchen-*"], "versions": [{"f": "s", "n": 1, "below": 3100}], "all": true}
 *
 * Every key that is there must hold; `all` alone selects every device, and nothing at all is refused.
 * Quarantined devices are never selected. What has been checked here goes as one jsonb parameter into the SQL
 * function selected_devices(jsonb), which is also what stored selectors are read with: no text of a person
 * becomes SQL.
 *
 * Ownership: selector_parse allocates; selector_deinit releases. */
#ifndef CYAN_FLEET_SELECTOR_H
#define CYAN_FLEET_SELECTOR_H

#include <jansson.h>
#include <stdbool.h>

#include "base/must.h"

#define SELECTOR_DEVICES_MAX 10000
#define SELECTOR_NAMES_MAX 100
#define SELECTOR_PLATFORMS_MAX 64
#define SELECTOR_VERSIONS_MAX 16
#define SELECTOR_WHY_SIZE 200

struct selector {
    char *text; /* ours: JSON in canonical form, for $n::jsonb; ids in lower case */
};
/* False: why is the exact reason, a sentence; nothing is left to release then. json is borrowed. */
must_check bool selector_parse(struct selector *s, const json_t *json, char why[SELECTOR_WHY_SIZE]);
void selector_deinit(struct selector *s);

#endif
