/* outcome: how one attempt ended, and whose fault that can be at all.
 *
 * The names are on the wire and in the store: they may be added to, never renamed.
 */
#ifndef PROTO_OUTCOME_H
#define PROTO_OUTCOME_H

enum proto_phase {
    PHASE_RESOLVE,  /* name -> addresses */
    PHASE_CONNECT,  /* TCP handshake */
    PHASE_TLS,      /* TLS handshake */
    PHASE_EXCHANGE, /* request and answer */
    PHASE_COUNT
};

enum proto_outcome {
    OUTCOME_UNKNOWN, /* a name that this version does not know: counted as our own fault */

    OUTCOME_OK,

    /* resolve */
    OUTCOME_NXDOMAIN,        /* the server says: no such name (RFC 1035 rcode 3) */
    OUTCOME_NODATA,          /* the name exists, without this record type (RFC 2308) */
    OUTCOME_SERVFAIL,        /* rcode 2 */
    OUTCOME_DNS_REFUSED,     /* rcode 5 */
    OUTCOME_DNS_ERROR,       /* any other rcode, or an answer that does not parse */
    OUTCOME_DNS_TRUNCATED,   /* the answer did not fit into a datagram; TCP is next */
    OUTCOME_DNS_TIMEOUT,     /* no server answered in time */
    OUTCOME_DNS_UNREACHABLE, /* the resolver's host refused or could not be reached */

    /* connect and later */
    OUTCOME_REFUSED,     /* ECONNREFUSED: a RST, or ICMP port unreachable */
    OUTCOME_TIMEOUT,     /* the deadline passed; `phase` says waiting for what */
    OUTCOME_UNREACHABLE, /* EHOSTUNREACH, ENETUNREACH and what ICMP errors map to */
    OUTCOME_RESET,       /* ECONNRESET after the connection was up */
    OUTCOME_CLOSED,      /* the peer closed before it answered */
    OUTCOME_BAD_REPLY,   /* it answered, not in the protocol that was asked */
    OUTCOME_BAD_STATUS,  /* HTTP status outside the expected set */
    OUTCOME_BAD_CONTENT, /* the answer does not hold what the check wants */
    OUTCOME_NOT_SERVING, /* it answered, and says that it does not serve (gRPC NOT_SERVING, a
                            database that starts up or is full) */
    OUTCOME_REUSED,      /* it answers, but the address is another service's: the collector's word,
                            from who said hello with it */
    OUTCOME_LOCAL_ROUTE, /* the source's own routing says no: EINVAL, EACCES, ENETUNREACH at once */

    /* tls (the verify results are X509_V_ERR_ of OpenSSL, in the probe's row) */
    OUTCOME_TLS_EXPIRED,     /* the certificate's, or its issuer's, time is over */
    OUTCOME_TLS_NOT_YET,     /* not valid yet */
    OUTCOME_TLS_NAME,        /* issued for another name */
    OUTCOME_TLS_UNTRUSTED,   /* no chain to a CA that is trusted here */
    OUTCOME_TLS_CLIENT_CERT, /* the server wants a client certificate, or another one */
    OUTCOME_TLS_PLAIN,       /* TLS was asked for, the peer speaks plain */
    OUTCOME_TLS_EXPECTED,    /* plain was asked for, the peer speaks TLS */
    OUTCOME_TLS_ERROR,       /* an alert or another failed handshake; `detail` says which */

    /* no verdict about the network */
    OUTCOME_PROXY,   /* connected, but only to the task's own proxy (Service Connect) */
    OUTCOME_SELF,    /* the endpoint is this very task (the diagonal probes siblings only) */
    OUTCOME_SKIPPED, /* an address family without a global source address here */
    OUTCOME_SPARED,  /* left alone: it accepts and never answers, as others saw */

    /* our own fault, or our own limits */
    OUTCOME_NOT_ALLOWED, /* outside the agent's allowed networks or suffixes */
    OUTCOME_OVER_BUDGET, /* a cap of the agent refused it */
    OUTCOME_UNSUPPORTED, /* this agent cannot do that check */
    OUTCOME_LOCAL_ERROR, /* no descriptor, no port, no memory */
    OUTCOME_COUNT
};

enum outcome_class {
    OUTCOME_IS_PASS,    /* the check passed */
    OUTCOME_IS_FAILURE, /* evidence about network, name or target */
    OUTCOME_IS_NEUTRAL, /* nothing to judge */
    OUTCOME_IS_OURS     /* a fault or limit of canreach: probe-error */
};

const char *phase_name(enum proto_phase phase);
const char *outcome_name(enum proto_outcome outcome);
enum proto_outcome outcome_from_name(const char *name); /* OUTCOME_UNKNOWN if it is none */
enum outcome_class outcome_class(enum proto_outcome outcome);

#endif
