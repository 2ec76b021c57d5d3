#include "agent/spool.h"
#include "common/mem.h"
#include "tests/unit/test.h"

static const struct proto_probe probe = {
    .target = 1,
    .name = "api.shop.local",
    .address = "10.0.0.1",
    .port = 80,
    .phase = PHASE_CONNECT,
    .outcome = OUTCOME_REFUSED,
    .error = 111,
    .local = "",
    .resolve_us = 1,
    .connect_us = 2,
    .tls_us = -1,
    .exchange_us = -1,
    .detail = "",
};

static void decode(const struct spool_batch *batch, struct proto_message *message)
{
    struct error err = {""};

    assert_true(batch->text.length <= PROTO_MESSAGE_MAX);
    if (proto_decode(buf_text(&batch->text), batch->text.length, message, &err) < 0)
        fail_msg("%s", err.text);
}

/* Every row arrives, in batches within the limit, numbered from 1, the last one marked. */
static void test_batches(void **state)
{
    struct spool spool;
    struct spool_writer writer;
    size_t rows = 0;
    int64_t expected = 1;

    (void)state;
    spool_init(&spool, "inst");
    spool_writer_init(&writer, &spool, 5, 9);
    for (int i = 0; i < 5000; i++)
        spool_write_probe(&writer, &probe);
    spool_close(&writer, NULL, 0);
    for (struct spool_batch *batch = spool.batches; batch; batch = batch->next) {
        CLEANUP_MESSAGE struct proto_message message;
        decode(batch, &message);
        assert_int_equal(message.report.batch, expected++);
        assert_int_equal(message.report.is_last, batch->next == NULL);
        assert_int_equal(message.report.assignment, 9);
        rows += message.report.probe_count;
    }
    assert_int_equal(rows, 5000);
    assert_true(expected > 5);
    spool_writer_deinit(&writer);
    spool_deinit(&spool);
}

static void test_an_empty_assignment_still_says_done(void **state)
{
    struct spool spool;
    struct spool_writer writer;
    CLEANUP_MESSAGE struct proto_message message;

    (void)state;
    spool_init(&spool, "inst");
    spool_writer_init(&writer, &spool, 5, 9);
    spool_flush(&writer);
    assert_true(spool_is_empty(&spool));
    spool_close(&writer, NULL, 0);
    decode(spool.batches, &message);
    assert_true(message.report.is_last);
    spool_writer_deinit(&writer);
    spool_deinit(&spool);
}

/* A witness stands among the batches, and is kept as they are. */
static void test_a_witness(void **state)
{
    struct spool spool;
    struct proto_message message = {
        .type = PROTO_WITNESS,
        .witness = {.instance = "inst", .run = 5, .assignment = 11, .batch = 1, .source = "proc"}};
    CLEANUP_MESSAGE struct proto_message out;

    (void)state;
    spool_init(&spool, "inst");
    spool_add(&spool, &message);
    decode(spool_next(&spool, 0), &out);
    assert_int_equal(out.type, PROTO_WITNESS);
    assert_string_equal(out.witness.source, "proc");
    assert_true(spool_acknowledge(&spool, 11, 1));
    assert_true(spool_is_empty(&spool));
    spool.bytes = SPOOL_BYTES_MAX;
    spool_add(&spool, &message);
    assert_true(spool_is_empty(&spool));
    assert_int_equal(spool.dropped_rows, 1);
    spool.bytes = 0;
    spool_deinit(&spool);
}

static void test_kept_until_acknowledged(void **state)
{
    struct spool spool;
    struct spool_writer writer;
    struct spool_batch *batch;

    (void)state;
    spool_init(&spool, "inst");
    spool_writer_init(&writer, &spool, 5, 9);
    spool_write_probe(&writer, &probe);
    spool_flush(&writer);
    spool_write_probe(&writer, &probe);
    spool_close(&writer, NULL, 0);
    batch = spool_next(&spool, 0);
    assert_int_equal(batch->batch, 1);
    batch->sent_us = 100;
    assert_int_equal(spool_next(&spool, 0)->batch, 2);
    assert_int_equal(spool_next(&spool, 101)->batch, 1); /* unanswered for too long */
    assert_true(spool_acknowledge(&spool, 9, 1));
    assert_false(spool_acknowledge(&spool, 9, 1));
    assert_false(spool_acknowledge(&spool, 8, 2));
    spool_resend_all(&spool);
    assert_int_equal(spool_next(&spool, 0)->batch, 2);
    assert_true(spool_acknowledge(&spool, 9, 2));
    assert_true(spool_is_empty(&spool));
    assert_int_equal(spool.bytes, 0);
    spool_writer_deinit(&writer);
    spool_deinit(&spool);
}

/* A full spool drops new rows, never grows, and the last report says how many. */
static void test_bounded(void **state)
{
    struct spool spool;
    struct spool_writer writer;
    struct spool_batch *batch;
    CLEANUP_MESSAGE struct proto_message message;
    size_t sent = 0;

    (void)state;
    spool_init(&spool, "inst");
    spool_writer_init(&writer, &spool, 5, 9);
    for (int i = 0; i < 200000; i++)
        spool_write_probe(&writer, &probe);
    spool_close(&writer, NULL, 0);
    assert_true(spool.bytes <= SPOOL_BYTES_MAX + PROTO_MESSAGE_MAX);
    for (batch = spool.batches; batch->next; batch = batch->next) {
        CLEANUP_MESSAGE struct proto_message part;
        decode(batch, &part);
        sent += part.report.probe_count;
    }
    decode(batch, &message);
    assert_int_equal(message.report.dropped + (int64_t)(sent + message.report.probe_count), 200000);
    assert_true(message.report.dropped > 0);
    spool_writer_deinit(&writer);
    spool_deinit(&spool);
}

/* The longest answer that DNS can give still fits a message. */
static void test_longest_row(void **state)
{
    struct spool spool;
    struct spool_writer writer;
    char text[300];
    const char *answers[PROTO_ANSWERS_MAX];
    struct proto_resolution row = {.name = "x",
                                   .type = "SRV",
                                   .outcome = OUTCOME_OK,
                                   .resolver = "",
                                   .answers = answers,
                                   .answer_count = PROTO_ANSWERS_MAX};

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (int i = 0; i < PROTO_ANSWERS_MAX; i++)
        answers[i] = text;
    spool_init(&spool, "inst");
    spool_writer_init(&writer, &spool, 5, 9);
    for (int i = 0; i < 10; i++)
        spool_write_resolution(&writer, &row);
    spool_close(&writer, NULL, 0);
    for (struct spool_batch *batch = spool.batches; batch; batch = batch->next) {
        CLEANUP_MESSAGE struct proto_message message;
        decode(batch, &message);
    }
    assert_int_equal(writer.dropped, 0);
    spool_writer_deinit(&writer);
    spool_deinit(&spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_an_empty_assignment_still_says_done),
        cmocka_unit_test(test_a_witness),
        cmocka_unit_test(test_kept_until_acknowledged),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_longest_row),
    };
    return RUN_TESTS(tests);
}
