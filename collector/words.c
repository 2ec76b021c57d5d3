#include "collector/words.h"

#include <string.h>

const char *words_errno(int64_t error)
{
    const char *name = error > 0 ? strerrorname_np((int)error) : "";

    return name ? name : "";
}

void words_put(enum proto_phase phase, enum proto_outcome outcome, int64_t error, int64_t status,
               struct buf *out)
{
    static const char *const words[OUTCOME_COUNT] = {
        [OUTCOME_UNKNOWN] = "an outcome that this collector does not know (newer agent)",
        [OUTCOME_OK] = "ok",
        [OUTCOME_NXDOMAIN] = "the name does not exist (NXDOMAIN)",
        [OUTCOME_NODATA] = "the name has no record of that type (NODATA)",
        [OUTCOME_SERVFAIL] = "the resolver failed (SERVFAIL)",
        [OUTCOME_DNS_REFUSED] = "the resolver refused the query (REFUSED)",
        [OUTCOME_DNS_ERROR] = "the resolver's answer was an error or unreadable",
        [OUTCOME_DNS_TRUNCATED] = "the resolver's answer was cut off",
        [OUTCOME_DNS_TIMEOUT] = "the resolver did not answer",
        [OUTCOME_DNS_UNREACHABLE] = "the resolver could not be reached",
        [OUTCOME_REFUSED] = "connection refused",
        [OUTCOME_UNREACHABLE] = "unreachable",
        [OUTCOME_RESET] = "connection reset",
        [OUTCOME_CLOSED] = "connected; closed without an answer",
        [OUTCOME_BAD_REPLY] = "the answer was not the expected protocol",
        [OUTCOME_BAD_CONTENT] = "the answer does not hold what is expected",
        [OUTCOME_NOT_SERVING] = "it answers, and says that it does not serve",
        [OUTCOME_TLS_EXPIRED] = "the certificate has expired",
        [OUTCOME_TLS_NOT_YET] = "the certificate is not valid yet",
        [OUTCOME_TLS_NAME] = "the certificate is for another name",
        [OUTCOME_TLS_UNTRUSTED] = "the certificate comes from a CA that is not trusted here",
        [OUTCOME_TLS_CLIENT_CERT] = "the server wants a client certificate, or another one",
        [OUTCOME_TLS_PLAIN] = "the peer does not speak TLS",
        [OUTCOME_TLS_EXPECTED] = "the peer expects TLS",
        [OUTCOME_TLS_ERROR] = "the TLS handshake failed",
        [OUTCOME_REUSED] = "it answers, but the address belongs to another service's task",
        [OUTCOME_SPARED] = "left alone: it accepts connections and never answers",
        [OUTCOME_PROXY] = "only the task's own proxy answered",
        [OUTCOME_LOCAL_ROUTE] = "the source's own routing or firewall refused",
        [OUTCOME_SELF] = "its own address",
        [OUTCOME_SKIPPED] = "address family without a source address",
        [OUTCOME_NOT_ALLOWED] = "outside what the agent may reach (--allow-net, --allow-suffix)",
        [OUTCOME_OVER_BUDGET] = "over the agent's limits",
        [OUTCOME_UNSUPPORTED] = "the agent cannot do this check",
        [OUTCOME_LOCAL_ERROR] = "the agent could not try",
    };

    if (outcome == OUTCOME_TIMEOUT)
        buf_puts(out, phase == PHASE_CONNECT ? "no answer to the connection attempt (time-out)"
                                             : "connected; no answer in time");
    else if (outcome == OUTCOME_BAD_STATUS)
        buf_printf(out, "HTTP %lld", (long long)status);
    else
        buf_puts(out, words[outcome < OUTCOME_COUNT ? outcome : OUTCOME_UNKNOWN]);
    if (error && outcome != OUTCOME_REFUSED && outcome != OUTCOME_TIMEOUT)
        buf_printf(out, " (%s)", words_errno(error));
}
