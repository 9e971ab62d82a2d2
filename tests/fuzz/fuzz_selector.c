/* fuzz_selector.c: a selector as somebody sends it; what is accepted is accepted again in its canonical form.
 */
#include <stdint.h>
#include <string.h>

#include "fleet/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    struct selector selector, again;
    char why[SELECTOR_WHY_SIZE] = "";
    json_t *json = json_loadb((const char *)data, data_len, 0, NULL);

    if (json == NULL)
        return 0;
    if (!selector_parse(&selector, json, why)) {
        must(why[0] != '\0' && selector.text == NULL);
        json_decref(json);
        return 0;
    }
    json_decref(json);
    json = json_loads(selector.text, 0, NULL);
    must(json != NULL && selector_parse(&again, json, why) && strcmp(again.text, selector.text) == 0);
    json_decref(json);
    selector_deinit(&again);
    selector_deinit(&selector);
    return 0;
}
