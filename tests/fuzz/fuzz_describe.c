/* fuzz_describe.c: a describe in any encoding; the first byte says the Content-Format. */
#include "base/must.h"
#include "device/describe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    struct describe d;
    const char *why;

    if (data_len == 0)
        return 0;
    if (!describe_parse(&d, data[0] == 42 ? 42 : UINT16_MAX, data + 1, data_len - 1, &why)) {
        must(why[0] != '\0');
        return 0;
    }
    must(d.parts != 0);
    must(d.module_count <= DESCRIBE_MODULES_MAX && d.metric_count <= DESCRIBE_METRICS_MAX);
    must(d.function_count <= DESCRIBE_FUNCTIONS_MAX && d.variable_count <= DESCRIBE_VARIABLES_MAX);
    for (size_t i = 0; i < d.module_count; i++) {
        must(d.modules[i].dependency_count <= DESCRIBE_DEPENDENCIES_MAX);
        must(module_function_letter(d.modules[i].function) != '\0');
    }
    for (size_t i = 0; i < d.function_count; i++)
        must(d.functions[i][0] != '\0' && d.functions[i][DESCRIBE_NAME_MAX] == '\0');
    describe_free(&d);
    return 0;
}
