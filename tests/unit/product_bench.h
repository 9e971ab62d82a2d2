/* product_bench.h: products of a fleet on a real Postgres, each call to them waited for. Included by one .c
 * file of a test program. */
#ifndef CYAN_TESTS_PRODUCT_BENCH_H
#define CYAN_TESTS_PRODUCT_BENCH_H

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/product.h"
#include "fleet/product_device.h"
#include "fleet/product_group.h"
#include "fleet/product_import.h"
#include "fleet_fixture.h"

#define ARGON 12

struct answer {
    int calls;
    enum fleet_err err;
    int id;
    char slug[65], name[65], owner[65], settings[200], groups[200], why[200];
    uint64_t devices, total;
    size_t count;
    int version;
    bool pushed;
    struct device_id device;
};

static inline void on_product(void *arg, enum fleet_err err, const struct product *p, const char *why)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err;
    snprintf(a->why, sizeof a->why, "%s", why);
    if (!p)
        return;
    a->id = p->id;
    snprintf(a->slug, sizeof a->slug, "%s", p->slug);
    snprintf(a->name, sizeof a->name, "%s", p->name);
    snprintf(a->owner, sizeof a->owner, "%s", p->owner ? p->owner : "");
    snprintf(a->settings, sizeof a->settings, "%s", p->settings);
    snprintf(a->groups, sizeof a->groups, "%s", p->groups);
}

static inline struct answer create(struct fleet_fixture *fx, const struct fleet_actor *who, const char *name)
{
    struct answer a = {0};
    fleet_create_product(fx->fleet, who, &(struct product_change){.name = name, .platform_id = ARGON},
                         on_product, &a);
    fleet_run_until(fx, a.calls);
    assert_int_equal(a.err, FLEET_OK);
    return a;
}

static inline struct answer change(struct fleet_fixture *fx, int product, struct product_change to)
{
    struct answer a = {0};
    fleet_change_product(fx->fleet, &fx->owner, product, &to, on_product, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static inline void add_member(int product, const struct fleet_actor *who, const char *role)
{
    char *sql = mem_printf("INSERT INTO product_member (product_id, user_id, role) VALUES (%d, %lld, '%s')",
                           product, (long long)who->user_id, role);
    fleet_script(sql);
    free(sql);
}

static inline void on_device(void *arg, enum fleet_err err, const struct device_id *id, bool pushed,
                             const char *why)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err;
    a->pushed = pushed;
    assert_true((err == FLEET_OK) == (id != NULL));
    if (id)
        a->device = *id;
    snprintf(a->why, sizeof a->why, "%s", why);
}

static inline const char *id_text(unsigned n)
{
    static char text[DEVICE_ID_TEXT_SIZE];
    struct device_id id = fleet_test_id(n);
    device_id_format(text, &id);
    return text;
}

static inline struct answer change_device(struct fleet_fixture *fx, int product, const char *which,
                                          const char *to)
{
    struct answer a = {0};
    fleet_change_product_device(fx->fleet, &fx->owner, product, which, to, on_device, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

static inline struct answer remove_device(struct fleet_fixture *fx, int product, const char *which, bool deny)
{
    struct answer a = {0};
    fleet_remove_product_device(fx->fleet, &fx->owner, product, which, deny, on_device, &a);
    fleet_run_until(fx, a.calls);
    return a;
}

struct imported {
    int calls;
    enum fleet_err err;
    size_t updated;
    char ids[400], nonmembers[400], strangers[400];
};

static inline void on_imported(void *arg, enum fleet_err err, const struct product_imported *imported)
{
    struct imported *i = arg;
    i->calls++;
    i->err = err;
    if (err)
        return;
    i->updated = imported->updated;
    snprintf(i->ids, sizeof i->ids, "%s", imported->updated_ids);
    snprintf(i->nonmembers, sizeof i->nonmembers, "%s", imported->nonmembers);
    snprintf(i->strangers, sizeof i->strangers, "%s", imported->strangers);
}

static inline struct imported import_as(struct fleet_fixture *fx, const struct fleet_actor *who, int product,
                                        const char *said)
{
    struct imported i = {0};
    fleet_import_devices(fx->fleet, who, product, said, strlen(said), on_imported, &i);
    assert_int_equal(i.calls, 0);
    fleet_run_until(fx, i.calls);
    assert_int_equal(i.err, FLEET_OK);
    return i;
}

static inline struct imported import(struct fleet_fixture *fx, int product, const char *said)
{
    return import_as(fx, &fx->owner, product, said);
}

static inline const char *one(const char *column, unsigned n)
{
    char *sql = mem_printf("SELECT coalesce((%s)::text, 'null') FROM device d WHERE id = '\\x%s'", column,
                           id_text(n));
    const char *value = fleet_sql(sql);
    free(sql);
    return value;
}

static inline int count_of(const char *sql)
{
    return atoi(fleet_sql(sql));
}

#endif
