/* module_builder.h: makes module binaries for tests, valid unless told otherwise. */
#ifndef CYAN_TESTS_MODULE_BUILDER_H
#define CYAN_TESTS_MODULE_BUILDER_H

#include "module/module_file.h"

struct module_recipe {
    size_t header_at; /* vectors stand before it */
    size_t body_len;
    uint8_t function, index, mcu, flags;
    uint16_t platform_id, version;
    struct module_dependency needs[2];
    const uint8_t *prefix; /* extensions behind the header */
    size_t prefix_len;
    const uint8_t *suffix; /* extensions, or the bare product, before the fixed 36 bytes */
    size_t suffix_len;
    bool hash_of_body; /* as co-processors have it */
    uint8_t fill;      /* of the body */
};
struct built {
    uint8_t *data; /* from malloc */
    size_t len;
};
struct built module_build(const struct module_recipe *recipe);
/* Makes the hash, and then the CRC, right again after a change. */
void module_rehash(struct built *b);
void module_recrc(struct built *b);
/* The module with its content as raw deflate; the header of that at 24. window_bits 0: 15. */
struct built module_compress(const struct built *b, uint32_t original_bytes, unsigned window_bits);
/* first is marked as followed by another. Both stay. */
struct built module_combine(const struct built *first, const struct built *second);

#endif
