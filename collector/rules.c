#include "collector/rules.h"

#include "common/text.h"

/* Tables are read across. */
/* clang-format off */
#define IS(f)       {NEED_MUST, FACT_##f, true}
#define ISNT(f)     {NEED_MUST, FACT_##f, false}
#define NOT(f)      {NEED_NEVER, FACT_##f, false}
#define OUGHT(f)    {NEED_OUGHT, FACT_##f, true}
#define OUGHTNT(f)  {NEED_OUGHT, FACT_##f, false}
#define LIKES(f)    {NEED_LIKES, FACT_##f, true}
#define DISLIKES(f) {NEED_LIKES, FACT_##f, false}
#define FAINT(f)    {NEED_UNLESS, FACT_##f, false}
#define FAINTNT(f)  {NEED_UNLESS, FACT_##f, true}
#define CLOSED(f)   {NEED_PROOF, FACT_##f, false}

#define SEEN1(a)                {FACT_##a}
#define SEEN2(a, b)             {FACT_##a, FACT_##b}
#define SEEN3(a, b, c)          {FACT_##a, FACT_##b, FACT_##c}
#define SEEN4(a, b, c, d)       {FACT_##a, FACT_##b, FACT_##c, FACT_##d}
#define SEEN5(a, b, c, d, e)    {FACT_##a, FACT_##b, FACT_##c, FACT_##d, FACT_##e}
#define SEEN6(a, b, c, d, e, f) {FACT_##a, FACT_##b, FACT_##c, FACT_##d, FACT_##e, FACT_##f}

#define STEADY   false
#define AT_TIMES true   /* what passes now and then is no contradiction */
#define ALWAYS   {{0}}  /* nothing more is needed than what was seen */

#define S(kind) (1U << SCOPE_##kind)
/* A target's: one of its addresses, a revision, all of it. */
#define AT_TARGET (S(ENDPOINT) | S(TARGET) | S(REVISION) | S(CHECK) | S(SERVICE))
/* A source's: one task, all of the service. */
#define AT_SOURCE (S(SOURCE) | S(SOURCE_CHECK) | S(ROW))
/* Between two of them. */
#define ON_PATH \
    (S(TASKS) | S(SOURCE_CHECK) | S(PAIR) | S(SERVICES) | S(FROM_ZONE) | S(ZONES) | S(BETWEEN))
#define ANYWHERE (AT_TARGET | AT_SOURCE | ON_PATH)
#define NO_TASK  (S(NAME) | S(CHECK) | S(SERVICE) | S(ENDPOINT))

/* Nothing came back, and as far as it could be seen nothing arrived. */
#define VANISHED \
    NOT(ARRIVED), NOT(NOBODYS), NOT(QUEUE_FULL), NOT(SOMETIMES), LIKES(LISTENS), FAINT(LOSSY)

const struct rule rules[] = {
    /* ---- names ---- */
    {"dns.not-registered", S(NAME), 60, STEADY, SEEN1(NXDOMAIN),
     {ISNT(OTHERS_RESOLVE), NOT(KIN_HOSTS), OUGHT(TASKS_LIVE), NOT(OTHER_NAME), LIKES(ZONE_RESOLVES)}},
    {"dns.no-such-name", S(NAME), 80, STEADY, SEEN1(NXDOMAIN),
     {ISNT(OTHERS_RESOLVE), NOT(KIN_HOSTS), IS(OTHER_NAME)}},
    {"dns.no-such-name", S(NAME), 40, STEADY, SEEN1(NXDOMAIN),
     {ISNT(OTHERS_RESOLVE), NOT(KIN_HOSTS), NOT(TASKS_LIVE), NOT(OTHER_NAME)}},
    {"dns.no-record-type", S(NAME), 75, STEADY, SEEN1(NODATA), {ISNT(OTHERS_RESOLVE), NOT(KIN_HOSTS)}},
    {"dns.negative-cache", S(HEARD) | S(NAME) | S(SOURCE_CHECK), 75, STEADY, SEEN2(NXDOMAIN, NODATA),
     {IS(OTHERS_RESOLVE), NOT(RESOLVER_ALIEN), NOT(KIN_HOSTS)}},
    {"dns.wrong-resolver", S(RESOLVER) | S(SOURCE), 85, STEADY, SEEN2(NXDOMAIN, SERVFAIL),
     {IS(RESOLVER_ALIEN), NOT(KIN_HOSTS)}},
    {"dns.resolver-down", S(RESOLVER), 85, STEADY, SEEN2(DNS_SILENT, DNS_DOWN),
     {IS(RESOLVER_DEAD), NOT(SAME_RESOLVER)}},
    {"source.resolver", S(SOURCE) | S(ROW), 85, STEADY, SEEN2(DNS_SILENT, DNS_DOWN),
     {IS(RESOLVER_DEAD), IS(SAME_RESOLVER)}},
    {"dns.resolver-failing", S(NAME) | S(HEARD) | S(RESOLVER), 80, STEADY, SEEN1(SERVFAIL), {NOT(RESOLVER_ALIEN)}},
    {"dns.resolver-failing", S(NAME) | S(HEARD), 75, STEADY, SEEN1(DNS_SILENT),
     {ISNT(RESOLVER_DEAD), NOT(SAME_RESOLVER)}},
    {"dns.throttled", S(SOURCE) | S(ROW), 70, AT_TIMES, SEEN1(DNS_SILENT),
     {ISNT(RESOLVER_DEAD), IS(SAME_RESOLVER), LIKES(RETRIED)}},
    {"dns.tcp-blocked", S(NAME) | S(HEARD) | S(RESOLVER) | AT_SOURCE, 90, STEADY, SEEN1(DNS_TCP), ALWAYS},
    {"dns.left-over", S(NAME), 90, AT_TIMES, SEEN1(DANGLING), ALWAYS},
    {"mesh.endpoint-newer", S(SOURCE_CHECK) | S(PAIR) | S(NAME), 85, STEADY, SEEN1(NXDOMAIN), {IS(KIN_HOSTS)}},
    {"target.no-task", NO_TASK, 60, STEADY, SEEN6(NXDOMAIN, NODATA, SYN_LOST, NO_ARP, UNREACHABLE, RST),
     {ISNT(TASKS_LIVE)}},

    /* ---- addresses ---- */
    {"dns.stale", S(ENDPOINT) | S(TARGET), 92, STEADY, SEEN5(SYN_LOST, NO_ARP, UNREACHABLE, RST, MUTE),
     {IS(NOBODYS)}},
    {"dns.stale", S(ENDPOINT) | S(TARGET), 45, STEADY, SEEN3(SYN_LOST, NO_ARP, UNREACHABLE),
     {IS(STRANGE), NOT(NOBODYS), NOT(REACHED), NOT(KIN_REACHED), LIKES(TASKS_LIVE)}},
    {"dns.reused", S(ENDPOINT) | S(TARGET) | S(NAME), 95, STEADY, SEEN1(REUSED), ALWAYS},

    /* ---- the network: the SYN is lost ---- */
    {"network.sg-ingress", S(PAIR) | S(CHECK) | S(SERVICE), 60, STEADY, SEEN1(SYN_LOST), {VANISHED, CLOSED(GROUP_IN)}},
    {"network.sg-egress", S(ROW), 60, STEADY, SEEN1(SYN_LOST), {VANISHED, CLOSED(GROUP_OUT)}},
    {"network.sg-egress", S(PAIR), 22, STEADY, SEEN1(SYN_LOST), {VANISHED, CLOSED(GROUP_OUT)}},
    {"network.nacl-forward", S(FLOW), 60, STEADY, SEEN1(SYN_LOST),
     {NOT(NOBODYS), NOT(QUEUE_FULL), NOT(SOMETIMES), CLOSED(ACLS)}},
    {"network.nacl-forward", S(ZONES) | S(ZONES_PORT) | S(FROM_ZONE), 50, STEADY, SEEN1(SYN_LOST), {VANISHED, CLOSED(ACL_FORWARD)}},
    {"network.no-route", S(FLOW), 22, STEADY, SEEN1(SYN_LOST),
     {NOT(NOBODYS), NOT(QUEUE_FULL), NOT(SOMETIMES), CLOSED(ROUTED)}},
    {"network.no-route", S(ZONES), 22, STEADY, SEEN1(SYN_LOST), {VANISHED, CLOSED(ROUTED)}},
    {"network.nacl-return", S(PAIR) | S(ZONES) | S(ZONES_PORT) | S(FROM_ZONE) | S(TASKS) | S(SOURCE) | S(ROW) | AT_TARGET, 85, STEADY, SEEN1(SYN_LOST),
     {IS(HALF_OPEN), FAINT(LOSSY), CLOSED(ACL_BACK)}},
    {"network.isolated", S(BETWEEN) | S(ZONE), 60, STEADY, SEEN1(SYN_LOST), {VANISHED, CLOSED(OPEN)}},
    {"network.isolated", S(TASK), 60, STEADY, SEEN2(SYN_LOST, NO_ARP), {VANISHED, CLOSED(OPEN)}},
    {"network.isolated", S(ENDPOINT) | S(TARGET), 35, STEADY, SEEN2(SYN_LOST, NO_ARP), {VANISHED, IS(OWNED), FAINTNT(OPEN)}},
    {"network.sg-ingress", S(ENDPOINT) | S(TARGET), 30, STEADY, SEEN1(SYN_LOST), {VANISHED, CLOSED(GROUP_IN)}},
    {"source.isolated", S(SOURCE), 60, STEADY, SEEN2(SYN_LOST, NO_ARP), {VANISHED, FAINTNT(OPEN)}},
    {"network.filtered", S(TASKS) | S(SOURCE_CHECK), 15, STEADY, SEEN1(SYN_LOST), {VANISHED, FAINTNT(OPEN)}},

    /* What only the configuration tells apart: a rule may reach any one task, or many. */
    {"network.sg-ingress", ON_PATH | S(REVISION), 50, STEADY, SEEN1(SYN_LOST), {ISNT(GROUP_IN), CLOSED(GROUP_IN), VANISHED}},
    {"network.sg-egress", ON_PATH | S(SOURCE) | S(ROW), 50, STEADY, SEEN1(SYN_LOST), {ISNT(GROUP_OUT), CLOSED(GROUP_OUT), VANISHED}},
    {"network.nacl-forward", ANYWHERE, 45, STEADY, SEEN1(SYN_LOST), {ISNT(ACL_FORWARD), CLOSED(ACL_FORWARD), VANISHED}},
    {"network.no-route", S(FLOW), 60, STEADY, SEEN1(SYN_LOST), {ISNT(ROUTED), CLOSED(ROUTED), NOT(NOBODYS), NOT(QUEUE_FULL), NOT(SOMETIMES)}},
    {"network.no-route", ANYWHERE, 45, STEADY, SEEN1(SYN_LOST), {ISNT(ROUTED), CLOSED(ROUTED), NOT(NOBODYS), NOT(QUEUE_FULL), NOT(SOMETIMES)}},
    {"network.nacl-return", ANYWHERE, 45, STEADY, SEEN1(SYN_LOST), {ISNT(ACL_BACK), CLOSED(ACL_BACK), NOT(NOBODYS), NOT(QUEUE_FULL), NOT(SOMETIMES)}},
    {"network.nacl-return", ANYWHERE, 600, AT_TIMES, SEEN1(SYN_LOST), {IS(BACK_PARTLY)}},
    {"network.filtered", ANYWHERE, 60, STEADY, SEEN1(SYN_LOST), {IS(OPEN), VANISHED}},
    {"network.filtered", ANYWHERE, 60, STEADY, SEEN1(SYN_LOST), {IS(OPEN), IS(HALF_OPEN), FAINT(LOSSY)}},

    /* ---- the network: somebody says no ---- */
    {"network.no-route", AT_SOURCE | S(TASKS) | S(PAIR) | AT_TARGET, 90, STEADY, SEEN1(LOCAL_ROUTE), ALWAYS},
    {"network.no-route", S(TASK), 90, STEADY, SEEN2(LOCAL_ROUTE, SYN_LOST), {IS(ROUTE_BROKEN)}},
    {"network.no-route", ANYWHERE, 80, STEADY, SEEN1(UNREACHABLE), {NOT(NOBODYS)}},
    {"network.isolated", S(ENDPOINT) | S(TARGET), 60, STEADY, SEEN1(NO_ARP), {IS(OWNED)}},
    {"network.firewall", ANYWHERE, 88, STEADY, SEEN2(PROHIBITED, ICMP_PORT), ALWAYS},
    {"network.firewall", ANYWHERE, 80, STEADY, SEEN1(RST),
     {OUGHT(LISTENS), DISLIKES(SENT_RST), NOT(SOMETIMES), NOT(PROXY)}},
    {"network.firewall", ANYWHERE, 80, STEADY, SEEN1(RESET), {DISLIKES(SENT_RST), LIKES(OWN_OK)}},
    {"network.loss", ANYWHERE, 60, AT_TIMES, SEEN3(SYN_LOST, MUTE, STALLED), {IS(SOMETIMES), LIKES(LOSSY)}},
    {"network.loss", ANYWHERE, 90, AT_TIMES, SEEN3(SYN_LOST, MUTE, STALLED), {IS(LOSSY), ISNT(SOMETIMES)}},
    {"network.mtu", ON_PATH | S(ROW) | S(CHECK) | S(SOURCE) | S(ENDPOINT), 80, STEADY, SEEN2(MUTE, STALLED),
     {IS(OWN_OK), LIKES(RESENT), NOT(QUEUE_FULL), NOT(SOMETIMES)}},

    /* ---- the target: nobody listens ---- */
    {"target.not-listening", AT_TARGET, 70, STEADY, SEEN1(RST),
     {NOT(LISTENS), NOT(LOOPBACK), NOT(SOMETIMES), NOT(NOBODYS), NOT(PROXY), LIKES(SENT_RST), DISLIKES(OTHER_PORT), DISLIKES(YOUNG)}},
    {"target.loopback-only", AT_TARGET, 92, STEADY, SEEN1(RST), {IS(LOOPBACK)}},
    {"target.other-port", AT_TARGET, 90, STEADY, SEEN1(RST), {IS(OTHER_PORT), NOT(SOMETIMES), LIKES(SENT_RST)}},
    {"target.starting", AT_TARGET, 90, STEADY, SEEN4(RST, STATUS_5XX, NOT_SERVING, CLOSED),
     {IS(YOUNG), NOT(OWN_OK), NOT(SOMETIMES), LIKES(OWNED)}},
    {"target.crash-loop", AT_TARGET, 85, AT_TIMES, SEEN3(RST, RESET, CLOSED),
     {IS(SOMETIMES), LIKES(SENT_RST), NOT(PROXY)}},
    {"target.crash-loop", AT_TARGET, 60, AT_TIMES, SEEN1(RST),
     {ISNT(SOMETIMES), IS(REACHED), IS(SENT_RST), NOT(LISTENS), NOT(PROXY)}},
    {"mesh.proxy-down", ANYWHERE, 85, STEADY, SEEN3(RST, RESET, CLOSED), {IS(PROXY)}},

    /* ---- the target: it listens ---- */
    {"target.queue-full", AT_TARGET, 92, STEADY, SEEN2(SYN_LOST, MUTE), {IS(QUEUE_FULL)}},
    {"target.hung", AT_TARGET, 80, STEADY, SEEN1(MUTE), {OUGHTNT(OWN_OK), LIKES(QUEUED), NOT(QUEUE_FULL)}},
    {"target.overloaded", AT_TARGET, 80, STEADY, SEEN2(SLOW, STALLED), {OUGHTNT(OWN_OK)}},
    {"target.unhealthy", AT_TARGET, 75, STEADY, SEEN5(STATUS_5XX, NOT_SERVING, GARBLED, CLOSED, RESET),
     {OUGHTNT(OWN_OK), NOT(PROXY), DISLIKES(DEPENDS), DISLIKES(YOUNG), DISLIKES(PROXY_SAYS)}},
    {"target.unhealthy", AT_TARGET, 40, STEADY, SEEN2(RESET, CLOSED), {IS(SENT_RST), NOT(PROXY)}},
    {"http.dependency", AT_TARGET, 80, STEADY, SEEN2(STATUS_5XX, NOT_SERVING),
     {IS(DEPENDS), OUGHTNT(OWN_OK), NOT(PROXY)}},
    {"http.status", ANYWHERE, 70, STEADY, SEEN2(STATUS_5XX, STATUS_OTHER), {IS(OWN_OK), NOT(PROXY)}},
    {"http.status", ANYWHERE, 40, STEADY, SEEN1(STATUS_OTHER), {NOT(OWN_OK)}},
    {"http.path", ANYWHERE, 88, STEADY, SEEN1(STATUS_404), ALWAYS},
    {"http.auth", ANYWHERE, 88, STEADY, SEEN1(STATUS_AUTH), ALWAYS},
    {"http.content", ANYWHERE, 80, STEADY, SEEN1(CONTENT), ALWAYS},
    {"http.proxy", ANYWHERE, 88, STEADY, SEEN1(STATUS_5XX), {IS(PROXY)}},
    {"http.proxy", ANYWHERE, 60, STEADY, SEEN1(STATUS_5XX), {IS(PROXY_SAYS), NOT(PROXY), DISLIKES(DEPENDS)}},

    /* ---- TLS ---- */
    {"tls.expired", AT_TARGET, 92, STEADY, SEEN1(TLS_EXPIRED), ALWAYS},
    {"tls.not-yet-valid", AT_TARGET, 92, STEADY, SEEN1(TLS_NOT_YET), ALWAYS},
    {"tls.name", AT_TARGET | S(NAME), 92, STEADY, SEEN1(TLS_NAME), ALWAYS},
    {"tls.untrusted", ANYWHERE, 92, STEADY, SEEN1(TLS_UNTRUSTED), ALWAYS},
    {"tls.client-cert", ANYWHERE, 92, STEADY, SEEN1(TLS_CLIENT), ALWAYS},
    {"tls.plain", ANYWHERE, 92, STEADY, SEEN1(TLS_PLAIN), ALWAYS},
    {"tls.expected", ANYWHERE, 92, STEADY, SEEN1(TLS_WANTED), ALWAYS},
    {"tls.handshake", ANYWHERE, 70, STEADY, SEEN1(TLS_ERROR), ALWAYS},

    /* ---- under deny ---- */
    {"network.leak", S(PAIR) | S(ROW) | S(CHECK), 95, AT_TIMES, SEEN1(LEAK), ALWAYS},

    /* ---- what the cloud's view says plainly ---- */
    {"dns.vpc-dns-off", S(RESOLVER) | S(SOURCE) | S(ROW) | S(NAME) | S(HEARD), 1100, STEADY, SEEN4(DNS_SILENT, DNS_DOWN, SERVFAIL, NXDOMAIN),
     {ISNT(VPC_DNS)}},
    {"dns.zone-not-associated", S(NAME) | S(HEARD) | S(RESOLVER) | S(SOURCE) | S(ROW) | S(PAIR), 1000, STEADY, SEEN2(NXDOMAIN, SERVFAIL),
     {ISNT(ZONE_ASSOCIATED), NOT(KIN_HOSTS)}},
    {"dns.resolver-rule", S(NAME) | S(HEARD) | S(RESOLVER) | S(SOURCE) | S(ROW) | S(PAIR), 1000, STEADY, SEEN3(NXDOMAIN, SERVFAIL, DNS_SILENT),
     {IS(RULE_IN_WAY), NOT(KIN_HOSTS)}},
    {"dns.registration-missing", S(NAME), 1000, STEADY, SEEN1(NXDOMAIN),
     {ISNT(REGISTERED), ISNT(OTHERS_RESOLVE), NOT(KIN_HOSTS)}},
    {"dns.registration-failed", S(NAME), 1150, STEADY, SEEN2(NXDOMAIN, NODATA),
     {ISNT(REGISTERS), ISNT(OTHERS_RESOLVE)}},
    {"dns.registration-wrong", S(NAME), 1200, STEADY, SEEN2(NXDOMAIN, NODATA),
     {ISNT(REGISTRATION_FITS), ISNT(OTHERS_RESOLVE)}},
    {"dns.registry-unhealthy", S(NAME), 1100, STEADY, SEEN2(NXDOMAIN, NODATA), {ISNT(REGISTRY_OK), ISNT(OTHERS_RESOLVE)}},
    {"mesh.namespace", S(PAIR) | S(SOURCE_CHECK) | S(NAME), 1000, STEADY, SEEN1(NXDOMAIN), {ISNT(SAME_MESH)}},
    {"mesh.endpoint-newer", S(SOURCE_CHECK) | S(PAIR) | S(NAME), 800, STEADY, SEEN1(NXDOMAIN), {IS(MESH_NEWER), IS(SAME_MESH)}},
    {"target.scaled-to-zero", NO_TASK, 1200, STEADY, SEEN6(NXDOMAIN, NODATA, SYN_LOST, NO_ARP, UNREACHABLE, RST),
     {ISNT(TASKS_LIVE), ISNT(WANTED)}},
    {"target.capacity", NO_TASK, 1100, STEADY, SEEN6(NXDOMAIN, NODATA, SYN_LOST, NO_ARP, UNREACHABLE, RST),
     {ISNT(TASKS_LIVE), IS(CANNOT_PLACE)}},
    {"target.deployment-failed", NO_TASK, 1050, STEADY, SEEN6(NXDOMAIN, NODATA, SYN_LOST, NO_ARP, UNREACHABLE, RST),
     {ISNT(TASKS_LIVE), IS(DEPLOY_FAILED), NOT(CANNOT_PLACE)}},
    {"target.deploying", NO_TASK, 1000, STEADY, SEEN6(NXDOMAIN, NODATA, SYN_LOST, NO_ARP, UNREACHABLE, RST),
     {ISNT(TASKS_LIVE), IS(DEPLOYING), NOT(DEPLOY_FAILED), NOT(CANNOT_PLACE)}},
    {"target.health-grace", AT_TARGET, 800, STEADY, SEEN4(RST, STATUS_5XX, NOT_SERVING, CLOSED), {IS(IN_GRACE), NOT(OWN_OK), NOT(PROXY)}},
    {"lb.unhealthy", AT_TARGET | S(NAME), 1100, STEADY, SEEN5(STATUS_5XX, SYN_LOST, RST, RESET, CLOSED), {ISNT(BALANCER_OK)}},
    {"lb.zone-empty", AT_TARGET | S(NAME), 1100, STEADY, SEEN5(STATUS_5XX, SYN_LOST, RST, RESET, CLOSED), {IS(BALANCER_OK), ISNT(ZONE_OK)}},
};
/* clang-format on */

const size_t rule_count = ARRAY_SIZE(rules);

/* What a fact adds to a rule's weight. */
#define FACTOR_UNKNOWN 0.3 /* OUGHT, and nobody could look */
#define FACTOR_LIKED   1.5
#define FACTOR_MISSED  0.4
#define FACTOR_PROVEN  8.0 /* the configuration says the same as the probes */
#define FACTOR_DENIED  0.1 /* it says that it is open */

static bool is_for(const struct rule *rule, const struct symptom *symptom)
{
    for (size_t i = 0; i < RULE_SEEN_MAX && rule->seen[i]; i++)
        if (rule->seen[i] == symptom->what)
            return true;
    return false;
}

double rule_score(const struct rule *rule, const struct symptom *symptom,
                  const struct condition **ret_contradiction)
{
    double score = rule->weight;

    *ret_contradiction = NULL;
    if (!is_for(rule, symptom))
        return 0;
    for (size_t i = 0; i < RULE_CONDITIONS_MAX && rule->conditions[i].need; i++) {
        const struct condition *condition = &rule->conditions[i];
        bool is_known = fact_is_known(&symptom->facts, condition->fact);
        bool holds = fact_is(&symptom->facts, condition->fact, condition->yes);
        if (is_known && !holds && condition->need < NEED_LIKES) {
            *ret_contradiction = condition;
            return 0;
        }
        if (condition->need == NEED_MUST && !is_known)
            score = 0;
        if (condition->need == NEED_OUGHT && !is_known)
            score *= FACTOR_UNKNOWN;
        if (condition->need == NEED_UNLESS && is_known && !holds)
            score *= FACTOR_MISSED;
        if (condition->need == NEED_PROOF && is_known && !holds)
            *ret_contradiction = condition;
        if (condition->need == NEED_PROOF && is_known)
            score *= holds ? FACTOR_PROVEN : FACTOR_DENIED;
        if (condition->need == NEED_LIKES && is_known)
            score *= holds ? FACTOR_LIKED : FACTOR_MISSED;
    }
    return score;
}

bool rule_is_proven(const struct rule *rule, const struct symptom *symptom)
{
    for (size_t i = 0; i < RULE_CONDITIONS_MAX && rule->conditions[i].need; i++)
        if (rule->conditions[i].need == NEED_PROOF &&
            fact_is(&symptom->facts, rule->conditions[i].fact, rule->conditions[i].yes))
            return true;
    return false;
}

uint32_t rule_scopes(enum fact what)
{
    uint32_t scopes = 0;

    for (size_t r = 0; r < rule_count; r++)
        for (size_t i = 0; i < RULE_SEEN_MAX && rules[r].seen[i]; i++)
            if (rules[r].seen[i] == what)
                scopes |= rules[r].scopes;
    return scopes;
}
