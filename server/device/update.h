/* update.h: sends one module binary to a connected device (device-protocol 5). Devices whose Hello says so
 * get version 3 of the protocol, others version 2, or 1 when they want each chunk confirmed.
 *
 *   STARTING --device is ready--> TRANSFERRING --all acknowledged--> SENT --device_update_finish--> FINISHING
 * --> ended
 *        \--refusal, no answer-------- \--no progress, stop----------- \--stop-----------------------
 * \--answer--/
 *
 * VALIDATED says that the device found the file good and was told to apply it, no more: only a describe after
 * its reboot says what it runs. The caller writes down that it finishes before it calls device_update_finish.
 *
 * A device has at most one update. While it has one it is asked nothing else that may disturb it, and silence
 * does not take it offline. Ownership: the update belongs to its device and is gone when ended was called,
 * exactly once, from the loop, never from inside a call. Loop thread only. */
#ifndef CYAN_DEVICE_UPDATE_H
#define CYAN_DEVICE_UPDATE_H

#include "device/devices.h"

struct device_update_order {
    const uint8_t *data; /* the file; borrowed until ended */
    size_t data_len;
    const uint8_t
        *sha256; /* 32 bytes, of the whole file: a device goes on where it stopped; borrowed until ended */
    uint8_t function; /* enum module_function */
};

enum device_update_end {
    DEVICE_UPDATE_VALIDATED,
    DEVICE_UPDATE_REFUSED,  /* device_code and message say why; -140: it cancelled, or was away meanwhile */
    DEVICE_UPDATE_DISABLED, /* its application does not want updates now */
    DEVICE_UPDATE_NO_START, /* no answer to the start within 90 s */
    DEVICE_UPDATE_STALLED,  /* nothing acknowledged for 60 s */
    DEVICE_UPDATE_UNKNOWN,  /* FINISHING: no answer within 120 s, or the session ended: it may be applying it
                             */
    DEVICE_UPDATE_GONE,     /* the session ended before FINISHING */
    DEVICE_UPDATE_STOPPED,  /* device_update_stop */
};
const char *device_update_end_name(enum device_update_end end);

struct device_update_result {
    enum device_update_end end;
    int32_t device_code;  /* REFUSED, DISABLED: of device-protocol 5.4; 0 when it gave none */
    uint8_t coap_code;    /* the same as CoAP */
    char message[128];    /* the device's own words, valid UTF-8, "" when none */
    uint32_t start_bytes; /* where it began: what the device had already */
    uint32_t acked_bytes; /* of the file, from its beginning, without a gap; in version 2 a last chunk that is
                             kept back counts as acknowledged */
    uint64_t sent_bytes, resent_bytes;
};
/* What a code of device-protocol 5.4 means, as a sentence for people; static. */
const char *device_update_code_text(int32_t device_code);
/* True for codes that say that this file will never do; after others trying again later may help. */
bool device_update_code_is_final(int32_t device_code);

struct device_update_ops {
    void (*started)(void *arg, uint32_t start_bytes);
    /* Every 16 KiB acknowledged, and at the end. */
    void (*progress)(void *arg, uint32_t acked_bytes, uint64_t sent_bytes);
    void (*sent)(void *arg);
    void (*ended)(void *arg, const struct device_update_result *result);
};

struct device_update;
/* False: the device would never take it: too large for it, a kind of file it does not take. */
bool device_update_fits(const struct device *device, const struct device_update_order *order);
/* NULL with a static sentence in why, and no callback: it does not fit; or not now: not connected, has an
 * update already, too many messages wait for it. */
must_check struct device_update *device_update_start(struct device *device,
                                                     const struct device_update_order *order,
                                                     const struct device_update_ops *ops, void *arg,
                                                     const char **why);
void device_update_finish(struct device_update *update); /* once, in SENT */
/* Stops sending; the device keeps what it has and gives up by itself. Not in FINISHING. ended comes from the
 * loop. */
void device_update_stop(struct device_update *update);
bool device_is_updating(const struct device *device);

/* Tells the device that an update waits for it; or to take updates whatever its application wants, or no more
 * (device-protocol 5.6). False when it cannot be told now. The answer to the latter is its event
 * `particle/device/updates/forced`. */
bool device_tell_update_pending(struct device *device);
bool device_force_updates(struct device *device, bool forced);

#endif
