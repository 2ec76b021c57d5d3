#include "collector/throttle.h"

#include "common/mem.h"

#include <stdio.h>
#include <string.h>

static struct throttle_place *leader_of(struct throttle_place *place)
{
    while (place->leader != place) {
        place->leader = place->leader->leader;
        place = place->leader;
    }
    return place;
}

static const struct throttle_place *const_leader_of(const struct throttle_place *place)
{
    while (place->leader != place)
        place = place->leader;
    return place;
}

struct throttle_place *throttle_place(struct throttle *throttle, const char *service, int64_t port)
{
    struct throttle_place *place;
    char key[PROTO_NAME_MAX + 16];

    snprintf(key, sizeof(key), "%s %lld", service, (long long)port);
    HASH_FIND_STR(throttle->places, key, place);
    if (place)
        return place;
    place = mem_alloc(sizeof(*place));
    place->key = mem_strdup(key);
    place->leader = place;
    HASH_ADD_KEYPTR(hh, throttle->places, place->key, strlen(place->key), place);
    return place;
}

/* The newest of both, oldest first. */
static void note_starts(struct throttle_limits *limits, const uint64_t *starts, unsigned count)
{
    uint64_t all[2 * THROTTLE_STARTS];
    unsigned own = limits->start_count, i = 0, j = 0, total = 0, first;

    while (i < own || j < count)
        all[total++] = j == count || (i < own && limits->starts[i] <= starts[j])
                           ? limits->starts[i++]
                           : starts[j++];
    if (!limits->starts)
        limits->starts = mem_array(THROTTLE_STARTS, sizeof(*limits->starts));
    first = total > THROTTLE_STARTS ? total - THROTTLE_STARTS : 0;
    limits->start_count = total - first;
    memcpy(limits->starts, all + first, limits->start_count * sizeof(*all));
}

static void merge(struct throttle_place *a, struct throttle_place *b)
{
    a = leader_of(a);
    b = leader_of(b);
    if (a == b)
        return;
    b->leader = a;
    a->limits.in_flight += b->limits.in_flight;
    if (b->limits.next_us > a->limits.next_us)
        a->limits.next_us = b->limits.next_us;
    if (b->limits.start_count)
        note_starts(&a->limits, b->limits.starts, b->limits.start_count);
    a->given += b->given;
    if (b->most > a->most)
        a->most = b->most;
}

/* ---- limits ---- */

/* The first moment from which on so many may start, a spacing apart. */
static uint64_t free_start(const struct throttle_limits *limits, unsigned starts, uint64_t now_us)
{
    uint64_t at_us = limits->next_us > now_us ? limits->next_us : now_us;

    /* With the i-th of them the one THROTTLE_STARTS before it has to be a period ago. */
    for (unsigned i = THROTTLE_STARTS - limits->start_count; i < starts && i < THROTTLE_STARTS;
         i++) {
        uint64_t free_us = limits->starts[i + limits->start_count - THROTTLE_STARTS] +
                           THROTTLE_PERIOD_US - (uint64_t)THROTTLE_SPACING_US * i;
        if (free_us > at_us)
            at_us = free_us;
    }
    return at_us;
}

static void note_retry(struct throttle *throttle, uint64_t at_us, uint64_t now_us)
{
    if (throttle->retry_us <= now_us || at_us < throttle->retry_us)
        throttle->retry_us = at_us;
}

/* `others`: in flight there besides. */
static bool take(struct throttle *throttle, struct throttle_limits *limits, unsigned others,
                 const struct throttle_wish *wish, uint64_t now_us, uint64_t *ret_delay_us)
{
    uint64_t at_us;

    if (limits->in_flight + others + wish->weight + wish->reserve > THROTTLE_IN_FLIGHT)
        return false;
    at_us = free_start(limits, wish->starts, now_us);
    if (at_us > now_us + THROTTLE_AHEAD_US) {
        note_retry(throttle, at_us - THROTTLE_AHEAD_US, now_us);
        return false;
    }
    *ret_delay_us = at_us - now_us;
    for (unsigned i = 0; i < wish->starts; i++) {
        uint64_t start_us = at_us + (uint64_t)THROTTLE_SPACING_US * i;
        note_starts(limits, &start_us, 1);
    }
    limits->next_us = at_us + (uint64_t)THROTTLE_SPACING_US * wish->starts;
    limits->in_flight += wish->weight;
    return true;
}

static unsigned less(unsigned value, unsigned by)
{
    return by < value ? value - by : 0;
}

bool throttle_take(struct throttle *throttle, struct throttle_place *place,
                   const struct throttle_wish *wish, uint64_t now_us, uint64_t *ret_delay_us)
{
    place = leader_of(place);
    return take(throttle, &place->limits, place->most, wish, now_us, ret_delay_us);
}

void throttle_give(struct throttle_place *place, unsigned weight)
{
    place = leader_of(place);
    place->limits.in_flight = less(place->limits.in_flight, weight);
}

uint64_t throttle_retry_us(const struct throttle *throttle, uint64_t now_us)
{
    return throttle->retry_us > now_us ? throttle->retry_us : 0;
}

/* ---- endpoints ---- */

static struct throttle_endpoint *find(struct throttle *throttle, const char *address, int64_t port)
{
    struct throttle_endpoint *endpoint;
    char key[96];

    snprintf(key, sizeof(key), "%s %lld", address, (long long)port);
    HASH_FIND_STR(throttle->endpoints, key, endpoint);
    return endpoint;
}

static struct throttle_endpoint *find_or_add(struct throttle *throttle,
                                             struct throttle_place *place, const char *address,
                                             int64_t port)
{
    struct throttle_endpoint *endpoint = find(throttle, address, port);
    char key[96];

    if (endpoint) {
        merge(endpoint->place, place);
        return endpoint;
    }
    if (HASH_COUNT(throttle->endpoints) >= THROTTLE_ENDPOINTS_MAX)
        return NULL;
    endpoint = mem_alloc(sizeof(*endpoint));
    snprintf(key, sizeof(key), "%s %lld", address, (long long)port);
    endpoint->key = mem_strdup(key);
    endpoint->place = place;
    HASH_ADD_KEYPTR(hh, throttle->endpoints, endpoint->key, strlen(endpoint->key), endpoint);
    return endpoint;
}

bool throttle_take_endpoint(struct throttle *throttle, struct throttle_place *place,
                            const char *address, int64_t port, const struct throttle_wish *wish,
                            uint64_t now_us, uint64_t *ret_delay_us)
{
    struct throttle_endpoint *endpoint = find_or_add(throttle, place, address, port);

    if (!endpoint)
        return throttle_take(throttle, place, wish, now_us, ret_delay_us); /* ..._ENDPOINTS_MAX */
    place = leader_of(endpoint->place);
    if (!take(throttle, &endpoint->limits, place->limits.in_flight, wish, now_us, ret_delay_us))
        return false;
    place->given += wish->weight;
    if (endpoint->limits.in_flight > place->most)
        place->most = endpoint->limits.in_flight;
    return true;
}

void throttle_give_endpoint(struct throttle *throttle, const char *address, int64_t port,
                            unsigned weight)
{
    struct throttle_endpoint *endpoint = find(throttle, address, port);
    struct throttle_place *place;

    if (!endpoint)
        return;
    place = leader_of(endpoint->place);
    endpoint->limits.in_flight = less(endpoint->limits.in_flight, weight);
    place->given = less(place->given, weight);
    if (!place->given)
        place->most = 0;
}

bool throttle_is_hung_row(const struct proto_probe *probe)
{
    return probe->outcome == OUTCOME_TIMEOUT && probe->phase > PHASE_CONNECT &&
           probe->bytes_in == 0;
}

/* The app took part: it answered, or nobody listens (any more). */
static bool is_answer(const struct proto_probe *probe)
{
    return probe->outcome == OUTCOME_OK || probe->outcome == OUTCOME_REFUSED ||
           (probe->phase > PHASE_CONNECT && outcome_class(probe->outcome) == OUTCOME_IS_FAILURE &&
            !throttle_is_hung_row(probe));
}

static void set_unanswered(struct throttle *throttle, struct throttle_endpoint *endpoint,
                           unsigned count)
{
    throttle->hung -= endpoint->unanswered >= THROTTLE_HUNG_AFTER;
    endpoint->unanswered = count;
    throttle->hung += count >= THROTTLE_HUNG_AFTER;
}

void throttle_note(struct throttle *throttle, struct throttle_place *place,
                   const struct proto_probe *probe, uint64_t now_us)
{
    struct throttle_endpoint *endpoint;

    /* Own proxies and own addresses are no endpoints of the fleet's. */
    if (!*probe->address || strncmp(probe->address, "127.", 4) == 0)
        return;
    endpoint = find_or_add(throttle, place, probe->address, probe->port);
    if (!endpoint)
        return;
    if (throttle_is_hung_row(probe))
        set_unanswered(throttle, endpoint, endpoint->unanswered + 1);
    else if (is_answer(probe))
        set_unanswered(throttle, endpoint, 0);
    else
        return;
    endpoint->tried_us = now_us;
}

void throttle_note_queue(struct throttle *throttle, const char *address, int64_t port,
                         int64_t queue)
{
    struct throttle_endpoint *endpoint = find(throttle, address, port);

    if (endpoint && queue < endpoint->unanswered)
        set_unanswered(throttle, endpoint, (unsigned)queue);
}

void throttle_forget(struct throttle *throttle, const char *address)
{
    size_t length = strlen(address);
    struct throttle_endpoint *endpoint, *next;

    if (!throttle->hung)
        return;
    HASH_ITER(hh, throttle->endpoints, endpoint, next)
    {
        if (strncmp(endpoint->key, address, length) == 0 && endpoint->key[length] == ' ')
            set_unanswered(throttle, endpoint, 0);
    }
}

static bool may_scout(const struct throttle_endpoint *endpoint, int64_t run, uint64_t now_us)
{
    if (endpoint->scout_run == run)
        return false;
    return endpoint->unanswered < THROTTLE_UNANSWERED_MAX ||
           now_us - endpoint->tried_us > THROTTLE_RETRY_US;
}

size_t throttle_spared(struct throttle *throttle, const struct throttle_place *place, int64_t run,
                       uint64_t now_us, struct arena *arena, const char **out, size_t max)
{
    const struct throttle_place *leader = const_leader_of(place);
    struct throttle_endpoint *endpoint, *next;
    size_t count = 0;

    if (!throttle->hung)
        return 0;
    HASH_ITER(hh, throttle->endpoints, endpoint, next)
    {
        const char *port = strchr(endpoint->key, ' ') + 1;
        int length = (int)(port - 1 - endpoint->key);
        bool is_v6 = memchr(endpoint->key, ':', (size_t)length);
        if (endpoint->unanswered < THROTTLE_HUNG_AFTER || count == max ||
            const_leader_of(endpoint->place) != leader)
            continue;
        if (may_scout(endpoint, run, now_us)) {
            endpoint->scout_run = run;
            continue;
        }
        out[count++] =
            arena_printf(arena, is_v6 ? "[%.*s]:%s" : "%.*s:%s", length, endpoint->key, port);
    }
    return count;
}

void throttle_deinit(struct throttle *throttle)
{
    struct throttle_place *place, *next_place;
    struct throttle_endpoint *endpoint, *next_endpoint;

    HASH_ITER(hh, throttle->endpoints, endpoint, next_endpoint)
    {
        HASH_DEL(throttle->endpoints, endpoint);
        mem_free(endpoint->key);
        mem_free(endpoint->limits.starts);
        mem_free(endpoint);
    }
    HASH_ITER(hh, throttle->places, place, next_place)
    {
        HASH_DEL(throttle->places, place);
        mem_free(place->key);
        mem_free(place->limits.starts);
        mem_free(place);
    }
}
