#include "agent/tls.h"

#include "common/mem.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

struct tls {
    struct tls_settings settings;
    SSL_CTX *context;
};

struct tls_session {
    SSL *ssl;
    bool was_asked;  /* for a client certificate */
    bool has_ticket; /* or data: the server took our side of the handshake */
    int saved_errno; /* of the failed call */
    int ssl_error;
    unsigned long queue_error;
};

static void *lib_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return size ? mem_lib_malloc(size) : NULL;
}

static void *lib_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size)
        return mem_lib_realloc(old, size);
    mem_free(old);
    return NULL;
}

static void lib_free(void *pointer, const char *file, int line)
{
    (void)file;
    (void)line;
    mem_free(pointer);
}

void tls_account_memory(void)
{
    CRYPTO_set_mem_functions(lib_malloc, lib_realloc, lib_free);
}

/* ---- the context ---- */

static int on_certificate_wanted(SSL *ssl, void *ctx)
{
    struct tls_session *session = SSL_get_app_data(ssl);

    (void)ctx;
    session->was_asked = true;
    return 1;
}

static int on_ticket(SSL *ssl, SSL_SESSION *ticket)
{
    struct tls_session *session = SSL_get_app_data(ssl);

    (void)ticket;
    session->has_ticket = true;
    return 0; /* not kept */
}

static int load_files(SSL_CTX *context, const struct tls_settings *settings, struct error *err)
{
    /* The directory of the system's CAs: looked up by hash when one is needed. A bundle would be
     * read whole, 50 ms and 0.9 MiB. */
    SSL_CTX_set_default_verify_dir(context);
    if (settings->ca && !SSL_CTX_load_verify_file(context, settings->ca))
        return error_set(err, -EINVAL, "--tls-ca: no certificate in %s: %s", settings->ca,
                         ERR_reason_error_string(ERR_peek_error()));
    if (!settings->certificate)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(context, settings->certificate) != 1)
        return error_set(err, -EINVAL, "--tls-cert: no certificate in %s: %s",
                         settings->certificate, ERR_reason_error_string(ERR_peek_error()));
    if (SSL_CTX_use_PrivateKey_file(context, settings->key, SSL_FILETYPE_PEM) != 1)
        return error_set(err, -EINVAL, "--tls-key: no key for that certificate in %s: %s",
                         settings->key, ERR_reason_error_string(ERR_peek_error()));
    return 0;
}

static int make_context(struct tls *tls, struct error *err)
{
    tls->context = SSL_CTX_new(TLS_client_method());
    if (!tls->context)
        return error_set(err, -ENOMEM, "OpenSSL does not start");
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_NONE, NULL); /* judged by us, after the fact */
    SSL_CTX_set_mode(tls->context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(tls->context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls->context, on_ticket);
    SSL_CTX_set_cert_cb(tls->context, on_certificate_wanted, NULL);
    return load_files(tls->context, &tls->settings, err);
}

struct tls *tls_new(const struct tls_settings *settings, struct error *err)
{
    struct tls *tls = mem_alloc(sizeof(*tls));

    tls->settings = *settings;
    if (!settings->certificate != !settings->key) {
        error_set(err, -EINVAL, "--tls-cert and --tls-key belong together: one is missing");
        return tls_free(tls);
    }
    if ((settings->ca || settings->certificate) && make_context(tls, err) < 0) {
        ERR_clear_error();
        return tls_free(tls);
    }
    return tls;
}

struct tls *tls_free(struct tls *tls)
{
    if (!tls)
        return NULL;
    SSL_CTX_free(tls->context);
    mem_free(tls);
    return NULL;
}

/* ---- a session ---- */

/* "h2,http/1.1" as the wire has it: a length before each (RFC 7301 section 3.1). */
static void offer_protocols(SSL *ssl, const char *alpn)
{
    unsigned char wire[128];
    unsigned used = 0;

    while (*alpn) {
        size_t length = strcspn(alpn, ",");
        if (!length || length > 255 || used + length + 1 > sizeof(wire))
            return;
        wire[used++] = (unsigned char)length;
        memcpy(wire + used, alpn, length);
        used += (unsigned)length;
        alpn += length + (alpn[length] == ',');
    }
    if (used)
        SSL_set_alpn_protos(ssl, wire, used);
}

static bool is_address(const char *text)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

struct tls_session *tls_open(struct tls *tls, int fd, const char *server, const char *alpn)
{
    struct tls_session *session;
    SSL *ssl;

    if (!tls->context && make_context(tls, NULL) < 0)
        return NULL;
    ssl = SSL_new(tls->context);
    if (!ssl)
        return NULL;
    session = mem_alloc(sizeof(*session));
    session->ssl = ssl;
    SSL_set_app_data(ssl, session);
    if (is_address(server)) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server);
    } else {
        SSL_set_tlsext_host_name(ssl, server);
        SSL_set1_host(ssl, server);
    }
    offer_protocols(ssl, alpn);
    if (!SSL_set_fd(ssl, fd))
        return tls_close(session);
    SSL_set_connect_state(ssl);
    return session;
}

struct tls_session *tls_close(struct tls_session *session)
{
    if (!session)
        return NULL;
    /* A word of farewell, not waited for: servers log a handshake that seems cut off. */
    if (SSL_is_init_finished(session->ssl) && SSL_shutdown(session->ssl) < 0)
        ERR_clear_error();
    SSL_free(session->ssl);
    mem_free(session);
    return NULL;
}

static enum tls_result result_of(struct tls_session *session, int r)
{
    if (r > 0)
        return TLS_OK;
    session->saved_errno = errno;
    session->ssl_error = SSL_get_error(session->ssl, r);
    session->queue_error = ERR_peek_error();
    ERR_clear_error();
    switch (session->ssl_error) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_END;
    case SSL_ERROR_SSL:
        return ERR_GET_REASON(session->queue_error) == SSL_R_UNEXPECTED_EOF_WHILE_READING
                   ? TLS_END
                   : TLS_FAILED;
    default:
        return TLS_FAILED;
    }
}

enum tls_result tls_handshake(struct tls_session *session)
{
    errno = 0;
    return result_of(session, SSL_do_handshake(session->ssl));
}

enum tls_result tls_read(struct tls_session *session, void *data, size_t size, size_t *ret_length)
{
    enum tls_result result;

    errno = 0;
    *ret_length = 0;
    result = result_of(session, SSL_read_ex(session->ssl, data, size, ret_length));
    session->has_ticket |= result == TLS_OK;
    return result;
}

enum tls_result tls_write(struct tls_session *session, const void *data, size_t size,
                          size_t *ret_length)
{
    errno = 0;
    *ret_length = 0;
    return result_of(session, SSL_write_ex(session->ssl, data, size, ret_length));
}

bool tls_is_unsettled(const struct tls_session *session)
{
    return SSL_version(session->ssl) >= TLS1_3_VERSION && !session->has_ticket;
}

bool tls_was_asked(const struct tls_session *session)
{
    return session->was_asked;
}

/* ---- failures ---- */

/* Alerts that speak of the certificate we showed, or did not (RFC 8446 section 6.2). */
static bool is_about_our_certificate(int alert)
{
    switch (alert) {
    case SSL_AD_HANDSHAKE_FAILURE:
    case SSL_AD_NO_CERTIFICATE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

enum proto_outcome tls_failure(const struct tls_session *session, int *ret_error, char *detail,
                               size_t size)
{
    int reason = ERR_GET_REASON(session->queue_error);
    const char *words = ERR_reason_error_string(session->queue_error);
    int alert = reason - SSL_AD_REASON_OFFSET;

    *ret_error = session->ssl_error == SSL_ERROR_SYSCALL ? session->saved_errno : 0;
    if (session->ssl_error == SSL_ERROR_SYSCALL) {
        detail[0] = '\0';
        return OUTCOME_RESET;
    }
    snprintf(detail, size, "%s", words ? words : "");
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_RECORD_TOO_SMALL:
        return OUTCOME_TLS_PLAIN;
    default:
        return session->was_asked && alert > 0 && is_about_our_certificate(alert)
                   ? OUTCOME_TLS_CLIENT_CERT
                   : OUTCOME_TLS_ERROR;
    }
}

enum proto_outcome tls_judge(long verify, const char **ret_words)
{
    *ret_words = verify == X509_V_OK ? "" : X509_verify_cert_error_string(verify);
    switch (verify) {
    case X509_V_OK:
        return OUTCOME_OK;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return OUTCOME_TLS_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return OUTCOME_TLS_NOT_YET;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return OUTCOME_TLS_NAME;
    default:
        return OUTCOME_TLS_UNTRUSTED;
    }
}

/* ---- facts ---- */

static char *subject_of(X509 *certificate)
{
    BIO *text = BIO_new(BIO_s_mem());
    char *data, *copy = NULL;
    long length;

    if (!text)
        return mem_strdup("?");
    X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_ONELINE); /* ASCII */
    length = BIO_get_mem_data(text, &data);
    if (length > PROTO_TEXT_MAX)
        length = PROTO_TEXT_MAX;
    copy = mem_alloc((size_t)length + 1);
    memcpy(copy, data, (size_t)length);
    BIO_free(text);
    return copy;
}

struct tls_facts *tls_take_facts(const struct tls_session *session)
{
    struct tls_facts *facts = mem_alloc(sizeof(*facts));
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(session->ssl);
    X509 *leaf = SSL_get0_peer_certificate(session->ssl);
    const unsigned char *alpn = NULL;
    unsigned alpn_length = 0;
    int days = 0, seconds = 0;

    text_copy(facts->version, sizeof(facts->version), SSL_get_version(session->ssl));
    SSL_get0_alpn_selected(session->ssl, &alpn, &alpn_length);
    /* OpenSSL does not hold the server to what we offered. */
    for (unsigned i = 0; i < alpn_length && i < sizeof(facts->alpn) - 1; i++)
        facts->alpn[i] = (char)(alpn[i] > 0x20 && alpn[i] < 0x7f ? alpn[i] : '?');
    facts->is_resumed = SSL_session_reused(session->ssl);
    facts->verify = SSL_get_verify_result(session->ssl);
    if (leaf && ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(leaf)))
        facts->valid_days = days ? days : seconds < 0 ? -1 : 0;
    if (facts->valid_days > PROTO_DAYS_MAX || facts->valid_days < -PROTO_DAYS_MAX)
        facts->valid_days = facts->valid_days > 0 ? PROTO_DAYS_MAX : -PROTO_DAYS_MAX;
    for (int i = 0; i < sk_X509_num(chain) && facts->chain_count < PROTO_CHAIN_MAX; i++)
        facts->chain[facts->chain_count++] = subject_of(sk_X509_value(chain, i));
    return facts;
}

struct tls_facts *tls_facts_free(struct tls_facts *facts)
{
    if (!facts)
        return NULL;
    for (size_t i = 0; i < facts->chain_count; i++)
        mem_free(facts->chain[i]);
    mem_free(facts);
    return NULL;
}
