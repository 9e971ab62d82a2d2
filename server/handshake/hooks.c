#define MBEDTLS_ALLOW_PRIVATE_ACCESS /* ssl_misc.h below needs the library's own view of its structs */
#include "handshake/hooks.h"

#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <ssl_misc.h> /* private header of the same tree */
#include <string.h>

#include "base/bytes.h"
#include "handshake/prf.h"

/* Code points of extensions: RFC 7250 for 19 and 20, draft-ietf-tls-dtls-connection-id-05 for 254. */
enum { EXT_CLIENT_CERT_TYPE = 19, EXT_SERVER_CERT_TYPE = 20, EXT_DRAFT_CID = 254, CERT_TYPE_RPK = 2 };

#define P256_SPKI_BYTES 91
#define AAD_RFC9146_BYTES (8 + 1 + 1 + 1 + 2 + 8 + SESSION_CID_BYTES + 2)
#define AAD_DRAFT05_BYTES (8 + 1 + 2 + SESSION_CID_BYTES + 1 + 2)

/* The real functions, and ours that the linker puts in their place. */
int __real_mbedtls_ssl_write_handshake_msg_ext(mbedtls_ssl_context *ssl, int update_checksum,
                                               int force_flush);
int __wrap_mbedtls_ssl_write_handshake_msg_ext(mbedtls_ssl_context *ssl, int update_checksum,
                                               int force_flush);
int __real_mbedtls_ssl_write_certificate(mbedtls_ssl_context *ssl);
int __wrap_mbedtls_ssl_write_certificate(mbedtls_ssl_context *ssl);
int __real_mbedtls_ssl_parse_certificate(mbedtls_ssl_context *ssl);
int __wrap_mbedtls_ssl_parse_certificate(mbedtls_ssl_context *ssl);
int __real_mbedtls_cipher_auth_encrypt_ext(mbedtls_cipher_context_t *ctx, const unsigned char *iv,
                                           size_t iv_len, const unsigned char *ad, size_t ad_len,
                                           const unsigned char *input, size_t ilen, unsigned char *output,
                                           size_t output_len, size_t *olen, size_t tag_len);
int __wrap_mbedtls_cipher_auth_encrypt_ext(mbedtls_cipher_context_t *ctx, const unsigned char *iv,
                                           size_t iv_len, const unsigned char *ad, size_t ad_len,
                                           const unsigned char *input, size_t ilen, unsigned char *output,
                                           size_t output_len, size_t *olen, size_t tag_len);
int __real_mbedtls_cipher_auth_decrypt_ext(mbedtls_cipher_context_t *ctx, const unsigned char *iv,
                                           size_t iv_len, const unsigned char *ad, size_t ad_len,
                                           const unsigned char *input, size_t ilen, unsigned char *output,
                                           size_t output_len, size_t *olen, size_t tag_len);
int __wrap_mbedtls_cipher_auth_decrypt_ext(mbedtls_cipher_context_t *ctx, const unsigned char *iv,
                                           size_t iv_len, const unsigned char *ad, size_t ad_len,
                                           const unsigned char *input, size_t ilen, unsigned char *output,
                                           size_t output_len, size_t *olen, size_t tag_len);

int __real_mbedtls_cipher_setkey(mbedtls_cipher_context_t *ctx, const unsigned char *key, int key_bits,
                                 const mbedtls_operation_t operation);
int __wrap_mbedtls_cipher_setkey(mbedtls_cipher_context_t *ctx, const unsigned char *key, int key_bits,
                                 const mbedtls_operation_t operation);

int __real_mbedtls_md_setup(mbedtls_md_context_t *ctx, const mbedtls_md_info_t *md_info, int hmac);
int __wrap_mbedtls_md_setup(mbedtls_md_context_t *ctx, const mbedtls_md_info_t *md_info, int hmac);

static _Thread_local struct hooks *running;

void hooks_attach(mbedtls_ssl_context *ssl, struct hooks *hooks)
{
    hooks->ssl = ssl;
    mbedtls_ssl_set_user_data_p(ssl, hooks);
}

void hooks_enter(struct hooks *hooks)
{
    must(running == NULL);
    running = hooks;
}

void hooks_leave(void)
{
    running = NULL;
}

static bool is_raw_key(const struct hooks *hooks)
{
    return hooks && (hooks->profile == SESSION_DEVICE_OS || hooks->profile == SESSION_RPK);
}

/* Runs after the extensions of the ClientHello were read. mbedTLS does not know extension 254; the caller has
 * read it, and Device OS always sends an empty connection ID of its own (device-protocol 2.2). */
int hooks_on_client_hello(mbedtls_ssl_context *ssl)
{
    struct hooks *hooks = mbedtls_ssl_get_user_data_p(ssl);
    if (!hooks || hooks->profile != SESSION_DEVICE_OS)
        return 0;
    ssl->handshake->cid_in_use = hooks->draft_cid ? MBEDTLS_SSL_CID_ENABLED : MBEDTLS_SSL_CID_DISABLED;
    ssl->handshake->peer_cid_len = 0;
    return 0;
}

/* ServerHello: append the certificate types, and give the connection ID extension the draft's code point. The
 * message is in out_msg without its DTLS fields: 4 bytes header, version 2, random 32, session id, suite 2,
 * compression 1, extensions. */
static int extend_server_hello(mbedtls_ssl_context *ssl, const struct hooks *hooks)
{
    uint8_t *msg = ssl->out_msg;
    size_t length_at = 4 + 2 + 32;
    length_at += 1 + (size_t)msg[length_at] + 2 + 1;
    if (length_at > ssl->out_msglen || ssl->out_msglen + 2 + 10 > MBEDTLS_SSL_OUT_CONTENT_LEN)
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    if (length_at == ssl->out_msglen) { /* no extension so far */
        be16_store(msg + length_at, 0);
        ssl->out_msglen += 2;
    }
    for (size_t at = length_at + 2; hooks->draft_cid && at + 4 <= ssl->out_msglen;
         at += 4u + be16_load(msg + at + 2))
        if (be16_load(msg + at) == MBEDTLS_TLS_EXT_CID)
            be16_store(msg + at, EXT_DRAFT_CID);
    static const uint8_t types[10] = {0, EXT_CLIENT_CERT_TYPE, 0, 1, CERT_TYPE_RPK,
                                      0, EXT_SERVER_CERT_TYPE, 0, 1, CERT_TYPE_RPK};
    memcpy(msg + ssl->out_msglen, types, sizeof types);
    ssl->out_msglen += sizeof types;
    be16_store(msg + length_at, (uint16_t)(ssl->out_msglen - length_at - 2));
    return 0;
}

int __wrap_mbedtls_ssl_write_handshake_msg_ext(mbedtls_ssl_context *ssl, int update_checksum, int force_flush)
{
    const struct hooks *hooks = mbedtls_ssl_get_user_data_p(ssl);
    if (is_raw_key(hooks) && ssl->out_msgtype == MBEDTLS_SSL_MSG_HANDSHAKE &&
        ssl->out_msg[0] == MBEDTLS_SSL_HS_SERVER_HELLO) {
        int ret = extend_server_hello(ssl, hooks);
        if (ret != 0)
            return ret;
    }
    return __real_mbedtls_ssl_write_handshake_msg_ext(ssl, update_checksum, force_flush);
}

/* Device OS holds the server's key already and fails on any Certificate message (device-protocol 2.4): it is
 * left out. A standard RFC 7250 client gets the bare SubjectPublicKeyInfo. */
int __wrap_mbedtls_ssl_write_certificate(mbedtls_ssl_context *ssl)
{
    const struct hooks *hooks = mbedtls_ssl_get_user_data_p(ssl);
    if (!is_raw_key(hooks))
        return __real_mbedtls_ssl_write_certificate(ssl);
    mbedtls_ssl_handshake_increment_state(ssl);
    if (hooks->profile == SESSION_DEVICE_OS)
        return 0;
    size_t key_len = hooks->server_spki_len;
    ssl->out_msg[0] = MBEDTLS_SSL_HS_CERTIFICATE;
    ssl->out_msg[4] = 0;
    be16_store(ssl->out_msg + 5, (uint16_t)key_len);
    memcpy(ssl->out_msg + 7, hooks->server_spki, key_len);
    ssl->out_msglen = 7 + key_len;
    ssl->out_msgtype = MBEDTLS_SSL_MSG_HANDSHAKE;
    return mbedtls_ssl_write_handshake_msg(ssl);
}

static int refuse_certificate(mbedtls_ssl_context *ssl, unsigned char alert, int ret)
{
    (void)mbedtls_ssl_send_alert_message(ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert);
    return ret;
}

/* What mbedTLS keeps of a certificate: without the digest it would not ask for CertificateVerify, which is
 * the whole proof. */
static int remember_peer_key(mbedtls_ssl_context *ssl, const uint8_t *spki, size_t spki_len)
{
    mbedtls_ssl_session *session = ssl->session_negotiate;
    unsigned char *at = (unsigned char *)(uintptr_t)spki;
    mbedtls_pk_init(&ssl->handshake->peer_pubkey);
    if (mbedtls_pk_parse_subpubkey(&at, spki + spki_len, &ssl->handshake->peer_pubkey) != 0 ||
        at != spki + spki_len || !mbedtls_pk_can_do(&ssl->handshake->peer_pubkey, MBEDTLS_PK_ECDSA))
        return MBEDTLS_ERR_SSL_BAD_CERTIFICATE;
    mbedtls_free(session->peer_cert_digest);
    session->peer_cert_digest = mbedtls_calloc(1, MBEDTLS_SSL_PEER_CERT_DIGEST_DFL_LEN);
    if (!session->peer_cert_digest)
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    session->peer_cert_digest_type = MBEDTLS_SSL_PEER_CERT_DIGEST_DFL_TYPE;
    session->peer_cert_digest_len = MBEDTLS_SSL_PEER_CERT_DIGEST_DFL_LEN;
    session->verify_result = 0;
    return mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_SSL_PEER_CERT_DIGEST_DFL_TYPE), spki, spki_len,
                      session->peer_cert_digest);
}

/* RFC 7250 3: the Certificate message of a raw public key is a 3-byte length and the SubjectPublicKeyInfo. */
int __wrap_mbedtls_ssl_parse_certificate(mbedtls_ssl_context *ssl)
{
    struct hooks *hooks = mbedtls_ssl_get_user_data_p(ssl);
    if (!is_raw_key(hooks))
        return __real_mbedtls_ssl_parse_certificate(ssl);
    int ret = mbedtls_ssl_read_record(ssl, 1);
    if (ret != 0)
        return ret;
    if (ssl->in_msgtype != MBEDTLS_SSL_MSG_HANDSHAKE || ssl->in_msg[0] != MBEDTLS_SSL_HS_CERTIFICATE)
        return refuse_certificate(ssl, MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE,
                                  MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE);
    struct bytes_reader r;
    size_t header = mbedtls_ssl_hs_hdr_len(ssl);
    bytes_reader_init(&r, ssl->in_msg + header, ssl->in_hslen - header);
    uint32_t key_len = bytes_get_be24(&r);
    const uint8_t *spki = bytes_get(&r, key_len);
    if (r.bad || bytes_left(&r) != 0)
        return refuse_certificate(ssl, MBEDTLS_SSL_ALERT_MSG_DECODE_ERROR, MBEDTLS_ERR_SSL_DECODE_ERROR);
    if (key_len == 0)
        return refuse_certificate(ssl, MBEDTLS_SSL_ALERT_MSG_NO_CERT, MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE);
    ret =
        key_len == P256_SPKI_BYTES ? remember_peer_key(ssl, spki, key_len) : MBEDTLS_ERR_SSL_BAD_CERTIFICATE;
    if (ret != 0)
        return refuse_certificate(ssl, MBEDTLS_SSL_ALERT_MSG_BAD_CERT, ret);
    memcpy(hooks->peer_spki, spki, key_len);
    hooks->peer_spki_len = key_len;
    mbedtls_ssl_handshake_increment_state(ssl);
    return 0;
}

/* Turns RFC 9146 additional data into the draft's for the records of the handshake (the Finished messages):
 *   ff*8, 25, CID length, 25, version, epoch+sequence, CID, length   ->   epoch+sequence, 25, version, CID,
 * CID length, length Returns the data to use. Records without connection ID are alike in both. */
static const unsigned char *draft_data(const unsigned char *ad, size_t *ad_len,
                                       uint8_t out[AAD_DRAFT05_BYTES])
{
    if (!running || !running->draft_cid || *ad_len != AAD_RFC9146_BYTES)
        return ad;
    const uint8_t *version = ad + 11, *epoch_seq = ad + 13, *cid = ad + 21, *length = cid + SESSION_CID_BYTES;
    struct bytes_writer w;
    bytes_writer_init(&w, out, AAD_DRAFT05_BYTES);
    bytes_put(&w, epoch_seq, 8);
    bytes_put_u8(&w, RECORD_CID);
    bytes_put(&w, version, 2);
    bytes_put(&w, cid, SESSION_CID_BYTES);
    bytes_put_u8(&w, SESSION_CID_BYTES);
    bytes_put(&w, length, 2);
    must(!w.bad);
    *ad_len = AAD_DRAFT05_BYTES;
    return out;
}

int __wrap_mbedtls_cipher_auth_encrypt_ext(mbedtls_cipher_context_t *ctx, const unsigned char *iv,
                                           size_t iv_len, const unsigned char *ad, size_t ad_len,
                                           const unsigned char *input, size_t ilen, unsigned char *output,
                                           size_t output_len, size_t *olen, size_t tag_len)
{
    uint8_t draft[AAD_DRAFT05_BYTES];
    const unsigned char *data = draft_data(ad, &ad_len, draft);
    return __real_mbedtls_cipher_auth_encrypt_ext(ctx, iv, iv_len, data, ad_len, input, ilen, output,
                                                  output_len, olen, tag_len);
}

int __wrap_mbedtls_cipher_auth_decrypt_ext(mbedtls_cipher_context_t *ctx, const unsigned char *iv,
                                           size_t iv_len, const unsigned char *ad, size_t ad_len,
                                           const unsigned char *input, size_t ilen, unsigned char *output,
                                           size_t output_len, size_t *olen, size_t tag_len)
{
    uint8_t draft[AAD_DRAFT05_BYTES];
    const unsigned char *data = draft_data(ad, &ad_len, draft);
    return __real_mbedtls_cipher_auth_decrypt_ext(ctx, iv, iv_len, data, ad_len, input, ilen, output,
                                                  output_len, olen, tag_len);
}

/* The keys of the handshake's records are what our own record layer goes on with: taken here, the key block
 * need not be derived once more. A mode of operation sets its block cipher's key by the same function. */
int __wrap_mbedtls_cipher_setkey(mbedtls_cipher_context_t *ctx, const unsigned char *key, int key_bits,
                                 const mbedtls_operation_t operation)
{
    const mbedtls_ssl_transform *transform = running ? running->ssl->transform_negotiate : NULL;
    if (transform && key_bits == 8 * (int)sizeof running->read_key) {
        if (ctx == &transform->cipher_ctx_dec) {
            memcpy(running->read_key, key, sizeof running->read_key);
            running->has_read_key = true;
        } else if (ctx == &transform->cipher_ctx_enc) {
            memcpy(running->write_key, key, sizeof running->write_key);
            running->has_write_key = true;
        }
    }
    return __real_mbedtls_cipher_setkey(ctx, key, key_bits, operation);
}

/* mbedTLS chooses its PRF in the call that also uses it, first for the master secret, and begins that with a
 * context for an HMAC: from the next use on, which is the key block, it is ours. */
int __wrap_mbedtls_md_setup(mbedtls_md_context_t *ctx, const mbedtls_md_info_t *md_info, int hmac)
{
    mbedtls_ssl_handshake_params *handshake = running ? running->ssl->handshake : NULL;
    if (hmac && handshake && handshake->tls_prf)
        handshake->tls_prf = prf_tls12;
    return __real_mbedtls_md_setup(ctx, md_info, hmac);
}
