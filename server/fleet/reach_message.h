/* reach_message.h: what nodes say to each other about devices: questions, answers, ends of sessions. JSON
 * with a version; each field is checked when it is read. Private to reach*.c. */
#ifndef CYAN_FLEET_REACH_MESSAGE_H
#define CYAN_FLEET_REACH_MESSAGE_H

#include <jansson.h>

#include "base/must.h"
#include "fleet/reach.h"

#define REACH_NUMBER_MAX (UINT64_C(1) << 62) /* of a question; JSON has no larger integers than 63 bits */

/* Each is NUL-terminated, the caller frees. NULL: name or argument is no UTF-8. timeout_ms instead of the
 * question's own. */
must_check char *reach_message_ask(uint64_t number, const struct device_id *id,
                                   const struct reach_question *question, uint32_t timeout_ms);
char *reach_message_answer(uint64_t number, const struct device_answer *answer);
char *reach_message_revoke(const struct device_id *id);

struct reach_asked {
    json_t *root; /* ours: holds the texts of question */
    uint64_t number;
    struct device_id id;
    struct reach_question question;
};
/* False: nothing to release. */
must_check bool reach_message_read_ask(struct reach_asked *asked, const uint8_t *data, size_t data_len);
void reach_asked_deinit(struct reach_asked *asked);
/* answer->data points into room. */
must_check bool reach_message_read_answer(uint64_t *number, struct device_answer *answer,
                                          uint8_t room[DEVICE_VARIABLE_MAX], const uint8_t *data,
                                          size_t data_len);
must_check bool reach_message_read_revoke(struct device_id *id, const uint8_t *data, size_t data_len);

#endif
