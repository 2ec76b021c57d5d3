#include "collector/registry.h"

#include "common/mem.h"

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
    HASH_DEL(registry->agents, agent);
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
    agent->addresses = keep_list(arena, hello->addresses, hello->address_count);
    agent->address_count = hello->address_count;
    agent->resolvers = keep_list(arena, hello->resolvers, hello->resolver_count);
    agent->resolver_count = hello->resolver_count;
    agent->checks = keep_list(arena, hello->checks, hello->check_count);
    agent->check_count = hello->check_count;
    return agent;
}

static struct agent *find_older_instance(const struct registry *registry,
                                         const struct proto_hello *hello)
{
    struct agent *agent, *next;

    HASH_ITER(hh, registry->agents, agent, next)
    {
        if (strcmp(agent->task, hello->task) == 0 && strcmp(agent->service, hello->service) == 0 &&
            strcmp(agent->cluster, hello->cluster) == 0)
            return agent;
    }
    return NULL;
}

struct agent *registry_hello(struct registry *registry, const struct proto_hello *hello,
                             uint32_t link, uint64_t now_us, struct agent **ret_replaced)
{
    struct agent *agent = registry_find(registry, hello->instance);

    *ret_replaced = NULL;
    if (!agent) {
        struct agent *older = find_older_instance(registry, hello);
        if (!older && HASH_COUNT(registry->agents) >= REGISTRY_AGENTS_MAX) {
            registry->refused++;
            return NULL;
        }
        if (older)
            registry_remove(registry, older);
        *ret_replaced = older;
        agent = record_of(hello);
        agent->since_us = now_us;
        HASH_ADD_KEYPTR(hh, registry->agents, agent->instance, strlen(agent->instance), agent);
    }
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

void registry_deinit(struct registry *registry)
{
    struct agent *agent, *next;

    HASH_ITER(hh, registry->agents, agent, next)
    {
        HASH_DEL(registry->agents, agent);
        agent_record_free(agent);
    }
}
