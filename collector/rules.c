#include "collector/rules.h"

#include "common/text.h"

#define IS(f)                     \
    {                             \
        NEED_MUST, FACT_##f, true \
    }
#define ISNT(f)                    \
    {                              \
        NEED_MUST, FACT_##f, false \
    }
#define NOT(f)                      \
    {                               \
        NEED_NEVER, FACT_##f, false \
    }
#define OUGHT(f)                   \
    {                              \
        NEED_OUGHT, FACT_##f, true \
    }
#define OUGHTNT(f)                  \
    {                               \
        NEED_OUGHT, FACT_##f, false \
    }
#define LIKES(f)                   \
    {                              \
        NEED_LIKES, FACT_##f, true \
    }
#define DISLIKES(f)                 \
    {                               \
        NEED_LIKES, FACT_##f, false \
    }

#define FAINT(f)                     \
    {                                \
        NEED_UNLESS, FACT_##f, false \
    }

#define SEEN1(a) \
    {            \
        FACT_##a \
    }
#define SEEN2(a, b)        \
    {                      \
        FACT_##a, FACT_##b \
    }
#define SEEN3(a, b, c)               \
    {                                \
        FACT_##a, FACT_##b, FACT_##c \
    }
#define SEEN4(a, b, c, d)                      \
    {                                          \
        FACT_##a, FACT_##b, FACT_##c, FACT_##d \
    }

#define S(kind) (1U << SCOPE_##kind)
/* A target's: one of its addresses, a revision, all of it. */
#define AT_TARGET (S(ENDPOINT) | S(TARGET) | S(REVISION) | S(CHECK) | S(SERVICE))
/* A source's: one task, all of the service. */
#define AT_SOURCE (S(SOURCE) | S(SOURCE_CHECK) | S(ROW))
/* Between two of them. */
#define ON_PATH \
    (S(TASKS) | S(SOURCE_CHECK) | S(PAIR) | S(SERVICES) | S(FROM_ZONE) | S(ZONES) | S(BETWEEN))
#define ANYWHERE (AT_TARGET | AT_SOURCE | ON_PATH)

/* Nothing came back, and as far as it could be seen nothing arrived. */
#define VANISHED \
    NOT(ARRIVED), NOT(NOBODYS), NOT(QUEUE_FULL), NOT(SOMETIMES), LIKES(LISTENS), FAINT(LOSSY)

const struct rule rules[] = {
    /* ---- names ---- */
    {"dns.not-registered",
     S(NAME),
     60,
     false,
     SEEN1(NXDOMAIN),
     {ISNT(OTHERS_RESOLVE), NOT(KIN_HOSTS), OUGHT(TASKS_LIVE), NOT(OTHER_NAME),
      LIKES(ZONE_RESOLVES)}},
    {"dns.no-such-name",
     S(NAME),
     80,
     false,
     SEEN1(NXDOMAIN),
     {ISNT(OTHERS_RESOLVE), NOT(KIN_HOSTS), IS(OTHER_NAME)}},
    {"dns.no-such-name",
     S(NAME),
     40,
     false,
     SEEN1(NXDOMAIN),
     {ISNT(OTHERS_RESOLVE), NOT(KIN_HOSTS), NOT(TASKS_LIVE), NOT(OTHER_NAME)}},
    {"dns.no-record-type",
     S(NAME),
     75,
     false,
     SEEN1(NODATA),
     {ISNT(OTHERS_RESOLVE), NOT(KIN_HOSTS)}},
    {"dns.negative-cache",
     S(HEARD) | S(NAME) | S(SOURCE_CHECK),
     75,
     false,
     SEEN2(NXDOMAIN, NODATA),
     {IS(OTHERS_RESOLVE), NOT(RESOLVER_ALIEN), NOT(KIN_HOSTS)}},
    {"dns.wrong-resolver",
     S(RESOLVER) | S(SOURCE),
     85,
     false,
     SEEN2(NXDOMAIN, SERVFAIL),
     {IS(RESOLVER_ALIEN), NOT(KIN_HOSTS)}},
    {"dns.resolver-down",
     S(RESOLVER),
     85,
     false,
     SEEN2(DNS_SILENT, DNS_DOWN),
     {IS(RESOLVER_DEAD), NOT(SAME_RESOLVER)}},
    {"source.resolver",
     S(SOURCE) | S(ROW),
     85,
     false,
     SEEN2(DNS_SILENT, DNS_DOWN),
     {IS(RESOLVER_DEAD), IS(SAME_RESOLVER)}},
    {"dns.resolver-failing",
     S(NAME) | S(HEARD) | S(RESOLVER),
     80,
     false,
     SEEN1(SERVFAIL),
     {NOT(RESOLVER_ALIEN)}},
    {"dns.resolver-failing",
     S(NAME) | S(HEARD),
     75,
     false,
     SEEN1(DNS_SILENT),
     {ISNT(RESOLVER_DEAD), NOT(SAME_RESOLVER)}},
    {"dns.throttled",
     S(SOURCE) | S(ROW),
     70,
     true,
     SEEN1(DNS_SILENT),
     {ISNT(RESOLVER_DEAD), IS(SAME_RESOLVER), LIKES(RETRIED)}},
    {"dns.tcp-blocked",
     S(NAME) | S(HEARD) | S(RESOLVER) | AT_SOURCE,
     90,
     false,
     SEEN1(DNS_TCP),
     {{0}}},
    {"dns.left-over", S(NAME), 90, true, SEEN1(DANGLING), {{0}}},
    {"mesh.endpoint-newer",
     S(SOURCE_CHECK) | S(PAIR) | S(NAME),
     85,
     false,
     SEEN1(NXDOMAIN),
     {IS(KIN_HOSTS)}},
    {"target.no-task",
     S(NAME) | S(CHECK) | S(SERVICE) | S(ENDPOINT),
     60,
     false,
     {FACT_NXDOMAIN, FACT_NODATA, FACT_SYN_LOST, FACT_NO_ARP, FACT_UNREACHABLE, FACT_RST},
     {ISNT(TASKS_LIVE)}},

    /* ---- addresses ---- */
    {"dns.stale",
     S(ENDPOINT) | S(TARGET),
     92,
     false,
     {FACT_SYN_LOST, FACT_NO_ARP, FACT_UNREACHABLE, FACT_RST, FACT_MUTE},
     {IS(NOBODYS)}},
    {"dns.stale",
     S(ENDPOINT) | S(TARGET),
     45,
     false,
     SEEN3(SYN_LOST, NO_ARP, UNREACHABLE),
     {IS(STRANGE), NOT(NOBODYS), NOT(REACHED), NOT(KIN_REACHED), LIKES(TASKS_LIVE)}},
    {"dns.reused", S(ENDPOINT) | S(TARGET) | S(NAME), 95, false, SEEN1(REUSED), {{0}}},

    /* ---- the network: the SYN is lost ---- */
    {"network.sg-ingress", S(PAIR) | S(CHECK) | S(SERVICE), 60, false, SEEN1(SYN_LOST), {VANISHED}},
    {"network.sg-egress", S(ROW), 60, false, SEEN1(SYN_LOST), {VANISHED}},
    {"network.sg-egress", S(PAIR), 22, false, SEEN1(SYN_LOST), {VANISHED}},
    {"network.nacl-forward",
     S(FLOW),
     60,
     false,
     SEEN1(SYN_LOST),
     {NOT(NOBODYS), NOT(QUEUE_FULL), NOT(SOMETIMES)}},
    {"network.nacl-forward",
     S(ZONES) | S(ZONES_PORT) | S(FROM_ZONE),
     50,
     false,
     SEEN1(SYN_LOST),
     {VANISHED}},
    {"network.no-route",
     S(FLOW),
     22,
     false,
     SEEN1(SYN_LOST),
     {NOT(NOBODYS), NOT(QUEUE_FULL), NOT(SOMETIMES)}},
    {"network.no-route", S(ZONES), 22, false, SEEN1(SYN_LOST), {VANISHED}},
    {"network.nacl-return",
     S(PAIR) | S(ZONES) | S(ZONES_PORT) | S(FROM_ZONE) | S(TASKS) | S(SOURCE) | S(ROW) | AT_TARGET,
     85,
     false,
     SEEN1(SYN_LOST),
     {IS(HALF_OPEN), FAINT(LOSSY)}},
    {"network.isolated", S(BETWEEN) | S(ZONE), 60, false, SEEN1(SYN_LOST), {VANISHED}},
    {"network.isolated", S(TASK), 60, false, SEEN2(SYN_LOST, NO_ARP), {VANISHED}},
    {"network.isolated",
     S(ENDPOINT) | S(TARGET),
     35,
     false,
     SEEN2(SYN_LOST, NO_ARP),
     {VANISHED, IS(OWNED)}},
    {"network.sg-ingress", S(ENDPOINT) | S(TARGET), 30, false, SEEN1(SYN_LOST), {VANISHED}},
    {"source.isolated", S(SOURCE), 60, false, SEEN2(SYN_LOST, NO_ARP), {VANISHED}},
    {"network.filtered", S(TASKS) | S(SOURCE_CHECK), 15, false, SEEN1(SYN_LOST), {VANISHED}},

    /* ---- the network: somebody says no ---- */
    {"network.no-route",
     AT_SOURCE | S(TASKS) | S(PAIR) | AT_TARGET,
     90,
     false,
     SEEN1(LOCAL_ROUTE),
     {{0}}},
    {"network.no-route", S(TASK), 90, false, SEEN2(LOCAL_ROUTE, SYN_LOST), {IS(ROUTE_BROKEN)}},
    {"network.no-route", ANYWHERE, 80, false, SEEN1(UNREACHABLE), {NOT(NOBODYS)}},
    {"network.isolated", S(ENDPOINT) | S(TARGET), 60, false, SEEN1(NO_ARP), {IS(OWNED)}},
    {"network.firewall", ANYWHERE, 88, false, SEEN2(PROHIBITED, ICMP_PORT), {{0}}},
    {"network.firewall",
     ANYWHERE,
     80,
     false,
     SEEN1(RST),
     {OUGHT(LISTENS), DISLIKES(SENT_RST), NOT(SOMETIMES), NOT(PROXY)}},
    {"network.firewall", ANYWHERE, 80, false, SEEN1(RESET), {DISLIKES(SENT_RST), LIKES(OWN_OK)}},
    {"network.loss",
     ANYWHERE,
     60,
     true,
     SEEN3(SYN_LOST, MUTE, STALLED),
     {IS(SOMETIMES), LIKES(LOSSY)}},
    {"network.loss",
     ANYWHERE,
     90,
     true,
     SEEN3(SYN_LOST, MUTE, STALLED),
     {IS(LOSSY), ISNT(SOMETIMES)}},
    {"network.mtu",
     ON_PATH | S(ROW) | S(CHECK) | S(SOURCE) | S(ENDPOINT),
     80,
     false,
     SEEN2(MUTE, STALLED),
     {IS(OWN_OK), LIKES(RESENT), NOT(QUEUE_FULL), NOT(SOMETIMES)}},

    /* ---- the target: nobody listens ---- */
    {"target.not-listening",
     AT_TARGET,
     70,
     false,
     SEEN1(RST),
     {NOT(LISTENS), NOT(LOOPBACK), NOT(SOMETIMES), NOT(NOBODYS), NOT(PROXY), LIKES(SENT_RST),
      DISLIKES(OTHER_PORT), DISLIKES(YOUNG)}},
    {"target.loopback-only", AT_TARGET, 92, false, SEEN1(RST), {IS(LOOPBACK)}},
    {"target.other-port",
     AT_TARGET,
     90,
     false,
     SEEN1(RST),
     {IS(OTHER_PORT), NOT(SOMETIMES), LIKES(SENT_RST)}},
    {"target.starting",
     AT_TARGET,
     90,
     false,
     {FACT_RST, FACT_STATUS_5XX, FACT_NOT_SERVING, FACT_CLOSED},
     {IS(YOUNG), NOT(OWN_OK), NOT(SOMETIMES), LIKES(OWNED)}},
    {"target.crash-loop",
     AT_TARGET,
     85,
     true,
     SEEN3(RST, RESET, CLOSED),
     {IS(SOMETIMES), LIKES(SENT_RST), NOT(PROXY)}},
    {"target.crash-loop",
     AT_TARGET,
     60,
     true,
     SEEN1(RST),
     {ISNT(SOMETIMES), IS(REACHED), IS(SENT_RST), NOT(LISTENS), NOT(PROXY)}},
    {"mesh.proxy-down", ANYWHERE, 85, false, SEEN3(RST, RESET, CLOSED), {IS(PROXY)}},

    /* ---- the target: it listens ---- */
    {"target.queue-full", AT_TARGET, 92, false, SEEN2(SYN_LOST, MUTE), {IS(QUEUE_FULL)}},
    {"target.hung",
     AT_TARGET,
     80,
     false,
     SEEN1(MUTE),
     {OUGHTNT(OWN_OK), LIKES(QUEUED), NOT(QUEUE_FULL)}},
    {"target.overloaded", AT_TARGET, 80, false, SEEN2(SLOW, STALLED), {OUGHTNT(OWN_OK)}},
    {"target.unhealthy",
     AT_TARGET,
     75,
     false,
     {FACT_STATUS_5XX, FACT_NOT_SERVING, FACT_GARBLED, FACT_CLOSED, FACT_RESET},
     {OUGHTNT(OWN_OK), NOT(PROXY), DISLIKES(DEPENDS), DISLIKES(YOUNG), DISLIKES(PROXY_SAYS)}},
    {"target.unhealthy", AT_TARGET, 40, false, SEEN2(RESET, CLOSED), {IS(SENT_RST), NOT(PROXY)}},
    {"http.dependency",
     AT_TARGET,
     80,
     false,
     SEEN2(STATUS_5XX, NOT_SERVING),
     {IS(DEPENDS), OUGHTNT(OWN_OK), NOT(PROXY)}},
    {"http.status", ANYWHERE, 70, false, SEEN2(STATUS_5XX, STATUS_OTHER), {IS(OWN_OK), NOT(PROXY)}},
    {"http.status", ANYWHERE, 40, false, SEEN1(STATUS_OTHER), {NOT(OWN_OK)}},
    {"http.path", ANYWHERE, 88, false, SEEN1(STATUS_404), {{0}}},
    {"http.auth", ANYWHERE, 88, false, SEEN1(STATUS_AUTH), {{0}}},
    {"http.content", ANYWHERE, 80, false, SEEN1(CONTENT), {{0}}},
    {"http.proxy", ANYWHERE, 88, false, SEEN1(STATUS_5XX), {IS(PROXY)}},
    {"http.proxy",
     ANYWHERE,
     60,
     false,
     SEEN1(STATUS_5XX),
     {IS(PROXY_SAYS), NOT(PROXY), DISLIKES(DEPENDS)}},

    /* ---- TLS ---- */
    {"tls.expired", AT_TARGET, 92, false, SEEN1(TLS_EXPIRED), {{0}}},
    {"tls.not-yet-valid", AT_TARGET, 92, false, SEEN1(TLS_NOT_YET), {{0}}},
    {"tls.name", AT_TARGET | S(NAME), 92, false, SEEN1(TLS_NAME), {{0}}},
    {"tls.untrusted", ANYWHERE, 92, false, SEEN1(TLS_UNTRUSTED), {{0}}},
    {"tls.client-cert", ANYWHERE, 92, false, SEEN1(TLS_CLIENT), {{0}}},
    {"tls.plain", ANYWHERE, 92, false, SEEN1(TLS_PLAIN), {{0}}},
    {"tls.expected", ANYWHERE, 92, false, SEEN1(TLS_WANTED), {{0}}},
    {"tls.handshake", ANYWHERE, 70, false, SEEN1(TLS_ERROR), {{0}}},

    /* ---- under deny ---- */
    {"network.leak", S(PAIR) | S(ROW) | S(CHECK), 95, true, SEEN1(LEAK), {{0}}},
};

const size_t rule_count = ARRAY_SIZE(rules);

/* What a fact adds to a rule's weight. */
#define FACTOR_UNKNOWN 0.3 /* OUGHT, and nobody could look */
#define FACTOR_LIKED   1.5
#define FACTOR_MISSED  0.4

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
        if (condition->need == NEED_LIKES && is_known)
            score *= holds ? FACTOR_LIKED : FACTOR_MISSED;
    }
    return score;
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
