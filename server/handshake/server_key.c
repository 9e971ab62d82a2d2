#include "handshake/server_key.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"

#define PRIVATE_FILE "server_key.pem"
#define PUBLIC_FILE "server_key.der"
#define CERTIFICATE_YEARS 50

struct server_key {
    uint8_t spki[SERVER_KEY_SPKI_BYTES];
    uint8_t *private_der, *certificate_der; /* ours; libcrypto's allocation */
    int private_len, certificate_len;
};

static int fail(char *why, size_t why_size, const char *what, const char *path)
{
    (void)snprintf(why, why_size, "%s %s: %s", what, path, strerror(errno));
    return -1;
}

static int write_file(const char *path, mode_t mode, const void *data, size_t data_len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, data, data_len);
    int synced = fsync(fd);
    if (close(fd) != 0 || synced != 0 || written != (ssize_t)data_len)
        return -1;
    return 0;
}

static int write_pair(EVP_PKEY *pkey, const char *dir, char *why, size_t why_size)
{
    char *private_path = mem_printf("%s/" PRIVATE_FILE, dir),
         *public_path = mem_printf("%s/" PUBLIC_FILE, dir);
    BIO *pem = BIO_new(BIO_s_mem());
    uint8_t *spki = NULL;
    char *text = NULL;
    int spki_len = i2d_PUBKEY(pkey, &spki), err = -1;
    if (!pem || spki_len != SERVER_KEY_SPKI_BYTES ||
        PEM_write_bio_PrivateKey(pem, pkey, NULL, NULL, 0, NULL, NULL) != 1)
        (void)snprintf(why, why_size, "cannot encode the new key");
    else {
        size_t text_len = (size_t)BIO_get_mem_data(pem, &text);
        (void)unlink(public_path); /* left over without its private half */
        if (write_file(private_path, 0600, text, text_len) != 0)
            (void)fail(why, why_size, "cannot write", private_path);
        else if (write_file(public_path, 0644, spki, (size_t)spki_len) != 0)
            (void)fail(why, why_size, "cannot write", public_path);
        else
            err = 0;
        bytes_wipe(text, text_len);
    }
    BIO_free(pem);
    OPENSSL_free(spki);
    free(private_path);
    free(public_path);
    return err;
}

int server_key_make(const char *dir, char *why, size_t why_size)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fail(why, why_size, "cannot make folder", dir);
    if (server_key_exists(dir)) {
        (void)snprintf(why, why_size,
                       "%s/" PRIVATE_FILE " exists; devices have it pinned, it is never replaced", dir);
        return -1;
    }
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    if (!pkey) {
        (void)snprintf(why, why_size, "cannot make a P-256 key");
        return -1;
    }
    int err = write_pair(pkey, dir, why, why_size);
    EVP_PKEY_free(pkey);
    return err;
}

bool server_key_exists(const char *dir)
{
    struct stat st;
    char *path = mem_printf("%s/" PRIVATE_FILE, dir);
    bool exists = stat(path, &st) == 0;
    free(path);
    return exists;
}

static EVP_PKEY *read_private(const char *path, char *why, size_t why_size)
{
    struct stat st;
    FILE *file = fopen(path, "re");
    if (!file || fstat(fileno(file), &st) != 0) {
        (void)fail(why, why_size, "cannot read", path);
        if (file)
            (void)fclose(file);
        return NULL;
    }
    EVP_PKEY *pkey = NULL;
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        (void)snprintf(why, why_size, "%s can be read by others than its owner: chmod 600 it", path);
    else if (!(pkey = PEM_read_PrivateKey(file, NULL, NULL, NULL)))
        (void)snprintf(why, why_size, "%s holds no private key in PEM form", path);
    (void)fclose(file);
    return pkey;
}

/* X.509 clients are shown a certificate; what they trust is the key in it. */
static int self_sign(struct server_key *key, EVP_PKEY *pkey)
{
    X509 *x = X509_new();
    must(x != NULL);
    X509_NAME *name = X509_get_subject_name(x);
    bool ok =
        X509_set_version(x, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
        ASN1_TIME_set_string(X509_getm_notBefore(x), "20200101000000Z") == 1 &&
        X509_gmtime_adj(X509_getm_notAfter(x), (long)CERTIFICATE_YEARS * 365 * 86400) != NULL &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"cyan", -1, -1, 0) == 1 &&
        X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, pkey) == 1 &&
        X509_sign(x, pkey, EVP_sha256()) > 0;
    key->certificate_len = ok ? i2d_X509(x, &key->certificate_der) : -1;
    X509_free(x);
    return key->certificate_len > 0 ? 0 : -1;
}

static int take(struct server_key *key, EVP_PKEY *pkey)
{
    uint8_t *spki = NULL;
    char group[32] = "";
    if (EVP_PKEY_get_id(pkey) != EVP_PKEY_EC ||
        EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) != 1 || strcmp(group, "prime256v1") != 0)
        return -1;
    int spki_len = i2d_PUBKEY(pkey, &spki);
    if (spki_len == SERVER_KEY_SPKI_BYTES)
        memcpy(key->spki, spki, SERVER_KEY_SPKI_BYTES);
    OPENSSL_free(spki);
    key->private_len = i2d_PrivateKey(pkey, &key->private_der);
    return spki_len == SERVER_KEY_SPKI_BYTES && key->private_len > 0 ? self_sign(key, pkey) : -1;
}

struct server_key *server_key_load(const char *dir, char *why, size_t why_size)
{
    char *path = mem_printf("%s/" PRIVATE_FILE, dir);
    EVP_PKEY *pkey = read_private(path, why, why_size);
    struct server_key *key = NULL;
    if (pkey) {
        key = mem_alloc(sizeof *key);
        if (take(key, pkey) != 0) {
            (void)snprintf(why, why_size, "%s is not a P-256 key", path);
            server_key_free(key);
            key = NULL;
        }
    }
    EVP_PKEY_free(pkey);
    free(path);
    return key;
}

void server_key_free(struct server_key *key)
{
    if (!key)
        return;
    OPENSSL_clear_free(key->private_der, key->private_len > 0 ? (size_t)key->private_len : 0);
    OPENSSL_free(key->certificate_der);
    free(key);
}

const uint8_t *server_key_spki(const struct server_key *key)
{
    return key->spki;
}

void server_key_fingerprint(const struct server_key *key, char out[65])
{
    uint8_t digest[32];
    SHA256(key->spki, sizeof key->spki, digest);
    hex_encode(out, digest, sizeof digest);
}

struct server_key_der server_key_private(const struct server_key *key)
{
    return (struct server_key_der){key->private_der, (size_t)key->private_len};
}

struct server_key_der server_key_certificate(const struct server_key *key)
{
    return (struct server_key_der){key->certificate_der, (size_t)key->certificate_len};
}

void server_key_derive(const struct server_key *key, const char *label, uint8_t out[32])
{
    must(HMAC(EVP_sha256(), key->private_der, key->private_len, (const uint8_t *)label, strlen(label), out,
              NULL) != NULL);
}

/* device-protocol 1.4: type, length, 64 bytes of value, port; the rest of the 128-byte area is erased flash.
 */
static bool put_address(uint8_t block[128], const char *host, uint16_t port)
{
    struct in_addr v4;
    size_t host_len = strlen(host);
    if (inet_pton(AF_INET, host, &v4) == 1) {
        if (v4.s_addr == 0 || v4.s_addr == UINT32_MAX)
            return false; /* devices refuse them */
        block[0] = 0;
        block[1] = 4;
        memset(block + 2, 0, 64);
        memcpy(block + 2, &v4, 4);
    } else {
        if (host_len == 0 || host_len > 63 ||
            strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                         "0123456789.-_$") != host_len)
            return false;
        block[0] = 1;
        block[1] = (uint8_t)host_len;
        memset(block + 2, 0, 64);
        memcpy(block + 2, host, host_len);
    }
    be16_store(block + 66, port);
    return true;
}

bool server_key_export(const struct server_key *key, const char *host, uint16_t port,
                       uint8_t out[SERVER_KEY_BLOB_BYTES])
{
    memset(out, 0xff, SERVER_KEY_BLOB_BYTES);
    memcpy(out, key->spki, SERVER_KEY_SPKI_BYTES);
    return put_address(out + 192, host, port);
}
