/* gather.h: one response body that arrives in Block2 pieces (RFC 7959 2.4), in order, of one ETag and one
 * block size.
 *
 * Private to coap/. Ownership: embedded in the outbound request; data is ours until coap_gather_free. */
#ifndef CYAN_COAP_GATHER_H
#define CYAN_COAP_GATHER_H

#include "coap/message.h"

#define COAP_ETAG_MAX 8
#define COAP_GATHER_RESTARTS_MAX 2 /* changes of the representation under our hands that are put up with */

enum coap_gather_step {
    COAP_GATHER_MORE,     /* taken: ask for the block coap_gather_next names; 0 = begin anew */
    COAP_GATHER_WHOLE,    /* taken: data is the whole body */
    COAP_GATHER_REPEATED, /* had it already: wait on */
    COAP_GATHER_BROKEN,   /* makes no sense: give up */
    COAP_GATHER_TOO_LARGE /* longer than COAP_BODY_MAX: give up */
};
struct coap_gather {
    uint8_t *data; /* ours */
    size_t data_len, data_size;
    uint8_t etag[COAP_ETAG_MAX];
    uint8_t etag_len;
    uint8_t szx;
    uint8_t restarts;
    bool started;
};

must_check enum coap_gather_step coap_gather_take(struct coap_gather *g, const struct coap_message *m,
                                                  const struct coap_block *block);
struct coap_block coap_gather_next(const struct coap_gather *g);
void coap_gather_free(struct coap_gather *g);

#endif
