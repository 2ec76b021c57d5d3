#include "collector/fact.h"

#include <stddef.h>

#define FACT(fact, side, yes, no) [FACT_##fact] = {#fact, SIDE_##side, yes, no}

const struct fact_info fact_infos[FACT_COUNT] = {
    [FACT_NONE] = {"NONE", SIDE_SOURCE, NULL, NULL},
    FACT(NXDOMAIN, SOURCE, "{s} asks {resolver} for {name}: no such name (NXDOMAIN)", NULL),
    FACT(NODATA, SOURCE, "{s} asks {resolver} for {name}: no record of that type (NODATA)", NULL),
    FACT(SERVFAIL, SOURCE, "{s} asks {resolver} for {name}: {observed}", NULL),
    FACT(DNS_SILENT, SOURCE, "{s} asks {resolver} for {name}: no answer", NULL),
    FACT(DNS_DOWN, SOURCE, "{s} cannot reach its resolver {resolver}", NULL),
    FACT(DNS_TCP, SOURCE,
         "the answer for {name} does not fit into a datagram, and TCP to {resolver} gets none",
         NULL),
    FACT(DANGLING, SOURCE, "{name} leads to a host that has no address", NULL),
    FACT(SYN_LOST, SOURCE, "{s} gets no answer to its SYN from {at}, and no ICMP error", NULL),
    FACT(NO_ARP, SOURCE, "nobody answers for {at} in {s}'s own subnet (no ARP answer)", NULL),
    FACT(UNREACHABLE, SOURCE, "{icmp} for {at}: unreachable", NULL),
    FACT(PROHIBITED, SOURCE, "{icmp} for {at}: prohibited by a filter", NULL),
    FACT(ICMP_PORT, SOURCE, "{icmp} for {at}: port or protocol unreachable, not by a RST", NULL),
    FACT(RST, SOURCE, "{s} is refused at {at} by a RST, at once", NULL),
    FACT(LOCAL_ROUTE, SOURCE, "{s}'s own kernel refuses to send to {at}: {observed}", NULL),
    FACT(ROUTE_BROKEN, PATTERN,
         "{t} cannot send to the other services itself: its own routes say no", NULL),
    FACT(MUTE, SOURCE, "{s} connects to {at}, and not a byte comes back", NULL),
    FACT(STALLED, SOURCE, "{s} connects to {at}, a part of the answer comes, and then nothing",
         NULL),
    FACT(SLOW, SOURCE, "{at} answers {s} after {late}, beyond the time-out of {timeout}", NULL),
    FACT(RESET, SOURCE, "{s} connects to {at}, and is reset before an answer", NULL),
    FACT(CLOSED, SOURCE, "{at} closes {s}'s connection without an answer", NULL),
    FACT(GARBLED, SOURCE, "{at} answers {s} in another protocol than {check}: {observed}", NULL),
    FACT(TLS_EXPIRED, SOURCE, "the certificate at {at} expired {days} days ago", NULL),
    FACT(TLS_NOT_YET, SOURCE, "the certificate at {at} is not valid yet", NULL),
    FACT(TLS_NAME, SOURCE, "the certificate at {at} is for another name than {name}", NULL),
    FACT(TLS_UNTRUSTED, SOURCE, "{s} trusts no CA that signed the certificate at {at}", NULL),
    FACT(TLS_CLIENT, SOURCE, "{at} wants a client certificate of {s}", NULL),
    FACT(TLS_PLAIN, SOURCE, "{s} asks {at} for TLS, it answers in plain text", NULL),
    FACT(TLS_WANTED, SOURCE, "{s} speaks plain text to {at}, it expects TLS", NULL),
    FACT(TLS_ERROR, SOURCE, "the TLS handshake with {at} fails: {observed}", NULL),
    FACT(STATUS_5XX, SOURCE, "{at} answers {s} with {observed}", NULL),
    FACT(STATUS_AUTH, SOURCE, "{at} answers {s} with {observed}: it wants credentials", NULL),
    FACT(STATUS_404, SOURCE, "{at} answers {s} with {observed}: it does not know {path}", NULL),
    FACT(STATUS_OTHER, SOURCE, "{at} answers {s} with {observed}", NULL),
    FACT(CONTENT, SOURCE, "{at} answers {s}, without the text that the check wants", NULL),
    FACT(NOT_SERVING, SOURCE, "{at} answers {s} that it does not serve", NULL),
    FACT(REUSED, SOURCE, "{name} leads {s} to {at}, which is {owner}'s", NULL),
    FACT(PROXY, SOURCE, "{name} leads {s} to its own proxy at {at}, by /etc/hosts",
         "{s} finds {at} by DNS, not through a proxy of its own"),
    FACT(PROXY_SAYS, SOURCE, "the answer is a proxy's own: {detail}", NULL),
    FACT(LEAK, SOURCE, "{s} reaches {at}, which it is not to reach", NULL),
    FACT(SOMETIMES, SOURCE, "other attempts of {s} at {at} pass",
         "every attempt of {s} at {at} fails"),
    FACT(LOSSY, PATTERN, "between {S} and {T} much of what gets through had to be sent again",
         NULL),
    FACT(RESOLVER_DEAD, SOURCE, "{resolver} answers {s} for no name at all",
         "{resolver} answers {s} for other names"),
    FACT(RESOLVER_ALIEN, SOURCE, "{resolver} knows none of the names that {s} asks for",
         "{resolver} knows other names of the fleet"),
    FACT(RETRIED, SOURCE, "many questions of {s} to {resolver} had to be asked again",
         "{s}'s other questions are answered at once"),
    FACT(ARRIVED, TARGET, "{t} saw {s}'s SYN arrive", "{t} saw nothing of {s} arrive"),
    FACT(HALF_OPEN, TARGET,
         "{t} has {s}'s connection half-open: its SYN-ACK is lost on the way back",
         "{t} has no half-open connection of {s}"),
    FACT(LISTENS, TARGET, "{t} listens on port {port}", "nothing listens on port {port} of {t}"),
    FACT(LOOPBACK, TARGET, "{t} listens on port {port} of loopback only",
         "{t}'s listener is not bound to loopback"),
    FACT(OTHER_PORT, TARGET, "{t} listens on {ports}, not on {port}",
         "{t} listens on no port that it should not"),
    FACT(SENT_RST, TARGET, "{t}'s own kernel sent RSTs",
         "{t}'s own kernel sent no RST: somebody else refuses"),
    FACT(QUEUE_FULL, TARGET, "{t}'s accept queue is full: {queue}", "{t}'s accept queue has room"),
    FACT(QUEUED, TARGET, "connections wait in {t}'s accept queue, not accepted",
         "nothing waits in {t}'s accept queue"),
    FACT(RESENT, TARGET, "{t} sends its answer again and again (RetransSegs)",
         "{t} has nothing to send again"),
    FACT(OWN_OK, TARGET, "{t} passes its own check over its own address",
         "{t} fails its own check too"),
    FACT(OWN_ALIKE, TARGET, "{t}'s own check gets the same answer",
         "{t}'s own check gets another answer"),
    FACT(UNHEALTHY, TARGET, "the container's health check of {t} fails",
         "the container of {t} is healthy"),
    FACT(YOUNG, FLEET, "{t} started {age} s ago", "{t} has run for {age} s"),
    FACT(OWNED, FLEET, "{at} is {t}'s, which runs", NULL),
    FACT(NOBODYS, FLEET, "no task has the address of {at}, and all {n} tasks of {T} are known",
         "the address of {at} has an owner"),
    FACT(STRANGE, FLEET, "no known task has the address of {at}", NULL),
    FACT(TASKS_LIVE, FLEET, "tasks of {T} run and say so", "no task of {T} is known to run"),
    FACT(REACHED, PATTERN, "{others} reach {at}", "no other service reaches {at} either"),
    FACT(KIN_REACHED, PATTERN, "other tasks of {S} reach {at}",
         "no other task of {S} reaches {at}"),
    FACT(SIBLINGS_OK, PATTERN, "{s} reaches other tasks of {T}",
         "{s} reaches no other task of {T}"),
    FACT(SOURCE_WORKS, PATTERN, "{s} reaches other services", "{s} reaches no other service"),
    FACT(OTHERS_RESOLVE, PATTERN, "other tasks get an answer for {name}",
         "no task gets an answer for {name}"),
    FACT(SAME_RESOLVER, PATTERN, "{resolver} answers others for {name}",
         "{resolver} answers nobody for {name}"),
    FACT(KIN_HOSTS, PATTERN, "other tasks have {name} in their /etc/hosts (Service Connect)",
         "no task has {name} in its /etc/hosts"),
    FACT(OTHER_NAME, PATTERN, "another name of {T} resolves", "no other name of {T} resolves"),
    FACT(ZONE_RESOLVES, PATTERN, "other names of the same domain resolve",
         "no other name of the domain resolves"),
    FACT(GROUP_OUT, CLOUD, "{group-out}", "{group-out}"),
    FACT(GROUP_IN, CLOUD, "{group-in}", "{group-in}"),
    FACT(ACL_FORWARD, CLOUD, "{acl-forward}", "{acl-forward}"),
    FACT(ACL_BACK, CLOUD, "{acl-back}", "{acl-back}"),
    FACT(ACLS, CLOUD, "{acls}", "{acls}"),
    FACT(BACK_PARTLY, CLOUD, "{acl-back}", NULL),
    FACT(ROUTED, CLOUD, "{routes}", "{routes}"),
    FACT(OPEN, CLOUD, "by their rules, groups, ACLs and routes let {s} through to {at} and back",
         "{closed}"),
    FACT(LET_IN, CLOUD, "{group-in}", NULL),
    FACT(WANTED, CLOUD, "the ECS service {T} wants tasks: {counts} run",
         "the desired count of the ECS service {T} is 0"),
    FACT(CANNOT_PLACE, CLOUD, "an event of {T}: {event}", NULL),
    FACT(DEPLOY_FAILED, CLOUD, "the deployment of {T}: {deployment}", NULL),
    FACT(DEPLOYING, CLOUD, "the deployment of {T}: {deployment}", NULL),
    FACT(IN_GRACE, CLOUD, "{t} {grace}", NULL),
    FACT(BALANCER_OK, CLOUD, "the load balancer at {address} has healthy targets",
         "the load balancer at {address} has no healthy target: {targets}"),
    FACT(ZONE_OK, CLOUD, "the load balancer at {address} has healthy targets in its zone",
         "the load balancer at {address} has no healthy target in {zones}: {targets}"),
    FACT(REGISTERED, CLOUD, "the ECS service {T} is registered under {name} ({registry})",
         "the ECS service {T} has no service registry for {name}"),
    FACT(REGISTRATION_FITS, CLOUD, "the registration of {T} fits its task definition",
         "{registration}"),
    FACT(REGISTERS, CLOUD, "no event of {T} says that it cannot be registered",
         "an event of {T}: {register-event}"),
    FACT(REGISTRY_OK, CLOUD, "{registry} has healthy instances of {T}",
         "{registry} takes every instance of {T} for unhealthy"),
    FACT(VPC_DNS, CLOUD, "{vpc} has DNS", "enableDnsSupport of {vpc} is false"),
    FACT(ZONE_ASSOCIATED, CLOUD, "the hosted zone {zone-id} of {name} is associated with {vpc}",
         "the hosted zone {zone-id} of {name} is not associated with {vpc}"),
    FACT(RULE_IN_WAY, CLOUD, "{resolver-rule}", "no resolver rule of {vpc} is for {name}"),
    FACT(SAME_MESH, CLOUD, "{S} and {T} are in one namespace of Service Connect",
         "the namespaces of Service Connect of {S} and {T} are {namespaces}"),
    FACT(MESH_NEWER, CLOUD, "{s} started before {T}'s deployment joined Service Connect",
         "{s} started after {T}'s deployment joined Service Connect"),
    FACT(DEPENDS, PATTERN, "{T} itself fails to reach {dependency} in this run",
         "{T} reaches all it needs in this run"),
};

void fact_set(struct facts *facts, enum fact fact, bool yes)
{
    uint64_t bit = UINT64_C(1) << (fact % 64);

    facts->known[fact / 64] |= bit;
    if (yes)
        facts->yes[fact / 64] |= bit;
    else
        facts->yes[fact / 64] &= ~bit;
}

bool fact_is_known(const struct facts *facts, enum fact fact)
{
    return facts->known[fact / 64] >> (fact % 64) & 1;
}

bool fact_is(const struct facts *facts, enum fact fact, bool yes)
{
    return fact_is_known(facts, fact) && (facts->yes[fact / 64] >> (fact % 64) & 1) == yes;
}

const char *fact_side_name(enum fact_side side)
{
    static const char *const names[] = {"source", "target", "fleet", "pattern", "cloud"};

    return names[side];
}
