/* run_internal: what run.c, run_plan.c and run_resume.c share, and nobody else needs. */
#ifndef COLLECTOR_RUN_INTERNAL_H
#define COLLECTOR_RUN_INTERNAL_H

#include "collector/run.h"

struct run *run_free(struct run *run);

/* Once all sources are there. */
void run_index_agents(struct run *run);
/* By assignment id, or NULL. */
struct run_source *run_find_source(const struct run *run, int64_t assignment);

/* One attempt of a source; beyond RUN_ROWS_MAX it counts as dropped. */
void run_add_row(struct run *run, uint32_t source, const struct proto_probe *probe);
/* Done once its last batch and all before it are stored. */
void run_update_source(struct run_source *source);

enum source_state source_state_from_name(const char *name); /* SOURCE_OPEN for none */

#endif
