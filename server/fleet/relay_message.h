/* relay_message.h: an event and who is to get it, as nodes tell each other. JSON with a version; each field
 * is checked when it is read. Private to relay.c. */
#ifndef CYAN_FLEET_RELAY_MESSAGE_H
#define CYAN_FLEET_RELAY_MESSAGE_H

#include "base/must.h"
#include "device/devices.h"

#define RELAY_MESSAGE_IDS_MAX 2000 /* in one message: with the event they are below NODES_MESSAGE_MAX */

/* NUL-terminated, the caller frees. */
char *relay_message(const struct device_event *event, const struct device_id *ids, size_t count);

struct relay_heard {
    struct device_event event; /* its name and data are in here */
    char name[DEVICE_EVENT_NAME_MAX + 1];
    uint8_t data[DEVICE_EVENT_DATA_MAX];
    size_t count;
    struct device_id ids[RELAY_MESSAGE_IDS_MAX];
};
must_check bool relay_message_read(struct relay_heard *heard, const uint8_t *data, size_t data_len);

#endif
