/* device_fields.h: what a PUT of a device may ask for, wherever the device is: each reader returns false when
 * it has answered 400. Texts are the body's. */
#ifndef CYAN_API_DEVICE_FIELDS_H
#define CYAN_API_DEVICE_FIELDS_H

#include "api/http_request.h"

/* NULL: absent. The rest of the rule about names is the fleet's. */
must_check bool device_fields_name(struct http_request *r, const char **name);
/* NULL: absent; "" for null. */
must_check bool device_fields_notes(struct http_request *r, const char **notes);
must_check bool device_fields_signal(struct http_request *r, bool *is_there, bool *signal);
/* Whether the device is to take updates whatever its application wants. */
must_check bool device_fields_forced(struct http_request *r, bool *is_there, bool *forced);
/* True: it asks for an application by name, as clients of 2015 flashed one (rest-api 2); answered 400. */
must_check bool device_fields_names_application(struct http_request *r);

#endif
