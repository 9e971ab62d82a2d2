#include "handshake/session_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "handshake/dtls_private.h"
#include "handshake/session_store.h"

/* "CYANSESS", version be32, then id be64, epoch be64, length be16, image for each session, then the MAC of it
 * all. */
#define MAGIC "CYANSESS"
#define VERSION 1
#define HEAD_BYTES 12
#define ENTRY_BYTES 18
#define MAC_BYTES 32
#define FILE_MAX_BYTES ((size_t)4 << 30)

static long fail(char *why, size_t why_size, const char *what, const char *path)
{
    (void)snprintf(why, why_size, "%s %s: %s", what, path, strerror(errno));
    return -1;
}

static void mac_of(const struct server_key *key, const void *data, size_t data_len, uint8_t out[MAC_BYTES])
{
    uint8_t secret[32];
    unsigned len = MAC_BYTES;
    server_key_derive(key, "cyan session file", secret);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new(); /* HMAC() takes an int for a length; a file may be longer */
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, secret, sizeof secret);
    size_t out_len = MAC_BYTES;
    must(ctx && pkey && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
         EVP_DigestSignUpdate(ctx, data, data_len) == 1 && EVP_DigestSignFinal(ctx, out, &out_len) == 1 &&
         out_len == len);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    bytes_wipe(secret, sizeof secret);
}

static bool sync_folder(const char *path)
{
    char *copy = mem_string(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return false;
    bool good = fsync(fd) == 0;
    close(fd);
    return good;
}

static bool write_all(int fd, const uint8_t *data, size_t data_len)
{
    while (data_len > 0) {
        ssize_t written = write(fd, data, data_len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        data += written;
        data_len -= (size_t)written;
    }
    return true;
}

static uint8_t *grow(uint8_t *data, size_t *size, size_t needed)
{
    if (needed <= *size)
        return data;
    *size = needed * 2;
    return mem_grow(data, *size, 1);
}

/* All of the file but its MAC. */
static uint8_t *pack(struct dtls *d, const uint8_t key[SESSION_IMAGE_KEY_BYTES], size_t *data_len,
                     long *count)
{
    size_t size = 0, used = HEAD_BYTES;
    uint8_t *data = grow(NULL, &size, 65536), owner[SESSION_OWNER_MAX];
    memcpy(data, MAGIC, 8);
    be32_store(data + 8, VERSION);
    *count = 0;
    for (const struct session *s = d->sessions.oldest; s; s = s->newer) {
        size_t owner_len = d->ops->save(d->ops_ctx, s, owner);
        if (owner_len == 0 || s->unproven)
            continue;
        data = grow(data, &size, used + ENTRY_BYTES + SESSION_IMAGE_MAX + MAC_BYTES);
        uint8_t *entry = data + used;
        uint64_t heard_wall_ms = clock_wall_ms() - (clock_ms() - s->heard_ms);
        size_t len = session_image_seal(key, s, s->record.send_seq, heard_wall_ms, owner, owner_len,
                                        entry + ENTRY_BYTES);
        be64_store(entry, s->id);
        be64_store(entry + 8, s->epoch);
        be16_store(entry + 16, (uint16_t)len);
        used += ENTRY_BYTES + len;
        (*count)++;
    }
    *data_len = used;
    return data;
}

long session_file_write(struct dtls *d, const struct server_key *key, const char *path, char *why,
                        size_t why_size)
{
    uint8_t image_key[SESSION_IMAGE_KEY_BYTES];
    char *fresh = mem_printf("%s.new", path);
    size_t data_len;
    long count;
    server_key_derive(key, SESSION_IMAGE_LABEL, image_key);
    uint8_t *data = pack(d, image_key, &data_len, &count);
    bytes_wipe(image_key, sizeof image_key);
    mac_of(key, data, data_len, data + data_len);
    (void)unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write_all(fd, data, data_len + MAC_BYTES) && fsync(fd) == 0;
    if (fd >= 0)
        good = close(fd) == 0 && good;
    good = good && rename(fresh, path) == 0 && sync_folder(path);
    if (!good) {
        count = fail(why, why_size, "cannot write", path);
        (void)unlink(fresh);
    }
    free(data);
    free(fresh);
    return count;
}

static uint8_t *read_file(const char *path, size_t *data_len)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    uint8_t *data = NULL;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (size_t)info.st_size <= FILE_MAX_BYTES) {
        data = mem_array((size_t)info.st_size + 1, 1);
        *data_len = 0;
        for (ssize_t got; *data_len < (size_t)info.st_size; *data_len += (size_t)got)
            if ((got = read(fd, data + *data_len, (size_t)info.st_size - *data_len)) <= 0)
                break;
    }
    close(fd);
    return data;
}

static bool is_whole(const struct server_key *key, const uint8_t *data, size_t data_len)
{
    uint8_t mac[MAC_BYTES];
    if (data_len < HEAD_BYTES + MAC_BYTES || memcmp(data, MAGIC, 8) != 0 || be32_load(data + 8) != VERSION)
        return false;
    mac_of(key, data, data_len - MAC_BYTES, mac);
    return bytes_equal_secret(mac, data + data_len - MAC_BYTES, MAC_BYTES);
}

static uint64_t heard_ms_of(const struct session_image *image, uint64_t now_ms, uint64_t wall_ms)
{
    uint64_t age_ms = wall_ms > image->heard_wall_ms ? wall_ms - image->heard_wall_ms : 0;
    return age_ms < now_ms ? now_ms - age_ms : 1;
}

static long unpack(struct dtls *d, const struct server_key *key, const uint8_t *data, size_t data_len)
{
    uint8_t image_key[SESSION_IMAGE_KEY_BYTES];
    struct session_image image;
    struct bytes_reader r;
    uint64_t now_ms = clock_ms(), wall_ms = clock_wall_ms();
    long count = 0;
    server_key_derive(key, SESSION_IMAGE_LABEL, image_key);
    bytes_reader_init(&r, data + HEAD_BYTES, data_len - HEAD_BYTES - MAC_BYTES);
    while (bytes_left(&r) > 0 && !r.bad) {
        struct dtls_adoption a = {.exact = true};
        a.id = bytes_get_be64(&r);
        a.epoch = bytes_get_be64(&r);
        size_t len = bytes_get_be16(&r);
        const uint8_t *sealed = bytes_get(&r, len);
        if (!sealed || !session_image_open(image_key, a.id, sealed, len, &image))
            continue;
        a.heard_ms = heard_ms_of(&image, now_ms, wall_ms);
        a.send_limit = d->store ? image.record.send_seq + SESSION_SEND_BLOCK : UINT64_MAX;
        if (a.heard_ms + d->settings.expiry_ms > now_ms && udp_fit_path(d->udp, &image.path) &&
            dtls_adopt(d, &image, &a))
            count++;
    }
    bytes_wipe(image_key, sizeof image_key);
    bytes_wipe(&image, sizeof image);
    return count;
}

long session_file_take(struct dtls *d, const struct server_key *key, const char *path, char *why,
                       size_t why_size)
{
    size_t data_len = 0;
    uint8_t *data = read_file(path, &data_len);
    if (!data && errno == ENOENT)
        return 0;
    if (!data)
        return fail(why, why_size, "cannot read", path);
    if (unlink(path) != 0 || !sync_folder(path)) { /* it would be believed a second time */
        free(data);
        return fail(why, why_size, "cannot remove", path);
    }
    long count = -1;
    if (is_whole(key, data, data_len))
        count = unpack(d, key, data, data_len);
    else
        (void)snprintf(why, why_size, "%s is damaged, or of another server key", path);
    bytes_wipe(data, data_len);
    free(data);
    return count;
}
