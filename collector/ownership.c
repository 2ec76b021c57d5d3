#include "collector/ownership.h"

#include "common/mem.h"

#include <stdint.h>
#include <string.h>
#include <uthash.h>

/* An address, and who said hello with it. */
struct holder {
    const char *address;
    const struct owner_agent *first; /* a live one before a lost one before one that left */
    bool is_shared, is_ambiguous;
    UT_hash_handle hh;
};

struct ownership {
    const struct fleet *fleet;
    struct holder *holders;
    size_t *live;  /* per service: agents that are live */
    bool *has_own; /* per service: a live agent with addresses of its own */
};

static bool is_host_mode(const char *mode)
{
    return strcmp(mode, "host") == 0;
}

bool ownership_can_witness(const char *mode)
{
    return strcmp(mode, "bridge") != 0 && strcmp(mode, "none") != 0;
}

static bool is_same_netns(const struct owner_agent *a, const struct owner_agent *b)
{
    return *a->netns && strcmp(a->netns, b->netns) == 0;
}

static void add_address(struct ownership *ownership, const struct owner_agent *agent,
                        const char *address)
{
    struct holder *holder;

    HASH_FIND_STR(ownership->holders, address, holder);
    if (!holder) {
        holder = mem_alloc(sizeof(*holder));
        holder->address = address;
        holder->first = agent;
        holder->is_shared = is_host_mode(agent->mode);
        HASH_ADD_KEYPTR(hh, ownership->holders, holder->address, strlen(address), holder);
        return;
    }
    if (agent->state != holder->first->state) {
        /* Who is there now has it; who left had it. */
        if (agent->state < holder->first->state) {
            holder->first = agent;
            holder->is_shared = is_host_mode(agent->mode);
            holder->is_ambiguous = false;
        }
        return;
    }
    if (!is_same_netns(agent, holder->first))
        holder->is_ambiguous = true;
    else if (strcmp(agent->service, holder->first->service) != 0 || is_host_mode(agent->mode))
        holder->is_shared = true;
}

static void count_service(struct ownership *ownership, const struct owner_agent *agent)
{
    size_t service = fleet_find_service(ownership->fleet, agent->service);

    if (service == SIZE_MAX || agent->state != OWNER_IS_LIVE)
        return;
    ownership->live[service]++;
    ownership->has_own[service] |= agent->address_count > 0 && !is_host_mode(agent->mode) &&
                                   ownership_can_witness(agent->mode);
}

struct ownership *ownership_new(const struct fleet *fleet, const struct owner_agent *agents,
                                size_t count)
{
    struct ownership *ownership = mem_alloc(sizeof(*ownership));

    ownership->fleet = fleet;
    ownership->live = mem_array(fleet->service_count, sizeof(*ownership->live));
    ownership->has_own = mem_array(fleet->service_count, sizeof(*ownership->has_own));
    for (size_t i = 0; i < count; i++) {
        count_service(ownership, &agents[i]);
        if (!ownership_can_witness(agents[i].mode))
            continue;
        for (size_t j = 0; j < agents[i].address_count; j++)
            add_address(ownership, &agents[i], agents[i].addresses[j]);
    }
    return ownership;
}

struct ownership *ownership_free(struct ownership *ownership)
{
    struct holder *holder, *next;

    if (!ownership)
        return NULL;
    HASH_ITER(hh, ownership->holders, holder, next)
    {
        HASH_DEL(ownership->holders, holder);
        mem_free(holder);
    }
    mem_free(ownership->live);
    mem_free(ownership->has_own);
    mem_free(ownership);
    return NULL;
}

/* Every expected task of a service has an agent: only the fleet file can say how many there are. */
static bool is_all_known(const struct ownership *ownership, size_t service)
{
    const struct fleet_service *expected = &ownership->fleet->services[service];

    return expected->has_agents && expected->tasks &&
           ownership->live[service] >= (size_t)expected->tasks;
}

struct owner ownership_find(const struct ownership *ownership, size_t service, const char *address)
{
    struct holder *holder;
    struct owner owner = {OWNER_UNKNOWN, NULL};

    if (strncmp(address, "127.255.", 8) == 0) {
        owner.kind = OWNER_PROXY;
        return owner;
    }
    HASH_FIND_STR(ownership->holders, address, holder);
    if (!holder) {
        owner.kind = is_all_known(ownership, service) ? OWNER_NOBODY : OWNER_UNKNOWN;
        return owner;
    }
    if (holder->is_ambiguous)
        return owner;
    owner.agent = holder->first;
    owner.kind = holder->first->state == OWNER_HAS_LEFT ? OWNER_LEFT
                 : holder->is_shared                    ? OWNER_SHARED
                                                        : OWNER_TASK;
    return owner;
}

static bool is_reached_through(const struct fleet_service *service, const char *other)
{
    for (size_t i = 0; i < service->through_count; i++)
        if (strcmp(service->through[i], other) == 0)
            return true;
    return false;
}

bool ownership_is_reused(const struct ownership *ownership, size_t service,
                         const struct owner *owner)
{
    const struct fleet_service *wanted = &ownership->fleet->services[service];

    return owner->kind == OWNER_TASK && owner->agent->state == OWNER_IS_LIVE &&
           strcmp(owner->agent->service, wanted->name) != 0 && ownership->has_own[service] &&
           !is_reached_through(wanted, owner->agent->service);
}

const char *owner_kind_name(enum owner_kind kind)
{
    static const char *const names[] = {"unknown", "nobody", "task", "shared", "left", "proxy"};

    return names[kind];
}
