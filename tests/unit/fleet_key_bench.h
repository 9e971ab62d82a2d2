/* fleet_key_bench.h: keys of devices, provisioned in a fleet and shown to it. Included by the tests of who is
 * let in. */
#ifndef CYAN_TESTS_FLEET_KEY_BENCH_H
#define CYAN_TESTS_FLEET_KEY_BENCH_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <string.h>

#include "fleet_fixture.h"

struct key_pair {
    char pem[1024];
    uint8_t spki[600], sha256[32];
    size_t spki_len;
};

static inline void write_pem(struct key_pair *k, EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, pkey);
    int len = BIO_read(bio, k->pem, (int)sizeof k->pem - 1);
    k->pem[len > 0 ? len : 0] = 0;
    BIO_free(bio);
    uint8_t *out = k->spki;
    k->spki_len = (size_t)i2d_PUBKEY(pkey, &out);
    SHA256(k->spki, k->spki_len, k->sha256);
}

static inline struct key_pair new_key(void)
{
    struct key_pair k = {.pem = ""};
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    write_pem(&k, pkey);
    EVP_PKEY_free(pkey);
    return k;
}

static inline struct fleet_answer provision(struct fleet_fixture *fx, const struct fleet_actor *who,
                                            unsigned n, const struct key_pair *k)
{
    struct fleet_answer a = {0};
    struct fleet_key key;
    struct device_id id = fleet_test_id(n);
    const char *why;
    assert_true(fleet_key_from_pem(&key, k->pem, strlen(k->pem), &why));
    assert_int_equal(key.kind, FLEET_KEY_P256);
    assert_int_equal(key.data_len, 91);
    assert_memory_equal(key.data, k->spki, 91);
    fleet_provision_device(fx->fleet, who, &id, &key, -1, fleet_on_change, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a;
}

struct admitted {
    int calls;
    enum device_admission admission;
    bool has_id;
    struct device_id id;
};

static inline void on_admit(void *arg, enum device_admission admission, const struct device_id *id)
{
    struct admitted *a = arg;
    a->calls++;
    a->admission = admission;
    a->has_id = id != NULL;
    if (id)
        a->id = *id;
}

static inline struct admitted authorise(struct fleet_fixture *fx, const struct session_proof *proof)
{
    struct admitted a = {0};
    fx->ops->authorise(fx->ops->ctx, proof, on_admit, &a);
    assert_int_equal(a.calls, 0);
    fleet_run_until(fx, a.calls);
    return a;
}

static inline struct admitted authorise_key(struct fleet_fixture *fx, const struct key_pair *k)
{
    struct session_proof proof = {.profile = SESSION_DEVICE_OS};
    memcpy(proof.key_sha256, k->sha256, sizeof proof.key_sha256);
    memcpy(proof.spki, k->spki, k->spki_len);
    proof.spki_len = k->spki_len;
    return authorise(fx, &proof);
}

static inline void assert_is(const struct admitted *a, unsigned n)
{
    struct device_id id = fleet_test_id(n);
    assert_int_equal(a->admission, DEVICE_ADMIT);
    assert_true(a->has_id && device_id_equal(&a->id, &id));
}

#endif
