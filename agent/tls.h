/* tls: a TLS client session over a connected socket (RFC 8446), and what it says of the peer.
 *
 * The handshake goes on whatever the certificate is: the verdict on it is a fact like the others
 * (struct tls_facts), and the probe's to judge. No session is ever offered again: each probe sees a
 * full handshake and the certificate.
 */
#ifndef AGENT_TLS_H
#define AGENT_TLS_H

#include "common/error.h"
#include "proto/outcome.h"
#include "proto/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Files in PEM, or NULL. */
struct tls_settings {
    const char *ca;                /* trusted besides the system's CAs */
    const char *certificate, *key; /* what we show when a server asks; both or none */
};

struct tls; /* trust and identity, shared by all sessions */

/* With no file given nothing is loaded before the first session. NULL with `err`. */
struct tls *tls_new(const struct tls_settings *settings, struct error *err);
struct tls *tls_free(struct tls *tls);

struct tls_session;

enum tls_result { TLS_OK, TLS_WANT_READ, TLS_WANT_WRITE, TLS_END, TLS_FAILED };

/* `server`: the name to ask for (SNI) and to verify, or an address; `alpn`: "h2,http/1.1" or "".
 * NULL when OpenSSL has no memory or no context. The descriptor stays the caller's. */
struct tls_session *tls_open(struct tls *tls, int fd, const char *server, const char *alpn);
struct tls_session *tls_close(struct tls_session *session); /* accepts NULL */

enum tls_result tls_handshake(struct tls_session *session);
enum tls_result tls_read(struct tls_session *session, void *data, size_t size, size_t *ret_length);
enum tls_result tls_write(struct tls_session *session, const void *data, size_t size,
                          size_t *ret_length);

/* After TLS_FAILED: what it was; `*ret_error` an errno or 0; `detail` OpenSSL's words. */
enum proto_outcome tls_failure(const struct tls_session *session, int *ret_error, char *detail,
                               size_t size);

/* TLS 1.3: a server may refuse our certificate, or its absence, after our side of the handshake is
 * over. True while that is open; a session ticket or data settles it. */
bool tls_is_unsettled(const struct tls_session *session);
/* The server asked for a client certificate. */
bool tls_was_asked(const struct tls_session *session);

struct tls_facts {
    char version[16], alpn[64];
    bool is_resumed;
    long verify;                  /* X509_V_ERR_...; 0: chain and name are good */
    int64_t valid_days;           /* until the leaf expires; negative: since */
    char *chain[PROTO_CHAIN_MAX]; /* subjects as sent, from the leaf up; owned */
    size_t chain_count;
};

/* After the handshake. Freed with tls_facts_free. */
struct tls_facts *tls_take_facts(const struct tls_session *session);
struct tls_facts *tls_facts_free(struct tls_facts *facts); /* accepts NULL */

/* OUTCOME_OK, or what a verify result means; `*ret_words` OpenSSL's words for it. */
enum proto_outcome tls_judge(long verify, const char **ret_words);

/* Has OpenSSL take its memory from common/mem, so that it is accounted for. Before any other use.
 */
void tls_account_memory(void);

#endif
