/* fuzz_lease.c: the text of a node's lease, as it comes out of Redis. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "store/nodes_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
    struct nodes_text t, again;
    char *text = mem_string_n((const char *)data, data_len); /* as Redis gives it: with a NUL behind it */

    if (nodes_text_parse(&t, text, data_len)) {
        char rest[NODES_TEXT_MAX + 1], whole[NODES_TEXT_MAX + 32];
        must(t.incarnation > 0 && t.holder.pid >= 0 && t.holder.pid <= INT32_MAX);
        must(t.describe >= text && t.describe <= text + data_len);
        nodes_text_print(rest, sizeof rest, t.nonce, &t.holder, t.describe);
        int len = snprintf(whole, sizeof whole, "%llu %s", (unsigned long long)t.incarnation, rest);
        must(len > NODES_TEXT_MAX || nodes_text_parse(&again, whole, (size_t)len));
    }
    free(text);
    return 0;
}
