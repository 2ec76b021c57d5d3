/* run_internal: what run.c, run_plan.c, run_work.c, run_confirm.c and run_resume.c share, and
 * nobody else needs. */
#ifndef COLLECTOR_RUN_INTERNAL_H
#define COLLECTOR_RUN_INTERNAL_H

#include "collector/run.h"

struct run *run_free(struct run *run);

/* Once all sources are there, and again when an instance changes. */
void run_index_agents(struct run *run);
size_t run_first_of_agent(const struct run *run, const char *instance); /* SIZE_MAX: none */
/* By id, or NULL. */
struct run_source *run_find_source(const struct run *run, int64_t id);
struct run_assignment *run_find_assignment(const struct run *run, int64_t id);
/* Once sources and plan are there. */
void run_find_places(struct runs *runs, struct run *run);

/* One attempt of a source; beyond RUN_ROWS_MAX it counts as dropped. */
void run_add_row(struct run *run, size_t source, unsigned round, const struct proto_probe *probe);
void run_add_answer(struct run *run, size_t source, const struct proto_resolution *row);
void run_add_witness(struct runs *runs, struct run *run, const struct run_watch *watch,
                     const struct proto_witness *witness);
/* The columns of a sweep's assignment are done: the source may be. */
void run_finish_columns(struct run *run, const struct run_assignment *assignment);
void run_count_work(struct run *run); /* open_sources and todo, anew */
/* Gives the throttle its places back. */
void run_release(struct runs *runs, struct run *run, struct run_assignment *assignment);
/* The caller frees it. */
struct tries_source *run_tries_sources(const struct runs *runs, const struct run *run);
/* Takes down which endpoints are another service's, and which are gone. */
void run_mark_rows(const struct runs *runs, struct run *run);

struct run_assignment *run_add_assignment(struct runs *runs, struct run *run, enum work_kind kind,
                                          const char *instance);

/* ---- run_watch.c ---- */

/* Watches for a small run, before its first probe. */
void run_open_watches(struct runs *runs, struct run *run, uint64_t now_us);
/* Those that have an item's address; where nobody has it, the target's own tasks: whether they are
 * well says something too. */
void run_watch_item(struct runs *runs, struct run *run, const struct run_item *item);
bool run_next_watch(struct runs *runs, struct run *run, const struct agent *agent, uint64_t now_us,
                    struct buf *out);
bool run_are_watches_on(const struct run *run, unsigned round);
/* The round's watches end; of round 0 a witness is wanted only where something failed. */
void run_settle_round(struct runs *runs, struct run *run, unsigned round);
bool run_has_settled(const struct run *run);
/* All watches of a run that ends: whoever is still watching is told. */
void run_drop_watches(struct runs *runs, struct run *run);
void runs_settle(struct runs *runs, const struct run_watch *watch, bool is_unwanted);
void runs_forget_settles(struct runs *runs, const char *instance);

/* ---- run_confirm.c ---- */

/* From sweep to confirm, or to settling when nothing failed. */
void run_begin_confirm(struct runs *runs, struct run *run, uint64_t now_us);
/* The round is over, or cut short by its deadline: another one, or settling. */
void run_end_round(struct runs *runs, struct run *run, uint64_t now_us);
bool run_is_round_over(const struct run *run);
bool run_next_item(struct runs *runs, struct run *run, const struct agent *agent, uint64_t now_us,
                   struct buf *out);
void run_finish_items(struct run *run, int64_t assignment);
void run_release_items(struct runs *runs, struct run *run, int64_t assignment);

/* ---- run_work.c ---- */

void run_fill_target(const struct run *run, uint32_t column, size_t service,
                     struct proto_target *target);
/* What a target takes in a message, encoded; estimated. */
size_t run_target_bytes(const struct proto_target *target);
/* Encodes, stores, and keeps what was given until it is received. False: it cannot be stored. */
bool run_give(struct runs *runs, struct run *run, struct run_assignment *assignment,
              const struct proto_message *message, struct buf *out);

/* ---- run_history.c ---- */

/* What changed since each was well, by whom; and the commands that open what is closed. `estate`,
 * `map`: NULL where the cloud's view is not there. */
void run_add_history(const struct runs *runs, const struct run *run, struct diagnoses *diagnoses,
                     struct estate *estate, const struct path_map *map);

/* ---- run_plan.c ---- */

bool run_is_light(const char *trigger);

int64_t run_longest_timeout_ms(const struct run *run);
/* How long the sweep may take, of `limit_ms` for the whole. */
int64_t run_sweep_ms(const struct run *run, int64_t limit_ms);

enum source_state source_state_from_name(const char *name); /* SOURCE_OPEN for none */

#endif
