/* module_inner.h: what the files that look at a module share. Private to module/.
 *
 * Each check reads only inside part->len, returns false with the reason in why, and fills its fields of part.
 */
#ifndef CYAN_MODULE_MODULE_INNER_H
#define CYAN_MODULE_MODULE_INNER_H

#include "module/module_file.h"

#define MODULE_HEADER_BYTES 24
#define MODULE_CRC_BYTES 4
#define MODULE_SUFFIX_MIN_BYTES 36 /* reserved (2), SHA-256 (32), size (2) */
#define MODULE_FUNCTION_LAST MODULE_ASSET

/* Writes why; always false. */
bool module_refuse(char why[MODULE_WHY_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* module_header.c */
enum module_found {
    MODULE_FOUND,     /* part is filled from it, and the CRC is right */
    MODULE_NOT_THERE, /* nothing looks like a header */
    MODULE_DAMAGED,   /* why says how */
};
/* Looks for the module that begins at data; left: bytes to the end of the file. */
enum module_found module_header_find(struct module_part *part, const uint8_t *data, size_t left,
                                     char why[MODULE_WHY_SIZE]);
/* What the header says makes sense. */
must_check bool module_header_check(const struct module_part *part, char why[MODULE_WHY_SIZE]);

/* module_suffix.c: size, extensions, product, SHA-256. suffix_at: where it begins. */
must_check bool module_suffix_read(struct module_part *part, const uint8_t *data, size_t *suffix_at,
                                   char why[MODULE_WHY_SIZE]);
/* Extensions behind the header, when it says that there are any; body_at: what comes after them. */
must_check bool module_prefix_read(struct module_part *part, const uint8_t *data, size_t suffix_at,
                                   size_t *body_at, char why[MODULE_WHY_SIZE]);

/* module_inflate.c: of a COMPRESSED module, whose body is [body_at, suffix_at). Inflates it and looks at the
 * module inside. */
must_check bool module_inflate_check(struct module_part *part, const uint8_t *data, size_t body_at,
                                     size_t suffix_at, char why[MODULE_WHY_SIZE]);

#endif
