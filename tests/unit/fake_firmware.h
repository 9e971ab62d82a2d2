/* fake_firmware.h: module binaries as the API's test sees them: an upload is kept and answered as number 7,
 * which can be fetched again. What is not named here is the fleet's own, and not asked for. */
#ifndef CYAN_TESTS_FAKE_FIRMWARE_H
#define CYAN_TESTS_FAKE_FIRMWARE_H

#include "api_fake_fleet.h"
#include "fleet/firmware.h"
#include "fleet/firmware_cache.h"

static struct {
    uint8_t *data;
    size_t data_len;
    char file_name[140];
    int uploads, held;
    firmware_fn *on_firmware;
    firmware_done_fn *on_blob;
    struct firmware_blob blob;
} fake_firmware;

static void deliver_firmware(struct fleet *f, const struct pending *p)
{
    static const char sum[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    struct firmware row = {.id = 7,
                           .platform_id = 12,
                           .function = 4,
                           .index = 1,
                           .version = 6200,
                           .sha256 = sum,
                           .dependencies = "[]",
                           .combined = "[]",
                           .product_id = -1,
                           .product_version = -1,
                           .file_name = fake_firmware.file_name,
                           .status = "active",
                           .uploaded_by = "joe",
                           .releases = "[]",
                           .size_bytes = (uint32_t)fake_firmware.data_len};
    enum fleet_err err = f->change_err;

    f->change_err = FLEET_OK;
    fake_firmware.on_firmware(p->arg, err, err == FLEET_OK ? &row : NULL, true,
                              err == FLEET_INVALID ? "it has 3 wheels" : "");
}

void fleet_upload_firmware(struct fleet *f, const struct fleet_actor *actor, uint8_t *data, size_t data_len,
                           const char *file_name, firmware_fn *done, void *arg)
{
    (void)actor;
    free(fake_firmware.data);
    fake_firmware.data = data;
    fake_firmware.data_len = data_len;
    fake_firmware.uploads++;
    snprintf(fake_firmware.file_name, sizeof(fake_firmware.file_name), "%s",
             file_name ? file_name : "(none)");
    fake_firmware.on_firmware = done;
    pending_new(f, deliver_firmware, arg);
}

void fleet_get_firmware(struct fleet *f, int64_t id, firmware_fn *done, void *arg)
{
    (void)id;
    fake_firmware.on_firmware = done;
    pending_new(f, deliver_firmware, arg);
}

struct firmware_cache *fleet_firmware_cache(struct fleet *f)
{
    return (struct firmware_cache *)f; /* never looked into */
}

static void deliver_blob(struct fleet *f, const struct pending *p)
{
    (void)f;
    fake_firmware.blob =
        (struct firmware_blob){.data = fake_firmware.data, .data_len = fake_firmware.data_len};
    fake_firmware.on_blob(p->arg, FLEET_OK, &fake_firmware.blob);
}

struct firmware_wait *firmware_get(struct firmware_cache *c, int64_t module_id, firmware_done_fn *done,
                                   void *arg)
{
    (void)module_id;
    fake_firmware.on_blob = done;
    pending_new((struct fleet *)c, deliver_blob, arg);
    return NULL;
}

void firmware_hold(const struct firmware_blob *blob)
{
    (void)blob;
    fake_firmware.held++;
}

void firmware_release(const struct firmware_blob *blob)
{
    (void)blob;
    fake_firmware.held--;
}

#endif
