/* fact: what can be known of one failing attempt, yes or no, or not at all.
 *
 * A fact is three-valued: seen to be so, seen not to be so, not known. A rule of the diagnosis asks
 * for facts; its evidence is their texts. A counter that a cloud's interface would not show is no
 * fact.
 */
#ifndef COLLECTOR_FACT_H
#define COLLECTOR_FACT_H

#include <stdbool.h>
#include <stdint.h>

enum fact {
    FACT_NONE,

    /* what the source saw: names */
    FACT_NXDOMAIN,
    FACT_NODATA,
    FACT_SERVFAIL,   /* or REFUSED, or an answer that does not parse */
    FACT_DNS_SILENT, /* no answer */
    FACT_DNS_DOWN,   /* the resolver's host refuses, or cannot be reached */
    FACT_DNS_TCP,    /* the answer did not fit, and TCP got none */
    FACT_DANGLING,   /* an SRV record leads to a host without address */

    /* connections */
    FACT_SYN_LOST,     /* no answer to the SYN, no ICMP error */
    FACT_NO_ARP,       /* nobody answers for the address in the source's own subnet */
    FACT_UNREACHABLE,  /* a router says: no such host, no such network */
    FACT_PROHIBITED,   /* somebody says: not allowed */
    FACT_ICMP_PORT,    /* somebody says: port or protocol unreachable */
    FACT_RST,          /* refused by a RST */
    FACT_LOCAL_ROUTE,  /* the source's own routing says no, at once */
    FACT_ROUTE_BROKEN, /* ... or the target's does: it cannot answer */

    /* what came after */
    FACT_MUTE,    /* connected, and not a byte came */
    FACT_STALLED, /* some bytes came, and then none */
    FACT_SLOW,    /* it answered, after the time-out */
    FACT_RESET,   /* connected, then a RST */
    FACT_CLOSED,  /* connected, closed without an answer */
    FACT_GARBLED, /* not the protocol */
    FACT_TLS_EXPIRED,
    FACT_TLS_NOT_YET,
    FACT_TLS_NAME,
    FACT_TLS_UNTRUSTED,
    FACT_TLS_CLIENT,
    FACT_TLS_PLAIN,  /* TLS was asked for, it speaks plain */
    FACT_TLS_WANTED, /* plain was asked for, it speaks TLS */
    FACT_TLS_ERROR,
    FACT_STATUS_5XX,
    FACT_STATUS_AUTH, /* 401, 403, 407 */
    FACT_STATUS_404,
    FACT_STATUS_OTHER,
    FACT_CONTENT,
    FACT_NOT_SERVING,
    FACT_REUSED,     /* the address is another service's task's */
    FACT_PROXY,      /* the task's own proxy was spoken to */
    FACT_PROXY_SAYS, /* a proxy's own page: it has nobody behind it */
    FACT_LEAK,       /* a connection was made that should not be possible */

    /* what more the source knows */
    FACT_SOMETIMES,      /* the same attempt passed at other times */
    FACT_LOSSY,          /* between the two services others get through, after retransmissions */
    FACT_RESOLVER_DEAD,  /* its resolver answered nothing, whatever the name */
    FACT_RESOLVER_ALIEN, /* its resolver knows none of the names, others know them */
    FACT_RETRIED,        /* many of its questions had to be asked again */

    /* what the target's own agent saw */
    FACT_ARRIVED,    /* the SYN */
    FACT_HALF_OPEN,  /* ... and the answer is lost */
    FACT_LISTENS,    /* on that address and port */
    FACT_LOOPBACK,   /* on loopback only */
    FACT_OTHER_PORT, /* on another port instead */
    FACT_SENT_RST,   /* its kernel sent RSTs */
    FACT_QUEUE_FULL, /* the accept queue */
    FACT_QUEUED,     /* connections wait to be accepted */
    FACT_RESENT,     /* its kernel sent segments again */
    FACT_OWN_OK,     /* its own check passes */
    FACT_OWN_ALIKE,  /* its own check fails with the same answer */
    FACT_UNHEALTHY,  /* its container's health check fails */
    FACT_YOUNG,      /* it has just started */

    /* whose the address is */
    FACT_OWNED,      /* a live task of the target */
    FACT_NOBODYS,    /* nobody's, for certain */
    FACT_STRANGE,    /* of nobody known */
    FACT_TASKS_LIVE, /* tasks of the target run */

    /* the pattern */
    FACT_REACHED,        /* other services get there */
    FACT_KIN_REACHED,    /* other tasks of the source's service get there */
    FACT_SIBLINGS_OK,    /* the source reaches other tasks of the target */
    FACT_SOURCE_WORKS,   /* the source reaches other services */
    FACT_OTHERS_RESOLVE, /* others get an answer for the name */
    FACT_SAME_RESOLVER,  /* ... from the same resolver */
    FACT_KIN_HOSTS,      /* others have it in their /etc/hosts */
    FACT_OTHER_NAME,     /* another name of the target resolves */
    FACT_ZONE_RESOLVES,  /* other names of the domain resolve */
    /* what the VPC's configuration lets through */
    FACT_GROUP_OUT,   /* the source's groups let it out */
    FACT_GROUP_IN,    /* the target's let it in */
    FACT_ACL_FORWARD, /* both subnets' ACLs let the SYN pass */
    FACT_ACL_BACK,    /* ... and the answer */
    FACT_ACLS,        /* both of these */
    FACT_BACK_PARTLY, /* an ACL closes some of the ephemeral ports */
    FACT_ROUTED,      /* there are routes, both ways */
    FACT_OPEN,        /* all of it is open */
    FACT_LET_IN,      /* of a leak: a rule lets it in */

    /* what ECS, Cloud Map, Route 53 and the load balancer say */
    FACT_WANTED,            /* the target's desired count is not 0 */
    FACT_CANNOT_PLACE,      /* its events say that a task finds no place */
    FACT_DEPLOY_FAILED,     /* its deployment */
    FACT_DEPLOYING,         /* is in progress, and not all run */
    FACT_IN_GRACE,          /* the target task's health does not count yet */
    FACT_BALANCER_OK,       /* of the load balancer that has the address some target is healthy */
    FACT_ZONE_OK,           /* ... in the zone of the address */
    FACT_REGISTERED,        /* the target's ECS service has a registration for the name */
    FACT_REGISTRATION_FITS, /* ... which fits its task definition */
    FACT_REGISTERS,         /* no event says that ECS fails to register its tasks */
    FACT_REGISTRY_OK,       /* some instance in the registry is healthy */
    FACT_VPC_DNS,           /* the source's VPC has DNS */
    FACT_ZONE_ASSOCIATED,   /* the name's hosted zone is the source's VPC's */
    FACT_RULE_IN_WAY,       /* a resolver rule takes the name elsewhere */
    FACT_SAME_MESH,         /* source and target are in one namespace of Service Connect */
    FACT_MESH_NEWER,        /* the target joined it after the source task started */

    FACT_DEPENDS, /* the target fails to reach a service itself, and all its tasks that do are red
                   */
    FACT_COUNT
};

#define FACT_WORDS ((FACT_COUNT + 63) / 64)

struct facts {
    uint64_t known[FACT_WORDS], yes[FACT_WORDS];
};

enum fact_side { SIDE_SOURCE, SIDE_TARGET, SIDE_FLEET, SIDE_PATTERN, SIDE_CLOUD };

struct fact_info {
    const char *name; /* for tests and logs */
    enum fact_side side;
    const char *yes, *no; /* texts, with the placeholders of phrase.h; NULL: says nothing */
};

extern const struct fact_info fact_infos[FACT_COUNT];

void fact_set(struct facts *facts, enum fact fact, bool yes);
bool fact_is_known(const struct facts *facts, enum fact fact);
bool fact_is(const struct facts *facts, enum fact fact, bool yes); /* known, and so */
const char *fact_side_name(enum fact_side side);

#endif
