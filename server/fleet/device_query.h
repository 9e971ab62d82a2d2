/* device_query.h: reading devices: list, detail, modules, history.
 *
 * Every call answers exactly once, from the loop. Rows and strings are borrowed, valid during the callback.
 */
#ifndef CYAN_FLEET_DEVICE_QUERY_H
#define CYAN_FLEET_DEVICE_QUERY_H

#include "fleet/fleet.h"

enum fleet_tri { FLEET_ANY = -1, FLEET_NO = 0, FLEET_YES = 1 };

#define FLEET_PAGE_MAX 1000

/* What a list is sorted by; devices that are equal there by their ids, in the same direction. */
enum fleet_order {
    FLEET_BY_HANDSHAKE, /* those never seen count as the oldest */
    FLEET_BY_ID,
    FLEET_BY_NAME,    /* byte by byte; those without as "" */
    FLEET_BY_VERSION, /* of the firmware in its product; unknown counts as the lowest */
    FLEET_BY_HEARD,   /* connected ones count as heard now */
    FLEET_ORDER_COUNT
};

struct fleet_filter {
    enum fleet_tri requires_deep_update, connected, quarantined, development;
    int platform_id, product_id, firmware_version; /* -1 = any */
    int in_product;   /* the product that has imported it, whoever owns it; 0 = any of the actor's own */
    int waits_for;    /* the product whose approval it waits for; 0 = any, as above */
    const char *name; /* NULL = any; exact, or a prefix when it ends in '*' */
    const char *id_part, *name_part, *serial_part; /* NULL = any; somewhere in it, in either case */
    const char *groups;                            /* NULL = any; `a,b`: in one of these */
    uint64_t heard_before_ms, heard_after_ms;      /* Unix ms; 0 = any */
    enum fleet_order order;
    bool ascending;
    uint32_t page, per_page; /* from 1; per_page at most FLEET_PAGE_MAX */
    const char *cursor;      /* NULL, or `next` of an earlier page: begins behind it, whatever page says */
};
void fleet_filter_init(struct fleet_filter *filter); /* everything, the first FLEET_PAGE_MAX of it */

struct fleet_name_type {
    const char *name, *type; /* type `int32` `double` `string` `bool` */
};
struct fleet_device {
    struct device_id id;
    const char *name;     /* NULL = none */
    const char *last_app; /* NULL = none */
    const char *notes;
    uint64_t last_heard_ms, last_handshake_ms; /* Unix ms, 0 = never */
    const char *last_ip;                       /* NULL = none */
    bool connected;
    int platform_id, product_id, product_version; /* as its Hello says; -1 = unknown */
    const char *status;                           /* `normal` or `safe_mode` */
    bool requires_deep_update, quarantined;
    const char *cc3000_patch_version; /* NULL = none */
    const char *system_release;       /* `6.2.0`, NULL = unknown */
    const char *serial_number, *iccid, *imei;
    const char *owner;                   /* user name, NULL = unclaimed */
    int updates_enabled, updates_forced; /* -1 unknown, 0, 1 */
    const char *last_reset;
    bool waits;         /* for the approval of the product that its Hello names */
    int in_product;     /* 0 = none; the next five are of it */
    const char *groups; /* `a,b`, NULL = none */
    bool development, denied;
    int desired_version;  /* locked to it; -1 = none */
    int targeted_version; /* what it should run; -1 = none */
    /* detail only */
    const char *const *functions;
    size_t function_count;
    const struct fleet_name_type *variables;
    size_t variable_count;
    const char *deep_update_reason; /* sentence of the rule that asks for it, NULL = none */
};

struct fleet_page {
    const struct fleet_device *rows;
    size_t count;
    uint64_t total;      /* how many devices the filter lets through */
    uint64_t counted_ms; /* 0: exact, of the same moment as the rows; else Unix ms: when it was */
    const char *next;    /* cursor of what follows; NULL: there is nothing */
};
/* page: valid when err is FLEET_OK. FLEET_INVALID: the cursor is none. */
typedef void fleet_devices_fn(void *arg, enum fleet_err err, const struct fleet_page *page);
/* Pages that follow each other are read from where the one before ended, as long as they are asked for with
 * the same token within FLEET_WALK_MS: a device that does not change is in exactly one of them, whatever
 * comes and goes meanwhile. A page that is jumped to lies where it was when the list was last measured. */
#define FLEET_WALK_MS 600000
void fleet_list_devices(struct fleet *f, const struct fleet_actor *actor, const struct fleet_filter *filter,
                        fleet_devices_fn *done, void *arg);

/* All devices that fit, in slices of at most FLEET_SLICE_MAX, without holding a transaction. Up to
 * FLEET_SNAPSHOT_MAX are those that fitted at the beginning, in the order of the list; more come in the order
 * of their ids, each of those that stay exactly once. */
#define FLEET_SLICE_MAX 250
#define FLEET_SNAPSHOT_MAX 10000
struct device_export;
/* rows: of this slice; last: none will follow. */
typedef void fleet_slice_fn(void *arg, enum fleet_err err, const struct fleet_device *rows, size_t count,
                            bool last);
/* filter: copied; its page and cursor mean nothing. */
struct device_export *fleet_export_devices(struct fleet *f, const struct fleet_actor *actor,
                                           const struct fleet_filter *filter);
/* One at a time, and none after the last. */
void fleet_export_next(struct device_export *e, fleet_slice_fn *done, void *arg);
/* How many there are; after the first slice. -1: that is not known. */
int64_t fleet_export_total(const struct device_export *e);
void fleet_export_free(
    struct device_export *e); /* also while a slice is under way: done does not come then */

typedef void fleet_device_fn(void *arg, enum fleet_err err, const struct fleet_device *device);
/* which: 24 hex digits, or a name (ids win over names); behind `PRODUCT/`, a product's id, a device of that
 * product, whoever owns it. FLEET_FORBIDDEN when it belongs to someone else.
 * FLEET_CONFLICT when several owners have a device of this name and the actor, who sees all, has none. */
void fleet_get_device(struct fleet *f, const struct fleet_actor *actor, const char *which,
                      fleet_device_fn *done, void *arg);

struct fleet_module {
    char function; /* letter, as in describe JSON */
    int index, version, store;
    bool valid;               /* every check it went through was passed */
    const char *hash;         /* hex, NULL = not stated */
    const char *dependencies; /* JSON array text [{"f":"s","n":"1","v":2302}] */
    uint64_t seen_ms;
};
struct fleet_module_change {
    char function;
    int index, old_version, new_version; /* -1 = absent */
    const char *cause;                   /* `describe`, ... */
    uint64_t at_ms;
};
typedef void fleet_modules_fn(void *arg, enum fleet_err err, const struct device_id *id,
                              const struct fleet_module *modules, size_t module_count,
                              const struct fleet_module_change *history, size_t history_count);
/* history: newest first, at most 1000. */
void fleet_get_modules(struct fleet *f, const struct fleet_actor *actor, const char *which, bool with_history,
                       fleet_modules_fn *done, void *arg);

struct fleet_counts { /* for /health and /metrics */
    uint64_t devices, connected, deep_updates;
};
/* counts: zeros unless err is FLEET_OK. */
typedef void fleet_counts_fn(void *arg, enum fleet_err err, const struct fleet_counts *counts);
void fleet_count_devices(struct fleet *f, fleet_counts_fn *done, void *arg);

#endif
