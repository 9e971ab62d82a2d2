/* fuzz_hello.c: Hello and Goodbye. */
#include "base/must.h"
#include "device/goodbye.h"
#include "device/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    struct hello hello;
    struct device_goodbye goodbye;
    char release[16];

    if (hello_parse(&hello, data, data_len)) {
        must(data_len >= 8);
        must(!hello.has_id || data_len >= 22);
        hello_system_release(hello.system_version, release);
    }
    if (goodbye_parse(&goodbye, data, data_len))
        must(goodbye.sleep_s >= -1 && goodbye.sleep_s <= UINT32_MAX);
    return 0;
}
