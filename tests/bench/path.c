/* How long it takes to walk the rules between 1,000 x 1,000 services (estate.h). The raw limit is
 * one hash look-up of an address a pair. Prints a line as tests/bench/run does.
 */
#include "collector/cloud/path.h"
#include "tests/bench/estate.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICES 1000
#define GOAL_MS  1000
#define TIMES    3 /* the best one counts */

static char addresses[SERVICES][20];

static double raw_ms(const struct path_map *map)
{
    uint64_t began_us = clock_mono_us();
    size_t found = 0;

    for (int s = 0; s < SERVICES; s++)
        for (int t = 0; t < SERVICES; t++)
            found += path_find(map, addresses[t], NULL) != NULL;
    if (found != (size_t)SERVICES * SERVICES)
        abort();
    return (double)(clock_mono_us() - began_us) / 1000;
}

/* All of it: the map is made, each pair asked. */
static double walk_ms(const struct estate *estate, size_t *ret_allowed)
{
    uint64_t began_us = clock_mono_us();
    struct path_map *map = path_map_new(estate);
    size_t allowed = 0;

    for (int s = 0; s < SERVICES; s++)
        for (int t = 0; t < SERVICES; t++) {
            struct path_flow flow;
            struct path path;
            if (!path_flow_of(map, PATH_TCP, addresses[s], addresses[t], 8080, &flow))
                abort();
            path_walk(map, &flow, &path);
            allowed += path.verdict == PATH_ALLOWED;
        }
    path_map_free(map);
    *ret_allowed = allowed;
    return (double)(clock_mono_us() - began_us) / 1000;
}

int main(void)
{
    struct estate *estate;
    struct path_map *map;
    double raw = 1e9, ms = 1e9;
    size_t allowed = 0;

    for (int i = 0; i < SERVICES; i++)
        snprintf(addresses[i], sizeof(addresses[i]), "10.0.%d.%d", i % LARGE_SUBNETS,
                 10 + i / LARGE_SUBNETS);
    estate = estate_make_large(addresses, SERVICES, 8080);
    map = path_map_new(estate);

    for (int i = 0; i < TIMES; i++) {
        double one = raw_ms(map), other = walk_ms(estate, &allowed);
        raw = one < raw ? one : raw;
        ms = other < ms ? other : ms;
    }
    printf("path_1000x1000\t%.0f\tms\t%.2f\t%d\t%s\n", ms, ms / raw, GOAL_MS,
           ms < GOAL_MS && allowed > SERVICES ? "ok" : "short");
    path_map_free(map);
    estate_free(estate);
    return 0;
}
