#include "proto/outcome.h"

#include "common/text.h"

#include <string.h>

static const char *const phases[PHASE_COUNT] = {"resolve", "connect", "tls", "exchange"};

static const struct {
    const char *name;
    enum outcome_class class;
} outcomes[OUTCOME_COUNT] = {
    [OUTCOME_UNKNOWN] = {"unknown", OUTCOME_IS_OURS},
    [OUTCOME_OK] = {"ok", OUTCOME_IS_PASS},
    [OUTCOME_NXDOMAIN] = {"nxdomain", OUTCOME_IS_FAILURE},
    [OUTCOME_NODATA] = {"nodata", OUTCOME_IS_FAILURE},
    [OUTCOME_SERVFAIL] = {"servfail", OUTCOME_IS_FAILURE},
    [OUTCOME_DNS_REFUSED] = {"dns-refused", OUTCOME_IS_FAILURE},
    [OUTCOME_DNS_ERROR] = {"dns-error", OUTCOME_IS_FAILURE},
    [OUTCOME_DNS_TRUNCATED] = {"dns-truncated", OUTCOME_IS_FAILURE},
    [OUTCOME_DNS_TIMEOUT] = {"dns-timeout", OUTCOME_IS_FAILURE},
    [OUTCOME_DNS_UNREACHABLE] = {"dns-unreachable", OUTCOME_IS_FAILURE},
    [OUTCOME_REFUSED] = {"refused", OUTCOME_IS_FAILURE},
    [OUTCOME_TIMEOUT] = {"timeout", OUTCOME_IS_FAILURE},
    [OUTCOME_UNREACHABLE] = {"unreachable", OUTCOME_IS_FAILURE},
    [OUTCOME_RESET] = {"reset", OUTCOME_IS_FAILURE},
    [OUTCOME_CLOSED] = {"closed", OUTCOME_IS_FAILURE},
    [OUTCOME_BAD_REPLY] = {"bad-reply", OUTCOME_IS_FAILURE},
    [OUTCOME_BAD_STATUS] = {"bad-status", OUTCOME_IS_FAILURE},
    [OUTCOME_BAD_CONTENT] = {"bad-content", OUTCOME_IS_FAILURE},
    [OUTCOME_NOT_SERVING] = {"not-serving", OUTCOME_IS_FAILURE},
    [OUTCOME_REUSED] = {"reused-address", OUTCOME_IS_FAILURE},
    [OUTCOME_LOCAL_ROUTE] = {"local-route", OUTCOME_IS_FAILURE},
    [OUTCOME_TLS_EXPIRED] = {"tls-expired", OUTCOME_IS_FAILURE},
    [OUTCOME_TLS_NOT_YET] = {"tls-not-yet-valid", OUTCOME_IS_FAILURE},
    [OUTCOME_TLS_NAME] = {"tls-name", OUTCOME_IS_FAILURE},
    [OUTCOME_TLS_UNTRUSTED] = {"tls-untrusted", OUTCOME_IS_FAILURE},
    [OUTCOME_TLS_CLIENT_CERT] = {"tls-client-cert", OUTCOME_IS_FAILURE},
    [OUTCOME_TLS_PLAIN] = {"tls-plain", OUTCOME_IS_FAILURE},
    [OUTCOME_TLS_EXPECTED] = {"tls-expected", OUTCOME_IS_FAILURE},
    [OUTCOME_TLS_ERROR] = {"tls-error", OUTCOME_IS_FAILURE},
    [OUTCOME_PROXY] = {"proxy-only", OUTCOME_IS_NEUTRAL},
    [OUTCOME_SELF] = {"self", OUTCOME_IS_NEUTRAL},
    [OUTCOME_SKIPPED] = {"skipped", OUTCOME_IS_NEUTRAL},
    [OUTCOME_SPARED] = {"spared", OUTCOME_IS_NEUTRAL},
    [OUTCOME_NOT_ALLOWED] = {"not-allowed", OUTCOME_IS_OURS},
    [OUTCOME_OVER_BUDGET] = {"over-budget", OUTCOME_IS_OURS},
    [OUTCOME_UNSUPPORTED] = {"unsupported", OUTCOME_IS_OURS},
    [OUTCOME_LOCAL_ERROR] = {"local-error", OUTCOME_IS_OURS},
};

const char *phase_name(enum proto_phase phase)
{
    return phase < PHASE_COUNT ? phases[phase] : "unknown";
}

const char *outcome_name(enum proto_outcome outcome)
{
    return outcomes[outcome < OUTCOME_COUNT ? outcome : OUTCOME_UNKNOWN].name;
}

enum proto_outcome outcome_from_name(const char *name)
{
    for (size_t i = 0; i < OUTCOME_COUNT; i++)
        if (strcmp(outcomes[i].name, name) == 0)
            return (enum proto_outcome)i;
    return OUTCOME_UNKNOWN;
}

enum outcome_class outcome_class(enum proto_outcome outcome)
{
    return outcomes[outcome < OUTCOME_COUNT ? outcome : OUTCOME_UNKNOWN].class;
}
