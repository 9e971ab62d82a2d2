/* key.c: device keys as people hand them over: PEM public keys and hexadecimal pre-shared keys. */
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/bytes.h"
#include "fleet/device_change.h"

#define PEM_MAX 8192
#define PSK_MIN 16
#define PSK_MAX 64
#define RSA_BITS_MIN 1024 /* the oldest devices (device-protocol 1.3) */
#define RSA_BITS_MAX 4096

/* The one form devices and handshakes use: named curve, uncompressed point, 91 bytes (device-protocol 1.2).
 */
static bool put_p256(struct fleet_key *key, EVP_PKEY *pkey)
{
    static const uint8_t header[27] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                       0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                       0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
    BIGNUM *x = NULL, *y = NULL;
    bool done = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
                EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1;
    if (done) {
        memcpy(key->data, header, sizeof header);
        done = BN_bn2binpad(x, key->data + sizeof header, 32) == 32 &&
               BN_bn2binpad(y, key->data + sizeof header + 32, 32) == 32;
    }
    BN_free(x);
    BN_free(y);
    key->kind = FLEET_KEY_P256;
    key->data_len = sizeof header + 64;
    return done;
}

static bool put_rsa(struct fleet_key *key, EVP_PKEY *pkey)
{
    int len = i2d_PUBKEY(pkey, NULL);
    uint8_t *out = key->data;
    if (len <= 0 || (size_t)len > sizeof key->data)
        return false;
    key->kind = FLEET_KEY_RSA;
    key->data_len = (size_t)i2d_PUBKEY(pkey, &out);
    return true;
}

static bool put_key(struct fleet_key *key, EVP_PKEY *pkey, const char **why)
{
    char group[32] = "";
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_EC:
        *why = "an elliptic-curve key must be on P-256";
        return EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) ==
                   1 &&
               !strcmp(group, "prime256v1") && put_p256(key, pkey);
    case EVP_PKEY_RSA:
        *why = "an RSA key must have 1024 to 4096 bits";
        return EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN && EVP_PKEY_get_bits(pkey) <= RSA_BITS_MAX &&
               put_rsa(key, pkey);
    default:
        *why = "the key must be P-256 or RSA";
        return false;
    }
}

bool fleet_key_from_pem(struct fleet_key *key, const char *pem, size_t pem_len, const char **why)
{
    *why = "not a PEM public key (`BEGIN PUBLIC KEY`)";
    if (pem_len == 0 || pem_len > PEM_MAX)
        return false;
    BIO *bio = BIO_new_mem_buf(pem, (int)pem_len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    bool fine = pkey && put_key(key, pkey, why);
    EVP_PKEY_free(pkey);
    if (fine)
        *why = "";
    return fine;
}

bool fleet_key_from_hex(struct fleet_key *key, const char *hex, const char **why)
{
    size_t hex_len = strlen(hex);
    *why = "a pre-shared key is 16 to 64 bytes in hexadecimal";
    if (hex_len % 2 || hex_len < 2 * PSK_MIN || hex_len > 2 * PSK_MAX ||
        !hex_decode(key->data, hex_len / 2, hex, hex_len))
        return false;
    key->kind = FLEET_KEY_PSK;
    key->data_len = hex_len / 2;
    *why = "";
    return true;
}
