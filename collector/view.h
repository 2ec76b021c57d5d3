/* view: what the API shows, as JSON (schema 1). Reads only. */
#ifndef COLLECTOR_VIEW_H
#define COLLECTOR_VIEW_H

#include "collector/run.h"
#include "common/buf.h"

/* One cell of a run: {source, target, check, port, state, expected, probes, failed, ...}. */
void view_cell(const struct run *run, const struct matrix *matrix, size_t source, size_t column,
               struct buf *out);

/* Whose an address is, as a source that reached for `service` sees it: {address, kind, ...}. */
void view_owner(const struct ownership *ownership, size_t service, const char *address,
                struct buf *out);

/* {cause, confidence, severity, stage, scope, summary, fix, cells, evidence, ruled_out, ...} */
void view_diagnosis(const struct fleet *fleet, const struct diagnosis *diagnosis, struct buf *out);

/* {id, state, trigger, started, finished, verdict, ...} */
void view_run(const struct store_run *record, struct buf *out);
/* The same with its tasks and progress. */
void view_run_detail(const struct runs *runs, const struct store_run *record, struct buf *out);
/* The whole document: schema, run, cells, diagnoses. */
void view_matrix(const struct runs *runs, const struct store_run *record, struct buf *out);
/* The diagnoses alone: schema, run, diagnoses. */
void view_diagnoses(const struct runs *runs, const struct store_run *record, struct buf *out);
/* One pair: its cell, and every attempt and resolution behind it. -ENOENT: no such pair. */
int view_pair(const struct runs *runs, const struct store_run *record, const char *source,
              const char *target, const char *check, struct buf *out);
void view_agents(const struct runs *runs, uint64_t now_us, struct buf *out);
/* The fleet, and what the cloud said of it at the last run that asked. */
void view_services(const struct runs *runs, struct buf *out);
/* One service in full. -ENOENT: the fleet has none such. */
int view_service(const struct runs *runs, const char *name, struct buf *out);
/* All that the cloud said of a run's fleet. -ENOENT: it was not asked. */
int view_estate(const struct runs *runs, const struct store_run *record, struct buf *out);

/* What changed between two runs: their cells, and what the cloud says. */
void view_diff(const struct runs *runs, const struct store_run *from, const struct store_run *to,
               struct buf *out);

/* Counters and gauges in Prometheus' text format (exposition format 0.0.4). */
void view_metrics(const struct runs *runs, struct buf *out);

#endif
