#include "agent/budget.h"

#include "common/mem.h"

static const char *const names[BUDGET_COUNTERS] = {
    [BUDGET_BY_ADDRESS] = "address",       [BUDGET_BY_NAME] = "name",
    [BUDGET_BY_ENDPOINTS] = "endpoints",   [BUDGET_BY_MEMORY] = "memory",
    [BUDGET_BY_ASSIGNMENT] = "assignment", [BUDGET_BY_READ] = "read",
    [BUDGET_BY_RATE_CHECK] = "throughput", [BUDGET_WAIT_SLOT] = "wait-slot",
    [BUDGET_WAIT_RATE] = "wait-rate",      [BUDGET_WAIT_DNS] = "wait-dns",
};

const char *budget_counter_name(enum budget_counter counter)
{
    return names[counter];
}

void budget_count(struct budget *budget, enum budget_counter counter)
{
    budget->counters[counter]++;
}

/* Forgets the ticks that are more than a second old. */
static void advance(struct budget *budget, uint64_t tick)
{
    uint64_t steps = tick - budget->tick;

    if (steps > BUDGET_TICKS)
        steps = BUDGET_TICKS;
    for (uint64_t i = 1; i <= steps; i++) {
        uint16_t *slot = &budget->started[(budget->tick + i) % BUDGET_TICKS];
        budget->started_sum -= *slot;
        *slot = 0;
    }
    budget->tick = tick;
}

enum budget_answer budget_take(struct budget *budget, unsigned weight, uint64_t now_us,
                               uint64_t *ret_retry_us)
{
    uint64_t tick = now_us / BUDGET_TICK_US;

    if (budget->slots + weight > BUDGET_SLOTS)
        return BUDGET_NO_SLOT;
    if (tick > budget->tick)
        advance(budget, tick);
    if (budget->started_sum >= BUDGET_RATE) {
        *ret_retry_us = (tick + 1) * BUDGET_TICK_US;
        return BUDGET_TOO_FAST;
    }
    budget->started[budget->tick % BUDGET_TICKS]++;
    budget->started_sum++;
    budget->slots += weight;
    return BUDGET_GO;
}

void budget_give(struct budget *budget, unsigned weight)
{
    budget->slots -= weight;
}

bool budget_has_memory(struct budget *budget)
{
    if (mem_used() < BUDGET_MEMORY)
        return true;
    budget_count(budget, BUDGET_BY_MEMORY);
    return false;
}
