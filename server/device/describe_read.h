/* describe_read.h: the three encodings of a describe and what they share. Private to device/.
 *
 * Each reader fills a zeroed struct describe and may leave it half filled on failure: describe_parse frees
 * it. */
#ifndef CYAN_DEVICE_DESCRIBE_READ_H
#define CYAN_DEVICE_DESCRIBE_READ_H

#include "device/describe.h"

must_check bool describe_read_json(struct describe *d, const uint8_t *body, size_t body_len,
                                   const char **why);
must_check bool describe_read_protobuf(struct describe *d, const uint8_t *body, size_t body_len,
                                       const char **why);
must_check bool describe_read_metrics(struct describe *d, const uint8_t *body, size_t body_len,
                                      const char **why);

/* Copies text with its NUL; false when it does not fit or is not clean text. */
must_check bool describe_copy_text(char *out, size_t out_size, const char *text, size_t text_len);

#endif
