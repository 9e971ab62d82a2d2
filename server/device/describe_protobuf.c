#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/describe.pb-c.h"
#include "device/describe_read.h"

/* Room enough for the largest describe that is accepted. A body of 64 KiB can hold 32,000 empty modules, and
 * the decoder makes an object of each. */
#define UNPACK_BYTES_MAX ((size_t)256 * 1024)

static void *budget_alloc(void *left, size_t bytes)
{
    size_t *left_bytes = left;

    if (bytes > *left_bytes)
        return NULL;
    *left_bytes -= bytes;
    return mem_alloc(bytes);
}

static void budget_free(void *left, void *block)
{
    (void)left;
    free(block);
}

static bool read_hash(struct module *m, const Cyan__Device__DescribeModule *from)
{
    if (!from->has_hash || from->hash.len == 0)
        return true;
    if (from->hash.len != sizeof(m->hash))
        return false;
    memcpy(m->hash, from->hash.data, sizeof(m->hash));
    m->has_hash = true;
    return true;
}

static bool read_dependency(struct module_dependency *dependency,
                            const Cyan__Device__DescribeDependency *from)
{
    if (from->type > UINT8_MAX || from->index > UINT8_MAX || from->version > UINT16_MAX)
        return false;
    dependency->function = (uint8_t)from->type;
    dependency->index = (uint8_t)from->index;
    dependency->version = (uint16_t)from->version;
    return true;
}

static bool read_module(struct module *m, const Cyan__Device__DescribeModule *from)
{
    if (from->type > UINT8_MAX || from->index > UINT8_MAX || from->version > UINT16_MAX ||
        from->store > MODULE_STORE_SCRATCHPAD || from->n_dependencies > DESCRIBE_DEPENDENCIES_MAX)
        return false;
    m->function = (uint8_t)from->type;
    m->index = (uint8_t)from->index;
    m->version = (uint16_t)from->version;
    m->store = (uint8_t)from->store;
    m->max_size_bytes = from->max_size;
    m->checked_flags = from->checked_flags;
    m->passed_flags = from->passed_flags;
    for (size_t i = 0; i < from->n_dependencies; i++) {
        if (!read_dependency(&m->dependencies[m->dependency_count++], from->dependencies[i]))
            return false;
    }
    return read_hash(m, from);
}

static bool read_text(char *out, size_t out_size, const char *text)
{
    return text == NULL || describe_copy_text(out, out_size, text, strlen(text));
}

static bool read_message(struct describe *d, const Cyan__Device__SystemDescribe *from, const char **why)
{
    if (from->n_firmware_modules > DESCRIBE_MODULES_MAX) {
        *why = "too many modules";
        return false;
    }
    d->modules = mem_array(from->n_firmware_modules, sizeof(*d->modules));
    *why = "a module is not as it should be";
    for (size_t i = 0; i < from->n_firmware_modules; i++) {
        if (!read_module(&d->modules[d->module_count++], from->firmware_modules[i]))
            return false;
    }
    *why = "IMEI, ICCID or modem version is not as it should be";
    if (!read_text(d->imei, sizeof(d->imei), from->imei) ||
        !read_text(d->iccid, sizeof(d->iccid), from->iccid) ||
        !read_text(d->modem_version, sizeof(d->modem_version), from->modem_firmware_version))
        return false;
    d->parts = DESCRIBE_SYSTEM;
    return true;
}

bool describe_read_protobuf(struct describe *d, const uint8_t *body, size_t body_len, const char **why)
{
    size_t left_bytes = UNPACK_BYTES_MAX;
    ProtobufCAllocator allocator = {
        .alloc = budget_alloc, .free = budget_free, .allocator_data = &left_bytes};
    Cyan__Device__SystemDescribe *message = cyan__device__system_describe__unpack(
        &allocator, body_len, body_len > 0 ? body : (const uint8_t *)"");

    *why = "not a well-formed protobuf message, or far too large";
    if (message == NULL)
        return false;
    bool read = read_message(d, message, why);
    cyan__device__system_describe__free_unpacked(message, &allocator);
    return read;
}
