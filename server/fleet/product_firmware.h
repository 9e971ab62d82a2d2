/* product_firmware.h: firmware of products, by the product's own version numbers: uploaded, changed, deleted,
 * released to groups or to all devices of a product.
 *
 * Each change is one transaction with its audit row (migrations/0025); what a release does to devices is the
 * matter of migrations/0018. Whether the actor may is the caller's to look at. Every call answers exactly
 * once, from the loop; what it hands over is valid during the callback. Loop thread only. */
#ifndef CYAN_FLEET_PRODUCT_FIRMWARE_H
#define CYAN_FLEET_PRODUCT_FIRMWARE_H

#include "fleet/fleet.h"

#define PRODUCT_FIRMWARE_VERSION_MAX 65535
#define PRODUCT_FIRMWARE_TITLE_MAX 256 /* bytes */
#define PRODUCT_FIRMWARE_DESCRIPTION_MAX 4000

/* json: as REST shows it; NULL unless err is FLEET_OK. why: FLEET_INVALID, FLEET_CONFLICT: a sentence; else
 * "". */
typedef void product_firmware_fn(void *arg, enum fleet_err err, const char *json, const char *why);

/* Newest version first, as a JSON array. */
void fleet_list_product_firmware(struct fleet *f, int product_id, product_firmware_fn *done, void *arg);
void fleet_get_product_firmware(struct fleet *f, int product_id, int version, product_firmware_fn *done,
                                void *arg);

struct product_firmware_upload {
    int product_id, version;
    const char *title, *description; /* copied */
    bool is_mandatory;
};
/* data: from malloc, taken over. file_name: NULL allowed, copied. FLEET_INVALID: it is no user application
 * for a device of this product and for this version; FLEET_CONFLICT: the version exists. */
void fleet_upload_product_firmware(struct fleet *f, const struct fleet_actor *actor,
                                   const struct product_firmware_upload *upload, uint8_t *data,
                                   size_t data_len, const char *file_name, product_firmware_fn *done,
                                   void *arg);

struct product_firmware_edit {
    int product_id, version;
    const char *title, *description; /* NULL: as it is */
    bool has_mandatory, is_mandatory;
};
void fleet_edit_product_firmware(struct fleet *f, const struct fleet_actor *actor,
                                 const struct product_firmware_edit *edit, product_firmware_fn *done,
                                 void *arg);
/* FLEET_INVALID: it was released, or devices are locked to it. json: NULL. */
void fleet_delete_product_firmware(struct fleet *f, const struct fleet_actor *actor, int product_id,
                                   int version, product_firmware_fn *done, void *arg);

struct product_firmware_release {
    int product_id, version;
    const char *const *groups; /* names; NULL when there are none */
    size_t group_count;
    bool is_default; /* to every device that no group says otherwise of */
    bool at_once;    /* also to devices that are online now, not only at their next handshake */
};
void fleet_release_product_firmware(struct fleet *f, const struct fleet_actor *actor,
                                    const struct product_firmware_release *release, product_firmware_fn *done,
                                    void *arg);
/* What it would do: how many devices would get this version in place of which. Changes nothing. */
void fleet_preview_product_firmware(struct fleet *f, const struct product_firmware_release *release,
                                    product_firmware_fn *done, void *arg);

/* module_id: of firmware_cache.h; file_name: as it was uploaded. */
typedef void product_binary_fn(void *arg, enum fleet_err err, int64_t module_id, const char *file_name);
void fleet_find_product_binary(struct fleet *f, int product_id, int version, product_binary_fn *done,
                               void *arg);

#endif
