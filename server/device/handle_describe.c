#include "device/request.h"

#define FLAGS_MAX (DESCRIBE_SYSTEM | DESCRIBE_APPLICATION)

/* An error answer would count as success: a Device OS does not look at the code and never says it again in
 * this session (device-protocol 3.8, 4.4.1). Without an answer it sends it again. */
static void on_verdict(struct device *device, struct device_wait *wait, enum device_verdict verdict)
{
    (void)device;
    if (verdict == DEVICE_BUSY)
        wait_forget(wait);
    else
        wait_answer(wait, verdict, REFUSED_DESCRIBE_REJECTED);
}

/* One raw byte: system and application may come in one (2.0 to 5.4), metrics never with others. */
static bool read_flags(const struct coap_message *m, unsigned *flags)
{
    struct coap_option query;

    if (!coap_option_find(m, COAP_OPT_URI_QUERY, &query) || query.value_len != 1)
        return false;
    *flags = query.value[0];
    return *flags == DESCRIBE_METRICS || (*flags >= 1 && *flags <= FLAGS_MAX);
}

static bool read_format(const struct coap_message *m, uint16_t *content_format)
{
    struct coap_option option;
    uint32_t value;

    *content_format = UINT16_MAX;
    if (!coap_option_find(m, COAP_OPT_CONTENT_FORMAT, &option))
        return true;
    if (!coap_option_uint(&option, &value) || value > UINT16_MAX)
        return false;
    *content_format = (uint16_t)value;
    return true;
}

void handle_describe(const struct device_request *r)
{
    struct device *device = r->device;
    struct device_facts facts;
    struct describe d;
    uint16_t content_format;
    unsigned flags;
    const char *why;

    if (!read_flags(r->m, &flags)) {
        request_refuse(r, REFUSED_DESCRIBE_FLAGS, "");
        return;
    }
    if (!read_format(r->m, &content_format)) {
        request_refuse(r, REFUSED_DESCRIBE_MALFORMED, "its Content-Format is none");
        return;
    }
    if (!describe_parse(&d, content_format, r->body, r->body_len, &why)) {
        request_refuse(r, REFUSED_DESCRIBE_MALFORMED, why);
        return;
    }
    if ((d.parts & flags) == 0) {
        describe_free(&d);
        request_refuse(r, REFUSED_DESCRIBE_FLAGS, "it is not the part it says it is");
        return;
    }
    device->all->describes->value++;
    struct device_wait *wait = request_wait(r, sizeof(*wait), on_verdict);
    link_fill_facts(device, &facts);
    device->all->ops.describe(device->all->ops.ctx, &facts, &d, request_done, wait);
    describe_free(&d);
}
