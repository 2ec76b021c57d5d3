#include "collector/registry.h"

#include "common/mem.h"
#include "common/text.h"

#include <assert.h>
#include <string.h>

struct agent *registry_find(const struct registry *registry, const char *instance)
{
    struct agent *agent;

    HASH_FIND_STR(registry->agents, instance, agent);
    return agent;
}

struct agent *agent_record_free(struct agent *agent)
{
    if (agent) {
        arena_deinit(&agent->arena);
        mem_free(agent->got);
    }
    mem_free(agent);
    return NULL;
}

void registry_remove(struct registry *registry, struct agent *agent)
{
    assert(registry->agents && registry->places);
    HASH_DEL(registry->agents, agent);
    HASH_DELETE(by_place, registry->places, agent);
}

static const char **keep_list(struct arena *arena, const char **list, size_t count)
{
    const char **copy = arena_alloc(arena, count, sizeof(*copy));

    for (size_t i = 0; i < count; i++)
        copy[i] = arena_strdup(arena, list[i]);
    return copy;
}

static struct agent *record_of(const struct proto_hello *hello)
{
    struct agent *agent = mem_alloc(sizeof(*agent));
    struct arena *arena = &agent->arena;

    agent->cluster = arena_strdup(arena, hello->cluster);
    agent->service = arena_strdup(arena, hello->service);
    agent->task = arena_strdup(arena, hello->task);
    agent->instance = arena_strdup(arena, hello->instance);
    agent->version = arena_strdup(arena, hello->version);
    agent->zone = arena_strdup(arena, hello->zone);
    agent->mode = arena_strdup(arena, hello->mode);
    agent->revision = arena_strdup(arena, hello->revision);
    agent->netns = arena_strdup(arena, hello->netns ? hello->netns : "");
    agent->addresses = keep_list(arena, hello->addresses, hello->address_count);
    agent->address_count = hello->address_count;
    agent->resolvers = keep_list(arena, hello->resolvers, hello->resolver_count);
    agent->resolver_count = hello->resolver_count;
    agent->checks = keep_list(arena, hello->checks, hello->check_count);
    agent->dns_rate = hello->dns_rate ? hello->dns_rate : PROTO_DNS_RATE / 2;
    agent->check_count = hello->check_count;
    agent->age_s = hello->age_s;
    /* 0x1f cannot be in a name: control characters do not arrive. */
    agent->place =
        arena_printf(arena, "%s\x1f%s\x1f%s", hello->cluster, hello->service, hello->task);
    return agent;
}

static void add(struct registry *registry, struct agent *agent)
{
    HASH_ADD_KEYPTR(hh, registry->agents, agent->instance, strlen(agent->instance), agent);
    HASH_ADD_KEYPTR(by_place, registry->places, agent->place, strlen(agent->place), agent);
}

/* An earlier agent of the same task. */
static struct agent *find_older_instance(const struct registry *registry, const char *place)
{
    struct agent *agent;

    HASH_FIND(by_place, registry->places, place, strlen(place), agent);
    return agent;
}

/* A new record in place of an older instance's; NULL when the registry is full. */
static struct agent *register_new(struct registry *registry, const struct proto_hello *hello,
                                  uint64_t now_us, struct agent **ret_replaced)
{
    struct agent *agent = record_of(hello);
    struct agent *older = find_older_instance(registry, agent->place);

    if (!older && HASH_COUNT(registry->agents) >= REGISTRY_AGENTS_MAX) {
        registry->refused++;
        return agent_record_free(agent);
    }
    if (older)
        registry_remove(registry, older);
    *ret_replaced = older;
    agent->since_us = now_us;
    add(registry, agent);
    return agent;
}

struct agent *registry_hello(struct registry *registry, const struct proto_hello *hello,
                             uint32_t link, uint64_t now_us, struct agent **ret_replaced)
{
    struct agent *agent = registry_find(registry, hello->instance);

    *ret_replaced = NULL;
    if (!agent)
        agent = register_new(registry, hello, now_us, ret_replaced);
    if (!agent)
        return NULL;
    if (agent->link != link) {
        agent->link = link;
        agent->change_us = now_us;
        agent->pull.length = 0;
        agent->pull_epoch = 0;
    }
    return agent;
}

void registry_link_down(struct registry *registry, uint32_t link, uint64_t now_us)
{
    struct agent *agent, *next;

    HASH_ITER(hh, registry->agents, agent, next)
    {
        if (agent->link != link)
            continue;
        agent->link = 0;
        agent->change_us = now_us;
        agent->pull.length = 0;
    }
}

struct agent *registry_expire(struct registry *registry, uint64_t now_us)
{
    struct agent *agent, *next;

    HASH_ITER(hh, registry->agents, agent, next)
    {
        if (!agent->link && now_us - agent->change_us > REGISTRY_EXPIRE_MS * 1000ULL) {
            registry_remove(registry, agent);
            return agent;
        }
    }
    return NULL;
}

bool agent_is_live(const struct agent *agent)
{
    return agent->link != 0;
}

bool agent_is_expected(const struct agent *agent, uint64_t now_us)
{
    return agent->link || now_us - agent->change_us < REGISTRY_LOST_MS * 1000ULL;
}

bool agent_has_address(const struct agent *agent, const char *address)
{
    for (size_t i = 0; i < agent->address_count; i++)
        if (strcmp(agent->addresses[i], address) == 0)
            return true;
    return false;
}

bool agent_has_got(const struct agent *agent, int64_t assignment)
{
    for (size_t i = 0; i < agent->got_count; i++)
        if (agent->got[i] == assignment)
            return true;
    return false;
}

void agent_set_counters(struct agent *agent, const struct proto_counter *counters, size_t count)
{
    agent->counter_count = 0;
    for (size_t i = 0; i < count && i < PROTO_COUNTERS_MAX; i++) {
        struct registry_counter *counter = &agent->counters[agent->counter_count];
        if (!text_copy(counter->name, sizeof(counter->name), counters[i].name))
            continue;
        counter->count = counters[i].count;
        agent->counter_count++;
    }
}

void registry_deinit(struct registry *registry)
{
    struct agent *agent, *next;

    HASH_ITER(hh, registry->agents, agent, next)
    {
        registry_remove(registry, agent);
        agent_record_free(agent);
    }
}
