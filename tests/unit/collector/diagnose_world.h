/* diagnose_world: a fleet of three services of two tasks each in which everything passes, but for
 * what a case's lines say; and its diagnosis. The cases stand as data in
 * tests/unit/collector/diagnose. */
/* clang-format off */
/*   # TITLE                                    begins a case
 *   fail FROM TO PHASE OUTCOME [KEY=VALUE...]  FROM, TO: web, web.1, @a (a zone), *
 *   extra FROM SERVICE ADDRESS PHASE OUTCOME [KEY=VALUE...]   an endpoint that no task has
 *   unresolved FROM SERVICE OUTCOME [KEY=VALUE...]            name=, resolver=, srv=1, cut=1, tries=
 *   hosts FROM SERVICE                         its names stand in /etc/hosts
 *   answer FROM NAME ADDRESS                   what is heard instead; ttl=, us=
 *   resolver FROM ADDRESS
 *   witness TASK [KEY=VALUE...]                listen=ADDRESS:PORT, own=, status=, resets=,
 *                                              half-open=1, queue=, most=, backlog=, resent=
 *   age TASK SECONDS | revision TASK NAME | gone SERVICE | part TASK missing | expect LINE
 *   lossy FROM TO COUNT
 *   cloud                                      the cloud's view is there: diagnose/estate.json
 *   swap OLD NEW                               ... with this text in place of that ("" is nothing)
 *   missing CALL                               ... without what this call would have told
 */
/* clang-format on */
#ifndef TESTS_UNIT_COLLECTOR_DIAGNOSE_WORLD_H
#define TESTS_UNIT_COLLECTOR_DIAGNOSE_WORLD_H

#include "collector/diagnose.h"
#include "tests/unit/collector/estate_fixture.h"
#include "tests/unit/collector/fixture.h"

#include "collector/rules.h"
#include "common/mem.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>

#define TASKS 6
#define ROWS  512
#define NAMES 4
#define WORDS 24

static const char *const services[] = {"web", "api", "db"};
static const char *const names[NAMES] = {"web.t", "api.t", "api2.t", "db.t"};
static const size_t service_of_name[NAMES] = {0, 1, 1, 2};
static const unsigned ports[] = {80, 80, 90};

struct heard {
    bool is_default;
    const char *type, *resolver, *record;
    enum proto_outcome outcome;
    int64_t ttl_s, time_us, tries;
    bool is_cut;
};

static struct world {
    char title[256];
    struct arena arena;
    struct buf expect;
    struct tries_row rows[ROWS];
    size_t row_count;
    struct heard heard[TASKS][NAMES];
    const char *resolvers[TASKS], *revisions[TASKS];
    int64_t ages[TASKS];
    bool is_gone[3], is_missing[TASKS];
    struct proto_witness witnesses[TASKS];
    bool has_witness[TASKS];
    struct proto_probe checks[TASKS];
    struct proto_listener listeners[TASKS][4];
    struct proto_counter counters[TASKS][2];
    struct proto_arrival arrivals[TASKS][ROWS];
    const char *estate, *missing; /* JSON; NULL: no cloud */
} world;

/* ---- the fleet in which all is well ---- */

static const char *task_name(size_t task)
{
    return arena_printf(&world.arena, "%s.%zu", services[task / 2], task % 2 + 1);
}

static const char *address_of(size_t task)
{
    return arena_printf(&world.arena, "10.%zu.0.%zu", task / 2 + 1, task % 2 + 1);
}

static struct tries_row *add_row(size_t source, size_t name, const char *address)
{
    size_t service = service_of_name[name];
    struct tries_row *row = &world.rows[world.row_count++];

    assert_true(world.row_count <= ROWS);
    *row = (struct tries_row){.source = (uint32_t)source,
                              .column = (uint32_t)service,
                              .name = names[name],
                              .address = address,
                              .port = (uint16_t)ports[service],
                              .phase = PHASE_EXCHANGE,
                              .outcome = OUTCOME_OK};
    return row;
}

static void begin(const char *title)
{
    arena_deinit(&world.arena);
    buf_deinit(&world.expect);
    memset(&world, 0, sizeof(world));
    world.expect = BUF_INIT(4096);
    snprintf(world.title, sizeof(world.title), "%.250s", title);
    for (size_t t = 0; t < TASKS; t++) {
        world.resolvers[t] = "10.0.0.2";
        world.revisions[t] = arena_printf(&world.arena, "%s:1", services[t / 2]);
        world.ages[t] = 1000;
        for (size_t n = 0; n < NAMES; n++) {
            world.heard[t][n] =
                (struct heard){.is_default = true, .ttl_s = 10, .time_us = 1000, .tries = 1};
            for (size_t at = service_of_name[n] * 2; at < service_of_name[n] * 2 + 2; at++)
                if (at != t)
                    add_row(t, n, address_of(at));
        }
    }
}

/* ---- directives ---- */

static bool matches(const char *pattern, size_t task)
{
    if (strcmp(pattern, "*") == 0)
        return true;
    if (*pattern == '@')
        return pattern[1] == (task % 2 ? 'b' : 'a');
    return strcmp(pattern, services[task / 2]) == 0 || strcmp(pattern, task_name(task)) == 0;
}

static size_t task_of_address(const char *address)
{
    for (size_t t = 0; t < TASKS; t++)
        if (strcmp(address_of(t), address) == 0)
            return t;
    return SIZE_MAX;
}

static const char *value_of(char **words, size_t count, const char *key, const char *fallback)
{
    size_t length = strlen(key);

    for (size_t i = 0; i < count; i++)
        if (strncmp(words[i], key, length) == 0 && words[i][length] == '=')
            return arena_strdup(&world.arena, words[i] + length + 1);
    return fallback;
}

static int number_of(char **words, size_t count, const char *key, int fallback)
{
    const char *value = value_of(words, count, key, NULL);

    return value ? atoi(value) : fallback;
}

static enum proto_phase phase_of(const char *word)
{
    for (int i = 0; i < PHASE_COUNT; i++)
        if (strcmp(phase_name((enum proto_phase)i), word) == 0)
            return (enum proto_phase)i;
    fail_msg("%s: no phase '%s'", world.title, word);
    return PHASE_COUNT;
}

static enum proto_outcome outcome_of(const char *word)
{
    enum proto_outcome outcome = outcome_from_name(word);

    if (outcome == OUTCOME_UNKNOWN)
        fail_msg("%s: no outcome '%s'", world.title, word);
    return outcome;
}

static void fail_row(struct tries_row *row, const char *phase, const char *outcome, char **words,
                     size_t count)
{
    struct tries_detail *detail = arena_alloc(&world.arena, 1, sizeof(*detail));
    const char *late = value_of(words, count, "late", NULL);
    unsigned type = 0, code = 0;
    char from[64] = "";

    sscanf(value_of(words, count, "icmp", ""), "%u/%u/%63s", &type, &code, from);
    *detail = (struct tries_detail){
        .local = arena_printf(&world.arena, "%s:%zu", address_of(row->source),
                              (size_t)(40000 + (row - world.rows))),
        .text = value_of(words, count, "text", ""),
        .via = "",
        .icmp_from =
            arena_strdup(&world.arena, strcmp(from, "self") == 0 ? address_of(row->source) : from),
        .icmp_type = (uint8_t)type,
        .icmp_code = (uint8_t)code,
        .late_ms = 3000,
        .valid_days = -30,
    };
    row->detail = detail;
    row->phase = (uint8_t)phase_of(phase);
    row->outcome = (uint8_t)outcome_of(outcome);
    row->round = 1;
    row->error = (uint16_t)number_of(words, count, "errno", 0);
    row->status = (uint16_t)number_of(words, count, "status", 0);
    row->late = late ? (uint8_t)outcome_of(late) : OUTCOME_UNKNOWN;
    row->is_silent = number_of(words, count, "silent", 1);
    row->is_reused = number_of(words, count, "reused", 0);
    row->retransmits = (uint8_t)number_of(words, count, "sent", 0);
    if (number_of(words, count, "pass", 0)) {
        struct tries_row *other = &world.rows[world.row_count++];
        *other = *row;
        world.rows[world.row_count++] = *row;
        other->outcome = OUTCOME_OK;
        other->round = 0;
        other->late = OUTCOME_UNKNOWN;
    }
}

static void do_fail(char **words, size_t count)
{
    const char *name = value_of(words, count, "name", NULL);
    size_t rows = world.row_count, hit = 0;

    for (size_t i = 0; i < rows; i++) {
        struct tries_row *row = &world.rows[i];
        size_t target = task_of_address(row->address);
        if (target == SIZE_MAX || !matches(words[1], row->source) || !matches(words[2], target) ||
            (name && strcmp(name, row->name) != 0))
            continue;
        fail_row(row, words[3], words[4], words, count);
        hit++;
    }
    if (!hit)
        fail_msg("%s: no row is from %s to %s", world.title, words[1], words[2]);
}

static size_t service_index(const char *name)
{
    for (size_t s = 0; s < 3; s++)
        if (strcmp(services[s], name) == 0)
            return s;
    fail_msg("%s: no service '%s'", world.title, name);
    return 0;
}

static void do_extra(char **words, size_t count)
{
    size_t service = service_index(words[2]);

    for (size_t t = 0; t < TASKS; t++)
        for (size_t n = 0; n < NAMES; n++)
            if (matches(words[1], t) && service_of_name[n] == service)
                fail_row(add_row(t, n, arena_strdup(&world.arena, words[3])), words[4], words[5],
                         words, count);
}

/* Instead of endpoints, a row without one. */
static void do_unresolved(char **words, size_t count)
{
    const char *only = value_of(words, count, "name", NULL);
    size_t service = service_index(words[2]);

    for (size_t t = 0; t < TASKS; t++)
        for (size_t n = 0; n < NAMES; n++) {
            size_t kept = 0;
            struct tries_row *row;
            if (!matches(words[1], t) || service_of_name[n] != service ||
                (only && strcmp(only, names[n]) != 0))
                continue;
            for (size_t i = 0; i < world.row_count; i++)
                if (world.rows[i].source != t || world.rows[i].name != names[n])
                    world.rows[kept++] = world.rows[i];
            world.row_count = kept;
            row = add_row(t, n, "");
            fail_row(row, "resolve", words[3], words, count);
            world.heard[t][n] = (struct heard){.type = "A",
                                               .outcome = (enum proto_outcome)row->outcome,
                                               .resolver = value_of(words, count, "resolver", NULL),
                                               .record = value_of(words, count, "srv", NULL),
                                               .is_cut = number_of(words, count, "cut", 0),
                                               .ttl_s = 300,
                                               .time_us = 1000,
                                               .tries = number_of(words, count, "tries", 1)};
        }
}

static void do_hosts(char **words, size_t count)
{
    (void)count;
    for (size_t t = 0; t < TASKS; t++)
        for (size_t n = 0; n < NAMES; n++)
            if (matches(words[1], t) && service_of_name[n] == service_index(words[2]))
                world.heard[t][n].resolver = "hosts";
}

static void do_answer(char **words, size_t count)
{
    for (size_t t = 0; t < TASKS; t++)
        for (size_t n = 0; n < NAMES; n++)
            if (matches(words[1], t) && strcmp(names[n], words[2]) == 0) {
                struct heard *heard = &world.heard[t][n];
                heard->ttl_s = number_of(words, count, "ttl", 10);
                heard->time_us = number_of(words, count, "us", 1000);
                if (strcmp(words[3], "same") == 0)
                    continue;
                *heard = (struct heard){.type = "A",
                                        .outcome = OUTCOME_OK,
                                        .record = arena_strdup(&world.arena, words[3]),
                                        .ttl_s = heard->ttl_s,
                                        .time_us = heard->time_us,
                                        .tries = 1};
            }
}

static void do_resolver(char **words, size_t count)
{
    (void)count;
    for (size_t t = 0; t < TASKS; t++)
        if (matches(words[1], t))
            world.resolvers[t] = arena_strdup(&world.arena, words[2]);
}

static void add_arrivals(struct proto_witness *witness, size_t task)
{
    for (size_t i = 0; i < world.row_count; i++)
        if (world.rows[i].detail && strcmp(world.rows[i].address, address_of(task)) == 0)
            world.arrivals[task][witness->arrival_count++] = (struct proto_arrival){
                .remote = world.rows[i].detail->local, .local = "", .state = "half-open"};
    witness->arrivals = world.arrivals[task];
}

static void witness_task(size_t task, char **words, size_t count)
{
    struct proto_witness *witness = &world.witnesses[task];
    const char *own = value_of(words, count, "own", NULL);

    world.has_witness[task] = true;
    *witness = (struct proto_witness){.round = 1,
                                      .listeners = world.listeners[task],
                                      .counters = world.counters[task],
                                      .counter_count = 2,
                                      .checks = &world.checks[task]};
    for (size_t i = 0; i < count; i++) {
        char address[64];
        long long port;
        if (sscanf(words[i], "listen=%63[^:]:%lld", address, &port) == 2)
            world.listeners[task][witness->listener_count++] =
                (struct proto_listener){.address = arena_strdup(&world.arena, address),
                                        .port = port,
                                        .backlog = number_of(words, count, "backlog", 128),
                                        .most = number_of(words, count, "most", 0),
                                        .queue = number_of(words, count, "queue", 0)};
    }
    world.counters[task][0] =
        (struct proto_counter){"OutRsts", number_of(words, count, "resets", 0)};
    world.counters[task][1] =
        (struct proto_counter){"RetransSegs", number_of(words, count, "resent", 0)};
    if (number_of(words, count, "half-open", 0))
        add_arrivals(witness, task);
    if (!own)
        return;
    world.checks[task] = (struct proto_probe){.target = (int64_t)(task / 2),
                                              .via = "own-address",
                                              .port = ports[task / 2],
                                              .phase = PHASE_EXCHANGE,
                                              .outcome = outcome_of(own),
                                              .status = number_of(words, count, "status", 0)};
    witness->check_count = 1;
}

static void do_witness(char **words, size_t count)
{
    for (size_t t = 0; t < TASKS; t++)
        if (matches(words[1], t))
            witness_task(t, words, count);
}

static void do_age(char **words, size_t count)
{
    (void)count;
    for (size_t t = 0; t < TASKS; t++)
        if (matches(words[1], t))
            world.ages[t] = atoi(words[2]);
}

static void do_revision(char **words, size_t count)
{
    (void)count;
    for (size_t t = 0; t < TASKS; t++)
        if (matches(words[1], t))
            world.revisions[t] = arena_strdup(&world.arena, words[2]);
}

/* No task of it runs: nobody probes from there, and none has an agent. */
static void do_gone(char **words, size_t count)
{
    size_t kept = 0;

    (void)count;
    world.is_gone[service_index(words[1])] = true;
    for (size_t i = 0; i < world.row_count; i++)
        if (!matches(words[1], world.rows[i].source))
            world.rows[kept++] = world.rows[i];
    world.row_count = kept;
}

static void do_part(char **words, size_t count)
{
    size_t kept = 0;

    (void)count;
    for (size_t t = 0; t < TASKS; t++)
        world.is_missing[t] |= matches(words[1], t);
    for (size_t i = 0; i < world.row_count; i++)
        if (!world.is_missing[world.rows[i].source])
            world.rows[kept++] = world.rows[i];
    world.row_count = kept;
}

static void do_expect(char **words, size_t count)
{
    for (size_t i = 1; i < count; i++)
        buf_printf(&world.expect, "%s ", words[i]);
}

/* COUNT passing attempts in which something had to be sent again. */
static void do_lossy(char **words, size_t count)
{
    size_t rows = world.row_count;

    (void)count;
    for (size_t i = 0; i < rows; i++) {
        size_t target = task_of_address(world.rows[i].address);
        if (target == SIZE_MAX || !matches(words[1], world.rows[i].source) ||
            !matches(words[2], target))
            continue;
        for (int n = 0; n < atoi(words[3]); n++) {
            struct tries_row *row = &world.rows[world.row_count++];
            *row = world.rows[i];
            row->attempt = (uint8_t)(n + 1);
            row->retransmits = 1;
        }
    }
}

/* ---- the cloud's view ---- */

static void do_cloud(char **words, size_t count)
{
    (void)words;
    (void)count;
    world.estate = estate_fixture_text(&world.arena);
}

static void do_swap(char **words, size_t count)
{
    const char *new = strcmp(words[2], "\"\"") == 0 ? "" : words[2];

    (void)count;
    world.estate = estate_fixture_swap(&world.arena, world.estate, words[1], new);
    if (!world.estate)
        fail_msg("%s: the estate has no '%s'", world.title, words[1]);
}

static void do_missing(char **words, size_t count)
{
    (void)count;
    world.missing = arena_strdup(&world.arena, words[1]);
}

static struct estate *make_estate(void)
{
    struct estate *estate = estate_fixture_read(world.estate);

    if (world.missing)
        estate_note_missing(estate, world.missing, "", "AccessDenied", "", true);
    return estate;
}

static const struct directive {
    const char *name;
    size_t words; /* at least */
    void (*run)(char **words, size_t count);
} directives[] = {
    {"fail", 5, do_fail},       {"extra", 6, do_extra},   {"unresolved", 4, do_unresolved},
    {"hosts", 3, do_hosts},     {"answer", 4, do_answer}, {"resolver", 3, do_resolver},
    {"witness", 2, do_witness}, {"age", 3, do_age},       {"revision", 3, do_revision},
    {"gone", 2, do_gone},       {"part", 2, do_part},     {"expect", 2, do_expect},
    {"lossy", 4, do_lossy},     {"cloud", 1, do_cloud},   {"swap", 3, do_swap},
    {"missing", 2, do_missing},
};

/* ---- the diagnosis of it ---- */

static struct fleet *make_fleet(void)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "fleet: t\nnamespace: t\ndefaults: { check: http, port: 80, path: /h }\nservices:\n"
             "  web: { tasks: 2 }\n  api: { tasks: 2, names: [api.t, api2.t] }\n"
             "  db: { check: tcp, port: 90, tasks: 2 }\n%s%s%s",
             world.expect.length ? "expect: { " : "", buf_text(&world.expect),
             world.expect.length ? "}\n" : "");
    return fixture_fleet(text);
}

static void add_answers(struct answers *answers, size_t task, size_t name)
{
    const struct heard *heard = &world.heard[task][name];
    const char *records[2] = {address_of(service_of_name[name] * 2),
                              address_of(service_of_name[name] * 2 + 1)};
    struct proto_resolution row = {
        .name = names[name],
        .type = heard->is_default ? "A" : heard->type,
        .outcome = heard->is_default ? OUTCOME_OK : heard->outcome,
        .ttl_s = heard->ttl_s,
        .time_us = heard->time_us,
        .tries = heard->tries,
        .resolver = heard->resolver ? heard->resolver : world.resolvers[task],
        .asked = "",
        .answers = heard->is_default ? records : &records[0],
        .answer_count = heard->is_default ? 2 : 0,
        .is_truncated = heard->is_cut,
    };

    if (!heard->is_default && heard->record) {
        records[0] = heard->record;
        row.answer_count = row.outcome == OUTCOME_OK;
    }
    answers_add(answers, task, &row);
    if (heard->is_default || !heard->record || row.outcome == OUTCOME_OK)
        return;
    row.type = "SRV";
    row.outcome = OUTCOME_OK;
    row.answer_count = 1;
    answers_add(answers, task, &row);
}

static struct diagnoses *diagnose_world(void)
{
    struct fleet *fleet = make_fleet();
    struct owner_agent agents[TASKS];
    const char *addresses[TASKS];
    struct diagnose_source sources[TASKS];
    struct matrix_source matrix_sources[TASKS];
    struct tries_source tries_sources[TASKS];
    struct diagnose_witness witnesses[TASKS];
    static const size_t by_name[TASKS] = {2, 3, 4, 5, 0, 1}; /* api, db, web */
    bool scope[9];
    uint32_t live[3] = {2, 2, 2};
    struct answers answers = {0};
    struct tries_set set;
    struct ownership *ownership;
    struct diagnoses *diagnoses;
    size_t agent_count = 0, witness_count = 0;
    struct estate *estate = world.estate ? make_estate() : NULL;
    struct path_map *map = estate ? path_map_new(estate) : NULL;

    memset(scope, true, sizeof(scope));
    for (size_t t = 0; t < TASKS; t++) {
        addresses[t] = address_of(t);
        sources[t] =
            (struct diagnose_source){.service = t / 2,
                                     .task = task_name(t),
                                     .zone = t % 2 ? "b" : "a",
                                     .revision = world.revisions[t],
                                     .resolver = world.resolvers[t],
                                     .part = world.is_missing[t] ? PART_MISSING : PART_DONE};
        matrix_sources[t] =
            (struct matrix_source){.service = t / 2, .is_done = !world.is_missing[t]};
        tries_sources[t] = (struct tries_source){.service = t / 2};
        for (size_t n = 0; n < NAMES && !world.is_gone[t / 2] && !world.is_missing[t]; n++)
            add_answers(&answers, t, n);
        if (world.is_gone[t / 2])
            continue;
        agents[agent_count++] = (struct owner_agent){.service = services[t / 2],
                                                     .task = sources[t].task,
                                                     .mode = "awsvpc",
                                                     .netns = "",
                                                     .zone = sources[t].zone,
                                                     .revision = world.revisions[t],
                                                     .age_s = world.ages[t],
                                                     .addresses = &addresses[t],
                                                     .address_count = 1};
    }
    for (size_t i = 0; i < TASKS; i++)
        if (world.has_witness[by_name[i]])
            witnesses[witness_count++] = (struct diagnose_witness){
                services[by_name[i] / 2], sources[by_name[i]].task, &world.witnesses[by_name[i]]};
    ownership = ownership_new(fleet, agents, agent_count);
    set = tries_gather(world.rows, world.row_count, tries_sources);
    struct matrix *matrix = matrix_build(&(struct matrix_input){.fleet = fleet,
                                                                .sources = matrix_sources,
                                                                .source_count = TASKS,
                                                                .rows = world.rows,
                                                                .row_count = world.row_count,
                                                                .scope = scope,
                                                                .live_tasks = live});
    diagnoses = diagnose(&(struct diagnose_input){.fleet = fleet,
                                                  .matrix = matrix,
                                                  .set = &set,
                                                  .sources = sources,
                                                  .source_count = TASKS,
                                                  .answers = &answers,
                                                  .witnesses = witnesses,
                                                  .witness_count = witness_count,
                                                  .ownership = ownership,
                                                  .agents = agents,
                                                  .agent_count = agent_count,
                                                  .estate = estate,
                                                  .map = map});
    for (size_t i = 0; i < diagnoses->count; i++)
        diagnosis_add_remedies(diagnoses, &diagnoses->items[i], estate, NULL, map);
    path_map_free(map);
    estate_free(estate);
    matrix_free(matrix);
    tries_deinit(&set);
    answers_deinit(&answers);
    ownership_free(ownership);
    fleet_unref(fleet);
    return diagnoses;
}

#endif
