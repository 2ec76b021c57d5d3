/* How long the diagnosis takes over 1,000 x 1,000 services, of which twelve lines (12,000 cells)
 * fail for twelve causes; the raw limit is one look at each attempt's address in a hash table. And
 * twice as many failing cells: linear means twice the time at most, less what the healthy ones cost
 * anyway. And with the cloud's view of as many services. Prints lines as tests/bench/run does. */
#include "collector/diagnose.h"
#include "tests/bench/estate.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define SERVICES 1000
#define CAUSES   12
#define TIMES    3 /* the best one counts */

static struct tries_row *rows;
static char (*addresses)[20], (*tasks)[16];

static struct fleet *make_fleet(void)
{
    struct fleet_messages messages = {0};
    struct buf text = BUF_INIT(FLEET_BYTES_MAX);
    struct fleet *fleet;

    buf_puts(&text,
             "fleet: f\nnamespace: f\ndefaults: { check: http, port: 80, path: /h }\nservices:\n");
    for (int s = 0; s < SERVICES; s++)
        buf_printf(&text, "  s%d: { tasks: 1 }\n", s);
    fleet = fleet_parse("bench", buf_text(&text), text.length, &messages);
    if (!fleet)
        fprintf(stderr, "%s", buf_text(&messages.text));
    fleet_messages_deinit(&messages);
    buf_deinit(&text);
    return fleet;
}

/* Twelve causes: six columns and six rows, each of so many cells. */
static void plant(size_t lines)
{
    static const struct {
        enum proto_phase phase;
        enum proto_outcome outcome;
        uint16_t status;
    } kinds[CAUSES / 2] = {
        {PHASE_CONNECT, OUTCOME_REFUSED, 0},  {PHASE_TLS, OUTCOME_TLS_EXPIRED, 0},
        {PHASE_EXCHANGE, OUTCOME_TIMEOUT, 0}, {PHASE_EXCHANGE, OUTCOME_BAD_STATUS, 503},
        {PHASE_CONNECT, OUTCOME_TIMEOUT, 0},  {PHASE_EXCHANGE, OUTCOME_BAD_STATUS, 404}};
    static struct tries_detail detail = {.local = "", .text = "", .via = "", .icmp_from = ""};

    /* Rows first: what a source fails to send, no column's cause can be seen on. */
    for (size_t line = 0; line < lines; line++)
        for (size_t i = 0; i < SERVICES; i++) {
            bool is_row = line < lines / 2;
            size_t number = SERVICES - 1 - line % (lines / 2), kind = line % (CAUSES / 2);
            struct tries_row *row =
                is_row ? &rows[number * SERVICES + i] : &rows[i * SERVICES + number];
            if (row->outcome != OUTCOME_OK)
                continue;
            row->phase = (uint8_t)(is_row ? PHASE_CONNECT : kinds[kind].phase);
            row->outcome = (uint8_t)(is_row ? OUTCOME_LOCAL_ROUTE : kinds[kind].outcome);
            row->status = is_row ? 0 : kinds[kind].status;
            row->round = 1;
            row->is_silent = true;
            row->detail = &detail;
        }
}

static void make_rows(void)
{
    for (uint32_t s = 0; s < SERVICES; s++)
        for (uint32_t c = 0; c < SERVICES; c++)
            rows[s * SERVICES + c] =
                (struct tries_row){.source = s,
                                   .column = c,
                                   .name = "n",
                                   .address = addresses[c],
                                   .port = 80,
                                   .phase = PHASE_EXCHANGE,
                                   .outcome = s == c ? OUTCOME_SELF : OUTCOME_OK};
}

struct seen {
    const char *address;
    unsigned count;
    UT_hash_handle hh;
};

static double look_ms(void)
{
    struct seen *seen = NULL, *all = mem_array(SERVICES, sizeof(*all)), *found;
    uint64_t start = clock_mono_us();

    for (size_t i = 0; i < SERVICES; i++) {
        all[i].address = addresses[i];
        HASH_ADD_KEYPTR(hh, seen, all[i].address, strlen(all[i].address), &all[i]);
    }
    for (size_t i = 0; i < (size_t)SERVICES * SERVICES; i++) {
        HASH_FIND_STR(seen, rows[i].address, found);
        if (found)
            found->count++;
    }
    HASH_CLEAR(hh, seen);
    mem_free(all);
    return (double)(clock_mono_us() - start) / 1000;
}

/* `estate`: with the cloud's view; NULL: without. */
static double diagnose_ms(struct fleet *fleet, const struct estate *estate, size_t lines,
                          size_t *ret_count)
{
    struct diagnose_source *sources = mem_array(SERVICES, sizeof(*sources));
    struct matrix_source *parts = mem_array(SERVICES, sizeof(*parts));
    struct tries_source *tries_sources = mem_array(SERVICES, sizeof(*tries_sources));
    struct owner_agent *agents = mem_array(SERVICES, sizeof(*agents));
    const char **own = mem_array(SERVICES, sizeof(*own));
    bool *scope = mem_array((size_t)SERVICES * SERVICES, sizeof(*scope));
    uint32_t *live = mem_array(SERVICES, sizeof(*live));
    struct answers answers = {0};
    struct tries_set set;
    struct matrix *matrix;
    struct ownership *ownership;
    struct diagnoses *diagnoses;
    struct path_map *map;
    uint64_t start;
    double ms;

    make_rows();
    plant(lines);
    memset(scope, true, (size_t)SERVICES * SERVICES * sizeof(*scope));
    for (size_t s = 0; s < SERVICES; s++) {
        own[s] = addresses[s];
        live[s] = 2;
        parts[s] = (struct matrix_source){.service = s, .is_done = true};
        tries_sources[s].service = s;
        sources[s] = (struct diagnose_source){.service = s,
                                              .task = tasks[s],
                                              .zone = s % 2 ? "b" : "a",
                                              .revision = "1",
                                              .resolver = "10.0.0.2"};
        agents[s] = (struct owner_agent){.service = fleet->services[s].name,
                                         .task = tasks[s],
                                         .mode = "awsvpc",
                                         .netns = "",
                                         .zone = s % 2 ? "b" : "a",
                                         .revision = "1",
                                         .age_s = 1000,
                                         .addresses = &own[s],
                                         .address_count = 1};
    }
    set = tries_gather(rows, (size_t)SERVICES * SERVICES, tries_sources);
    matrix = matrix_build(&(struct matrix_input){.fleet = fleet,
                                                 .sources = parts,
                                                 .source_count = SERVICES,
                                                 .rows = rows,
                                                 .row_count = (size_t)SERVICES * SERVICES,
                                                 .scope = scope,
                                                 .live_tasks = live});
    ownership = ownership_new(fleet, agents, SERVICES);
    start = clock_mono_us();
    map = estate ? path_map_new(estate) : NULL;
    diagnoses = diagnose(&(struct diagnose_input){.fleet = fleet,
                                                  .matrix = matrix,
                                                  .set = &set,
                                                  .sources = sources,
                                                  .source_count = SERVICES,
                                                  .answers = &answers,
                                                  .ownership = ownership,
                                                  .agents = agents,
                                                  .agent_count = SERVICES,
                                                  .estate = estate,
                                                  .map = map});
    ms = (double)(clock_mono_us() - start) / 1000;
    *ret_count = diagnoses->count;
    path_map_free(map);
    diagnoses_free(diagnoses);
    ownership_free(ownership);
    matrix_free(matrix);
    tries_deinit(&set);
    answers_deinit(&answers);
    mem_free(sources);
    mem_free(parts);
    mem_free(tries_sources);
    mem_free(agents);
    mem_free(own);
    mem_free(scope);
    mem_free(live);
    return ms;
}

int main(void)
{
    struct fleet *fleet = make_fleet();
    size_t count, twice_count, cloud_count;
    double raw, ms, twice, with_cloud;
    struct estate *estate;

    if (!fleet)
        return 1;
    rows = mem_array((size_t)SERVICES * SERVICES, sizeof(*rows));
    addresses = mem_array(SERVICES, sizeof(*addresses));
    tasks = mem_array(SERVICES, sizeof(*tasks));
    for (int s = 0; s < SERVICES; s++) {
        snprintf(addresses[s], sizeof(*addresses), "10.0.%d.%d", s / 250, s % 250 + 1);
        snprintf(tasks[s], sizeof(*tasks), "s%d.1", s);
    }
    make_rows();
    raw = look_ms();
    estate = estate_make_large(addresses, SERVICES, 80);
    ms = twice = with_cloud = 1e9;
    for (int i = 0; i < TIMES; i++) {
        double one = diagnose_ms(fleet, NULL, CAUSES, &count);
        double two = diagnose_ms(fleet, NULL, 2 * CAUSES, &twice_count);
        double cloud = diagnose_ms(fleet, estate, CAUSES, &cloud_count);
        ms = one < ms ? one : ms;
        twice = two < twice ? two : twice;
        with_cloud = cloud < with_cloud ? cloud : with_cloud;
    }
    printf("diagnose\t%.0f\tms\t%.1f\t1000\t%s\n", ms, ms / raw, ms < 1000 ? "ok" : "short");
    printf("diagnose_twice\t%.0f\tms\t%.2f\t2.2\t%s\n", twice, twice / ms,
           twice / ms <= 2.2 ? "ok" : "short");
    printf("diagnose_cloud\t%.0f\tms\t%.1f\t1000\t%s\n", with_cloud, with_cloud / raw,
           with_cloud < 1000 ? "ok" : "short");
    fprintf(stderr, "diagnose: %zu diagnoses of %d lines, %zu of %d\n", count, CAUSES, twice_count,
            2 * CAUSES);
    estate_free(estate);
    mem_free(rows);
    mem_free(addresses);
    mem_free(tasks);
    fleet_unref(fleet);
    return 0;
}
