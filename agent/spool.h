/* spool: the agent's reports, row by row into batches, and its witnesses, kept until the collector
 * says they are stored. In memory (the root file system is read-only), at most SPOOL_BYTES_MAX:
 * beyond that the newest rows are dropped, and the report says how many.
 */
#ifndef AGENT_SPOOL_H
#define AGENT_SPOOL_H

#include "proto/proto.h"

#define SPOOL_BYTES_MAX  (8 * 1024 * 1024) /* encoded, over all assignments */
#define SPOOL_BATCH_SIZE (48 * 1024)       /* a batch is closed once it holds this much */

/* An encoded report that is not acknowledged yet. */
struct spool_batch {
    struct spool_batch *next;
    int64_t assignment, batch;
    uint64_t sent_us; /* 0: not sent over the present link */
    struct buf text;
};

struct spool {
    const char *instance;                /* borrowed */
    struct spool_batch *batches, **tail; /* oldest first */
    size_t bytes;
    uint64_t dropped_rows; /* ever */
};

/* The open batch of one assignment. */
struct spool_writer {
    struct spool *spool;
    int64_t run, assignment;
    int64_t next_batch;
    int64_t dropped;
    struct buf resolutions, probes;
    size_t resolution_count, probe_count;
};

void spool_init(struct spool *spool, const char *instance);
void spool_deinit(struct spool *spool);

void spool_writer_init(struct spool_writer *writer, struct spool *spool, int64_t run,
                       int64_t assignment);
void spool_writer_deinit(struct spool_writer *writer);
void spool_write_resolution(struct spool_writer *writer, const struct proto_resolution *row);
void spool_write_probe(struct spool_writer *writer, const struct proto_probe *row);
/* Closes the open batch, if it holds rows. */
void spool_flush(struct spool_writer *writer);
/* Closes the last batch, which is always written, with the agent's counters. */
void spool_close(struct spool_writer *writer, struct proto_counter *counters, size_t count);

/* Puts a witness among the batches; beyond SPOOL_BYTES_MAX it is lost, and counted. */
void spool_add(struct spool *spool, const struct proto_message *witness);

/* The oldest batch that is to be sent: never sent, or sent before `resend_before_us`. NULL: none.
 */
struct spool_batch *spool_next(struct spool *spool, uint64_t resend_before_us);
/* Forgets a batch; false when there is none such (acknowledged twice). */
bool spool_acknowledge(struct spool *spool, int64_t assignment, int64_t batch);
/* The link is new: everything is to be sent again. */
void spool_resend_all(struct spool *spool);
bool spool_is_empty(const struct spool *spool);

#endif
