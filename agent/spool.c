#include "agent/spool.h"

#include "common/mem.h"

#include <assert.h>

/* Rows and the message around them: a row is at most a few KiB more than the batch size, but for a
 * resolution with the longest answers. */
#define ROWS_MAX (PROTO_MESSAGE_MAX - 1024)

void spool_init(struct spool *spool, const char *instance)
{
    *spool = (struct spool){.instance = instance};
    spool->tail = &spool->batches;
}

static void free_batch(struct spool_batch *batch)
{
    buf_deinit(&batch->text);
    mem_free(batch);
}

void spool_deinit(struct spool *spool)
{
    while (spool->batches) {
        struct spool_batch *batch = spool->batches;
        spool->batches = batch->next;
        free_batch(batch);
    }
    spool->tail = &spool->batches;
}

void spool_writer_init(struct spool_writer *writer, struct spool *spool, int64_t run,
                       int64_t assignment)
{
    *writer = (struct spool_writer){
        .spool = spool,
        .run = run,
        .assignment = assignment,
        .next_batch = 1,
        .resolutions = BUF_INIT(ROWS_MAX),
        .probes = BUF_INIT(ROWS_MAX),
    };
}

void spool_writer_deinit(struct spool_writer *writer)
{
    buf_deinit(&writer->resolutions);
    buf_deinit(&writer->probes);
}

static size_t open_bytes(const struct spool_writer *writer)
{
    return writer->resolutions.length + writer->probes.length;
}

static void forget_rows(struct spool_writer *writer)
{
    buf_reset(&writer->resolutions);
    buf_reset(&writer->probes);
    writer->resolution_count = writer->probe_count = 0;
}

static void drop_rows(struct spool_writer *writer)
{
    size_t rows = writer->resolution_count + writer->probe_count;

    writer->dropped += (int64_t)rows;
    writer->spool->dropped_rows += rows;
    forget_rows(writer);
}

static void append(struct spool *spool, struct spool_batch *batch)
{
    *spool->tail = batch;
    spool->tail = &batch->next;
    spool->bytes += batch->text.length;
}

/* `head` says the rest: whether it is the last, the counters. */
static void close_batch(struct spool_writer *writer, struct proto_report head)
{
    struct spool *spool = writer->spool;
    struct spool_batch *batch;

    if (open_bytes(writer) && spool->bytes + open_bytes(writer) > SPOOL_BYTES_MAX)
        drop_rows(writer);
    if (!open_bytes(writer) && !head.is_last)
        return;
    batch = mem_alloc(sizeof(*batch));
    batch->text = BUF_INIT(PROTO_MESSAGE_MAX);
    head.instance = spool->instance;
    head.run = writer->run;
    head.assignment = writer->assignment;
    head.batch = batch->batch = writer->next_batch++;
    head.dropped = writer->dropped;
    batch->assignment = writer->assignment;
    if (proto_encode_report(&head, &writer->resolutions, &writer->probes, &batch->text) < 0)
        assert(!"a batch is closed before it outgrows a message");
    forget_rows(writer);
    append(spool, batch);
}

void spool_add(struct spool *spool, const struct proto_message *witness)
{
    struct spool_batch *batch = mem_alloc(sizeof(*batch));

    batch->text = BUF_INIT(PROTO_MESSAGE_MAX);
    batch->assignment = witness->witness.assignment;
    batch->batch = witness->witness.batch;
    if (spool->bytes >= SPOOL_BYTES_MAX || proto_encode(witness, &batch->text) < 0) {
        spool->dropped_rows++;
        free_batch(batch);
        return;
    }
    append(spool, batch);
}

void spool_flush(struct spool_writer *writer)
{
    close_batch(writer, (struct proto_report){.is_last = false});
}

void spool_close(struct spool_writer *writer, struct proto_counter *counters, size_t count)
{
    close_batch(writer, (struct proto_report){
                            .is_last = true, .counters = counters, .counter_count = count});
}

typedef void (*encode_fn)(struct buf *out, const void *row);

/* Puts a row into the open batch; closes the batch before it when both do not fit. */
static void add_row(struct spool_writer *writer, struct buf *rows, size_t *count, encode_fn encode,
                    const void *row)
{
    size_t before = rows->length;

    for (int tries = 0; tries < 2; tries++) {
        if (rows->length)
            buf_putc(rows, ',');
        encode(rows, row);
        if (!buf_is_full(rows) && open_bytes(writer) <= ROWS_MAX)
            break;
        buf_truncate(rows, before);
        rows->full = false;
        if (tries > 0 || !open_bytes(writer)) {
            writer->dropped++; /* longer than a message */
            return;
        }
        spool_flush(writer);
        before = 0;
    }
    ++*count;
    if (open_bytes(writer) >= SPOOL_BATCH_SIZE || *count >= PROTO_ROWS_MAX)
        spool_flush(writer);
}

static void encode_resolution(struct buf *out, const void *row)
{
    proto_encode_resolution(out, row);
}

static void encode_probe(struct buf *out, const void *row)
{
    proto_encode_probe(out, row);
}

void spool_write_resolution(struct spool_writer *writer, const struct proto_resolution *row)
{
    add_row(writer, &writer->resolutions, &writer->resolution_count, encode_resolution, row);
}

void spool_write_probe(struct spool_writer *writer, const struct proto_probe *row)
{
    add_row(writer, &writer->probes, &writer->probe_count, encode_probe, row);
}

struct spool_batch *spool_next(struct spool *spool, uint64_t resend_before_us)
{
    for (struct spool_batch *batch = spool->batches; batch; batch = batch->next)
        if (batch->sent_us == 0 || batch->sent_us < resend_before_us)
            return batch;
    return NULL;
}

bool spool_acknowledge(struct spool *spool, int64_t assignment, int64_t number)
{
    for (struct spool_batch **at = &spool->batches; *at; at = &(*at)->next) {
        struct spool_batch *batch = *at;
        if (batch->assignment != assignment || batch->batch != number)
            continue;
        *at = batch->next;
        if (!*at)
            spool->tail = at;
        spool->bytes -= batch->text.length;
        free_batch(batch);
        return true;
    }
    return false;
}

void spool_resend_all(struct spool *spool)
{
    for (struct spool_batch *batch = spool->batches; batch; batch = batch->next)
        batch->sent_us = 0;
}

bool spool_is_empty(const struct spool *spool)
{
    return spool->batches == NULL;
}
