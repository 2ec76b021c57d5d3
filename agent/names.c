#include "agent/names.h"

#include "common/arena.h"
#include "common/mem.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>

#define SRV_TEXT_MAX 300

/* One host whose addresses are wanted: a discovery name, or where its SRV record points. */
struct wanted {
    struct wanted *next;
    void *target;
    const char *name; /* the discovery name */
    uint16_t port;
    unsigned pending; /* lookups that have not answered */
    bool has_endpoint;
    enum proto_outcome outcome; /* the worst failure so far */
    const char *worst;          /* what it was asked for, if not `name` */
    uint64_t resolve_us;        /* the slowest lookup */
};

struct waiter {
    struct waiter *next;
    struct wanted *wanted;
};

/* One (name, type), asked once. A name that goes through the search list is asked several times
 * under that one key. */
struct lookup {
    struct names *names;
    enum dns_type type;
    const char *asked; /* the discovery name it is for, the first one's */
    struct waiter *waiters;
    size_t candidate; /* of the search list */
    bool is_answered;
    enum proto_outcome outcome; /* the final one, or the worst of the search list so far */
    uint64_t time_us;           /* over all tries */
    struct dns_record *records;
    size_t count;
    UT_hash_handle hh;
    char name[DNSMSG_NAME_MAX];    /* as it is being asked */
    char key[DNSMSG_NAME_MAX + 8]; /* "28 api.shop.local", lower case */
};

struct names {
    struct names_env env;
    struct names_sink sink;
    struct host_entries hosts;
    struct wanted *all;
    struct lookup *lookups;
    size_t open; /* questions under way, the reference server's too */
    bool is_freed;
    struct arena arena;
};

/* ---- rows ---- */

static const char *type_name(enum dns_type type)
{
    return type == DNS_A ? "A" : type == DNS_AAAA ? "AAAA" : "SRV";
}

static void put_record(char *out, enum dns_type type, const struct dns_record *record)
{
    if (type == DNS_SRV)
        snprintf(out, SRV_TEXT_MAX, "%u %u %u %s", record->priority, record->weight, record->port,
                 record->name);
    else
        inet_ntop(type == DNS_A ? AF_INET : AF_INET6, record->address, out, SRV_TEXT_MAX);
}

static void emit(struct names *names, const struct lookup *lookup,
                 const struct resolution *resolution, bool is_reference)
{
    const struct dns_answer *answer = &resolution->answer;
    char(*texts)[SRV_TEXT_MAX] = mem_array(answer->count, SRV_TEXT_MAX);
    const char *answers[DNSMSG_ANSWERS_MAX], *chain[DNSMSG_CHAIN_MAX];
    struct proto_resolution row = {
        .name = lookup->name,
        .type = type_name(lookup->type),
        .outcome = resolution->outcome,
        .rcode = answer->rcode,
        .ttl_s = answer->count ? (int64_t)answer->ttl_s : answer->negative_ttl_s,
        .time_us = (int64_t)resolution->time_us,
        .resolver = resolution->server,
        .answers = answers,
        .answer_count = answer->count,
        .asked = strcasecmp(lookup->asked, lookup->name) == 0 ? "" : lookup->asked,
        .chain = chain,
        .chain_count = answer->chain_count,
        .tries = resolution->tries,
        .is_truncated = answer->is_truncated,
        .is_tcp = resolution->is_tcp,
        .is_superseded = !resolution->is_final,
        .is_reference = is_reference,
    };

    for (size_t i = 0; i < answer->count; i++) {
        put_record(texts[i], lookup->type, &answer->records[i]);
        answers[i] = texts[i];
    }
    for (size_t i = 0; i < answer->chain_count; i++)
        chain[i] = answer->chain[i];
    names->sink.on_resolution(names->sink.ctx, &row);
    mem_free(texts);
}

/* ---- endpoints ---- */

static void give_endpoint(struct names *names, struct wanted *wanted, const char *via,
                          union kernel_address *address)
{
    struct names_endpoint endpoint = {wanted->name, via, *address, wanted->resolve_us};

    if (address->any.sa_family == AF_INET)
        endpoint.address.v4.sin_port = htons(wanted->port);
    else
        endpoint.address.v6.sin6_port = htons(wanted->port);
    wanted->has_endpoint = true;
    names->sink.on_endpoint(names->sink.ctx, wanted->target, &endpoint);
}

static void give_records(struct names *names, struct wanted *wanted, const struct lookup *lookup)
{
    for (size_t i = 0; i < lookup->count; i++) {
        union kernel_address address = {0};
        if (lookup->type == DNS_A) {
            address.v4.sin_family = AF_INET;
            memcpy(&address.v4.sin_addr, lookup->records[i].address, 4);
        } else {
            address.v6.sin6_family = AF_INET6;
            memcpy(&address.v6.sin6_addr, lookup->records[i].address, 16);
        }
        give_endpoint(names, wanted, "", &address);
    }
}

static void resolve_host(struct names *names, void *target, const char *host, const char *name,
                         uint16_t port);

static void follow_srv(struct names *names, struct wanted *wanted, const struct lookup *lookup)
{
    for (size_t i = 0; i < lookup->count; i++) {
        const struct dns_record *record = &lookup->records[i];
        wanted->has_endpoint = true;
        resolve_host(names, wanted->target, arena_strdup(&names->arena, record->name), wanted->name,
                     record->port);
    }
}

/* How much a failed lookup says: no answer beats "no such record", so that a time-out of one type
 * is not hidden by NODATA of the other. */
static int severity(enum proto_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_OK:
        return 0;
    case OUTCOME_NODATA:
        return 1;
    case OUTCOME_NXDOMAIN:
        return 2;
    default:
        return 3;
    }
}

static void take_answer(struct names *names, struct wanted *wanted, const struct lookup *lookup)
{
    wanted->pending--;
    if (lookup->time_us > wanted->resolve_us)
        wanted->resolve_us = lookup->time_us;
    if (severity(lookup->outcome) > severity(wanted->outcome)) {
        wanted->outcome = lookup->outcome;
        wanted->worst = strcasecmp(lookup->name, wanted->name) == 0 ? "" : lookup->name;
    }
    if (lookup->outcome == OUTCOME_OK && lookup->type == DNS_SRV)
        follow_srv(names, wanted, lookup);
    else if (lookup->outcome == OUTCOME_OK)
        give_records(names, wanted, lookup);
    if (wanted->pending == 0 && !wanted->has_endpoint)
        names->sink.on_unresolved(names->sink.ctx, wanted->target, wanted->name, wanted->port,
                                  wanted->outcome, wanted->resolve_us, wanted->worst);
}

/* ---- lookups ---- */

/* The lookup's next name to ask: a name with few dots in each domain of the search list, then as it
 * is; any other only as it is. False: there is none left. */
static bool next_candidate(struct lookup *lookup)
{
    const struct host *host = lookup->names->env.host;
    const char *name = strchr(lookup->key, ' ') + 1;
    unsigned dots = 0;
    size_t last;

    for (const char *c = name; *c; c++)
        dots += *c == '.';
    /* ndots above 1 would send absolute names through the list first: five questions for one. */
    last = dots == 0 && host->dots > 0 ? host->search_count : 0;
    while (lookup->candidate <= last) {
        size_t at = lookup->candidate++;
        int length = at < last ? snprintf(lookup->name, sizeof(lookup->name), "%s.%s", name,
                                          host->search[at])
                               : snprintf(lookup->name, sizeof(lookup->name), "%s", name);
        if (length < (int)sizeof(lookup->name) &&
            policy_allows_name(lookup->names->env.policy, lookup->name))
            return true;
    }
    return false;
}

static void on_resolved(void *ctx, const struct resolution *resolution);

static bool ask_next(struct lookup *lookup)
{
    if (!next_candidate(lookup))
        return false;
    resolver_query(lookup->names->env.resolver, lookup->name, lookup->type, on_resolved, lookup);
    return true;
}

static void settle(struct names *names, struct lookup *lookup)
{
    lookup->is_answered = true;
    names->open--;
    while (lookup->waiters) {
        struct waiter *waiter = lookup->waiters;
        lookup->waiters = waiter->next;
        take_answer(names, waiter->wanted, lookup);
        mem_free(waiter);
    }
}

/* Hands a try on. False: others follow, or nobody listens any more; then `lookup` may be gone. */
static bool take_try(struct lookup *lookup, const struct resolution *resolution, bool is_reference)
{
    struct names *names = lookup->names;

    if (names->is_freed) {
        if (resolution->is_final && --names->open == 0)
            names_free(names);
        return false;
    }
    emit(names, lookup, resolution, is_reference);
    return resolution->is_final;
}

static void on_resolved(void *ctx, const struct resolution *resolution)
{
    struct lookup *lookup = ctx;
    struct names *names = lookup->names;

    lookup->time_us += resolution->time_us;
    if (!take_try(lookup, resolution, false))
        return;
    if (lookup->candidate == 1 || severity(resolution->outcome) > severity(lookup->outcome) ||
        resolution->outcome == OUTCOME_OK)
        lookup->outcome = resolution->outcome;
    lookup->count = resolution->answer.count;
    lookup->records =
        mem_dup(resolution->answer.records, lookup->count * sizeof(*resolution->answer.records));
    if (resolution->outcome != OUTCOME_OK && ask_next(lookup)) {
        mem_free(lookup->records);
        lookup->records = NULL;
        return;
    }
    settle(names, lookup);
    names->sink.on_progress(names->sink.ctx);
}

/* The reference server's answer is only shown beside the other. */
static void on_reference(void *ctx, const struct resolution *resolution)
{
    struct lookup *lookup = ctx;
    struct names *names = lookup->names;

    if (!take_try(lookup, resolution, true))
        return;
    names->open--;
    names->sink.on_progress(names->sink.ctx);
}

static void lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

static struct lookup *find_lookup(struct names *names, const char *host, const char *asked,
                                  enum dns_type type)
{
    struct resolver *resolver = names->env.resolver;
    struct lookup *lookup;
    char key[sizeof(lookup->key)];

    snprintf(key, sizeof(key), "%d %.253s", type, host);
    lower(key);
    HASH_FIND_STR(names->lookups, key, lookup);
    if (lookup)
        return lookup;
    lookup = mem_alloc(sizeof(*lookup));
    lookup->names = names;
    lookup->type = type;
    lookup->asked = asked;
    memcpy(lookup->key, key, sizeof(key));
    HASH_ADD_STR(names->lookups, key, lookup);
    names->open++;
    if (!ask_next(lookup)) {
        budget_count(names->env.budget, BUDGET_BY_NAME);
        lookup->outcome = OUTCOME_NOT_ALLOWED;
        settle(names, lookup);
    } else if (resolver_has_reference(resolver) && lookup->candidate == 1) {
        names->open++;
        resolver_query_reference(resolver, lookup->name, type, on_reference, lookup);
    }
    return lookup;
}

static void ask(struct names *names, struct wanted *wanted, const char *host, enum dns_type type)
{
    struct lookup *lookup = find_lookup(names, host, wanted->name, type);
    struct waiter *waiter;

    wanted->pending++;
    if (lookup->is_answered) {
        take_answer(names, wanted, lookup);
        return;
    }
    waiter = mem_alloc(sizeof(*waiter));
    waiter->wanted = wanted;
    waiter->next = lookup->waiters;
    lookup->waiters = waiter;
}

/* ---- a name ---- */

static struct wanted *new_wanted(struct names *names, void *target, const char *name, uint16_t port)
{
    struct wanted *wanted = mem_alloc(sizeof(*wanted));

    *wanted = (struct wanted){.next = names->all,
                              .target = target,
                              .name = name,
                              .port = port,
                              .outcome = OUTCOME_OK,
                              .worst = ""};
    names->all = wanted;
    return wanted;
}

static bool resolve_literal(struct names *names, void *target, const char *host, const char *name,
                            uint16_t port)
{
    union kernel_address address = {0};

    if (inet_pton(AF_INET, host, &address.v4.sin_addr) == 1)
        address.any.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, host, &address.v6.sin6_addr) == 1)
        address.any.sa_family = AF_INET6;
    else
        return false;
    give_endpoint(names, &(struct wanted){.target = target, .name = name, .port = port}, "address",
                  &address);
    return true;
}

static void emit_hosts(struct names *names, const char *host, const char *name, int family,
                       const char **answers, size_t count)
{
    struct proto_resolution row = {
        .name = host,
        .type = family == AF_INET ? "A" : "AAAA",
        .outcome = OUTCOME_OK,
        .ttl_s = -1,
        .resolver = "hosts",
        .answers = answers,
        .answer_count = count,
        .asked = strcasecmp(host, name) == 0 ? "" : name,
    };

    if (count)
        names->sink.on_resolution(names->sink.ctx, &row);
}

static size_t give_entries(struct names *names, struct wanted *wanted, const char *host, int family)
{
    char texts[16][INET6_ADDRSTRLEN];
    const char *answers[ARRAY_SIZE(texts)];
    size_t count = 0;

    for (size_t i = 0; i < names->hosts.count && count < ARRAY_SIZE(texts); i++) {
        const struct host_entry *entry = &names->hosts.entries[i];
        union kernel_address address = {0};
        if (entry->address.ss_family != family || strcasecmp(entry->name, host) != 0)
            continue;
        memcpy(&address, &entry->address, sizeof(address));
        inet_ntop(family,
                  family == AF_INET ? (const void *)&address.v4.sin_addr
                                    : (const void *)&address.v6.sin6_addr,
                  texts[count], sizeof(texts[count]));
        answers[count] = texts[count];
        count++;
        give_endpoint(names, wanted, "hosts", &address);
    }
    emit_hosts(names, host, wanted->name, family, answers, count);
    return count;
}

static bool is_in_hosts(const struct names *names, const char *host)
{
    for (size_t i = 0; i < names->hosts.count; i++)
        if (strcasecmp(names->hosts.entries[i].name, host) == 0)
            return true;
    return false;
}

/* A name outside the suffixes is never asked for. One that the search list may complete is judged
 * with its domain (next_candidate). */
static bool is_refused(struct names *names, void *target, const char *host, const char *name,
                       uint16_t port)
{
    enum proto_outcome outcome = OUTCOME_NOT_ALLOWED;

    if (!budget_has_memory(names->env.budget))
        outcome = OUTCOME_OVER_BUDGET;
    else if (!strchr(host, '.') || policy_allows_name(names->env.policy, host))
        return false;
    else
        budget_count(names->env.budget, BUDGET_BY_NAME);
    names->sink.on_unresolved(names->sink.ctx, target, name, port, outcome, 0,
                              strcasecmp(host, name) == 0 ? "" : host);
    return true;
}

static void resolve_host(struct names *names, void *target, const char *host, const char *name,
                         uint16_t port)
{
    struct wanted *wanted;

    if (resolve_literal(names, target, host, name, port) ||
        is_refused(names, target, host, name, port))
        return;
    wanted = new_wanted(names, target, name, port);
    if (is_in_hosts(names, host)) {
        give_entries(names, wanted, host, AF_INET);
        give_entries(names, wanted, host, AF_INET6);
        return;
    }
    /* Held open, so that an answer from the cache does not end it before the second question. */
    wanted->pending++;
    ask(names, wanted, host, DNS_A);
    wanted->pending--;
    ask(names, wanted, host, DNS_AAAA);
}

void names_resolve(struct names *names, void *target, const char *name, bool is_srv, uint16_t port)
{
    if (!is_srv)
        resolve_host(names, target, name, name, port);
    else if (!is_refused(names, target, name, name, 0))
        ask(names, new_wanted(names, target, name, 0), name, DNS_SRV);
}

bool names_are_resolved(const struct names *names)
{
    return names->open == 0;
}

/* ---- life ---- */

struct names *names_new(const struct names_env *env, const struct names_sink *sink)
{
    struct names *names = mem_alloc(sizeof(*names));

    names->env = *env;
    names->sink = *sink;
    host_read_entries(&names->hosts, NULL);
    return names;
}

static void drop_lookups(struct names *names)
{
    struct lookup *lookup, *next;

    HASH_ITER(hh, names->lookups, lookup, next)
    {
        HASH_DEL(names->lookups, lookup);
        while (lookup->waiters) {
            struct waiter *waiter = lookup->waiters;
            lookup->waiters = waiter->next;
            mem_free(waiter);
        }
        mem_free(lookup->records);
        mem_free(lookup);
    }
}

struct names *names_free(struct names *names)
{
    if (!names)
        return NULL;
    if (names->open) {
        names->is_freed = true; /* the last answer ends it */
        return NULL;
    }
    drop_lookups(names);
    while (names->all) {
        struct wanted *wanted = names->all;
        names->all = wanted->next;
        mem_free(wanted);
    }
    host_entries_deinit(&names->hosts);
    arena_deinit(&names->arena);
    mem_free(names);
    return NULL;
}
