#include "handshake/handshake_shared.h"

#include <mbedtls/oid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"

/* Of the server's retransmissions; Device OS starts at 3 s itself (device-protocol 2.1). */
#define RETRANSMIT_MIN_MS 2000
#define RETRANSMIT_MAX_MS 16000

/* All of AES-128 with an AEAD: prf.h makes no more of a key block than these use. */
static const int ecdsa_suites[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                                   MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM,
                                   MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, 0};
static const int psk_suites[] = {MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8,
                                 0};
static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
static const uint16_t signatures[] = {MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_NONE};

static int on_random(void *ctx, unsigned char *out, size_t out_len)
{
    (void)ctx;
    random_bytes(out, out_len);
    return 0;
}

/* Our own endpoint has checked the cookie before mbedTLS sees the ClientHello (cookie.h). */
static int on_cookie_write(void *ctx, unsigned char **p, unsigned char *end, const unsigned char *id,
                           size_t id_len)
{
    (void)ctx;
    (void)p;
    (void)end;
    (void)id;
    (void)id_len;
    return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int on_cookie_check(void *ctx, const unsigned char *cookie, size_t cookie_len, const unsigned char *id,
                           size_t id_len)
{
    (void)ctx;
    (void)cookie;
    (void)cookie_len;
    (void)id;
    (void)id_len;
    return 0;
}

/* The key was fetched before ClientKeyExchange reached mbedTLS; it must be for the identity in there. */
static int on_psk(void *ctx, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t identity_len)
{
    (void)ctx;
    struct hooks *hooks = mbedtls_ssl_get_user_data_p(ssl);
    struct handshake *h = (struct handshake *)((char *)hooks - offsetof(struct handshake, hooks));
    if (h->psk_len == 0 || strlen(h->identity) != identity_len ||
        memcmp(h->identity, identity, identity_len) != 0)
        return MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY;
    return mbedtls_ssl_set_hs_psk(ssl, h->psk, h->psk_len);
}

static bool plain_text(const uint8_t *text, size_t text_len)
{
    for (size_t i = 0; i < text_len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    return true;
}

int handshake_on_verify(void *ctx, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct handshake *h = ctx;
    (void)flags;
    if (depth != 0)
        return 0;
    h->verified_leaf_seen = true;
    if (crt->pk_raw.len <= sizeof h->leaf_spki) {
        memcpy(h->leaf_spki, crt->pk_raw.p, crt->pk_raw.len);
        h->leaf_spki_len = crt->pk_raw.len;
    }
    for (const mbedtls_x509_name *name = &crt->subject; name; name = name->next)
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) == 0 && name->val.len <= SESSION_IDENTITY_MAX &&
            plain_text(name->val.p, name->val.len)) {
            memcpy(h->leaf_cn, name->val.p, name->val.len);
            h->leaf_cn[name->val.len] = '\0';
        }
    return 0;
}

static void init_config(mbedtls_ssl_config *conf, const int *suites)
{
    must(mbedtls_ssl_config_defaults(conf, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                     MBEDTLS_SSL_PRESET_DEFAULT) == 0);
    mbedtls_ssl_conf_rng(conf, on_random, NULL);
    mbedtls_ssl_conf_ciphersuites(conf, suites);
    mbedtls_ssl_conf_groups(conf, groups);
    mbedtls_ssl_conf_sig_algs(conf, signatures);
    mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_dtls_cookies(conf, on_cookie_write, on_cookie_check, NULL);
    mbedtls_ssl_conf_handshake_timeout(conf, RETRANSMIT_MIN_MS, RETRANSMIT_MAX_MS);
    mbedtls_ssl_conf_cert_cb(conf, hooks_on_client_hello);
    mbedtls_ssl_conf_cert_req_ca_list(conf, MBEDTLS_SSL_CERT_REQ_CA_LIST_DISABLED);
    must(mbedtls_ssl_conf_cid(conf, SESSION_CID_BYTES, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE) == 0);
}

static void init_configs(struct handshake_shared *s)
{
    init_config(&s->raw_keys, ecdsa_suites);
    init_config(&s->x509, ecdsa_suites);
    init_config(&s->psk, psk_suites);
    must(mbedtls_ssl_conf_own_cert(&s->raw_keys, &s->certificate, &s->key) == 0);
    must(mbedtls_ssl_conf_own_cert(&s->x509, &s->certificate, &s->key) == 0);
    /* Certificates by P-256 and SHA-256 alone. */
    s->certificate_profile = (mbedtls_x509_crt_profile){
        .allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256),
        .allowed_pks = MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECDSA) | MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECKEY),
        .allowed_curves = MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP256R1),
    };
    mbedtls_ssl_conf_cert_profile(&s->x509, &s->certificate_profile);
    mbedtls_ssl_conf_ca_chain(&s->x509, s->authorities.version ? &s->authorities : NULL, NULL);
    /* The raw key's parser is ours and insists (hooks.c). A certificate that no authority signed is judged by
     * its key when the handshake is complete; one that is missing is refused then. */
    mbedtls_ssl_conf_authmode(&s->raw_keys, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_authmode(&s->x509, MBEDTLS_SSL_VERIFY_OPTIONAL);
    mbedtls_ssl_conf_psk_cb(&s->psk, on_psk, NULL);
}

struct handshake_shared *handshake_shared_new(const struct server_key *key, const char *ca_file, char *why,
                                              size_t why_size)
{
    struct handshake_shared *s = mem_alloc(sizeof *s);
    struct server_key_der private = server_key_private(key), certificate = server_key_certificate(key);
    mbedtls_ssl_config_init(&s->raw_keys);
    mbedtls_ssl_config_init(&s->x509);
    mbedtls_ssl_config_init(&s->psk);
    mbedtls_pk_init(&s->key);
    mbedtls_x509_crt_init(&s->certificate);
    mbedtls_x509_crt_init(&s->authorities);
    memcpy(s->spki, server_key_spki(key), sizeof s->spki);
    if (mbedtls_pk_parse_key(&s->key, private.data, private.data_len, NULL, 0, on_random, NULL) != 0 ||
        mbedtls_x509_crt_parse_der(&s->certificate, certificate.data, certificate.data_len) != 0)
        (void)snprintf(why, why_size, "the server key cannot be used");
    else if (ca_file[0] != '\0' && mbedtls_x509_crt_parse_file(&s->authorities, ca_file) != 0)
        (void)snprintf(why, why_size, "%s does not hold PEM certificates on P-256 that can be read", ca_file);
    else {
        init_configs(s);
        return s;
    }
    handshake_shared_free(s);
    return NULL;
}

void handshake_shared_free(struct handshake_shared *s)
{
    mbedtls_ssl_config_free(&s->raw_keys);
    mbedtls_ssl_config_free(&s->x509);
    mbedtls_ssl_config_free(&s->psk);
    mbedtls_pk_free(&s->key);
    mbedtls_x509_crt_free(&s->certificate);
    mbedtls_x509_crt_free(&s->authorities);
    free(s);
}

const mbedtls_ssl_config *handshake_shared_config(const struct handshake_shared *s,
                                                  enum session_profile profile)
{
    switch (profile) {
    case SESSION_PSK:
        return &s->psk;
    case SESSION_X509:
        return &s->x509;
    default:
        return &s->raw_keys;
    }
}
