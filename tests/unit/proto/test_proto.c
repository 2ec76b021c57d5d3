#include "proto/proto.h"
#include "proto/status.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int decode(const char *text, struct proto_message *message, struct error *err)
{
    return proto_decode(text, strlen(text), message, err);
}

static void refuses(int code, const char *expected, const char *text)
{
    CLEANUP_MESSAGE struct proto_message message;
    struct error err = {""};

    assert_int_equal(decode(text, &message, &err), code);
    assert_contains(err.text, expected);
}

static void round_trip(const struct proto_message *in, struct proto_message *ret_out)
{
    CLEANUP_BUF struct buf text = BUF_INIT(PROTO_MESSAGE_MAX);
    struct error err = {""};

    assert_int_equal(proto_encode(in, &text), 0);
    assert_int_equal(proto_decode(buf_text(&text), text.length, ret_out, &err), 0);
    assert_int_equal(in->type, ret_out->type);
}

static void test_hello(void **state)
{
    const char *addresses[] = {"10.0.0.1", "fd00::1"}, *resolvers[] = {"10.0.0.2"};
    const char *checks[] = {"tcp", "http"};
    struct proto_message in = {
        .type = PROTO_HELLO,
        .hello = {.cluster = "prod",
                  .service = "web",
                  .task = "web.1",
                  .instance = "00ff",
                  .version = "0.1.0",
                  .zone = "a",
                  .mode = "awsvpc",
                  .revision = "web:7",
                  .addresses = addresses,
                  .address_count = 2,
                  .resolvers = resolvers,
                  .resolver_count = 1,
                  .checks = checks,
                  .check_count = 2,
                  .age_s = 90},
    };
    CLEANUP_MESSAGE struct proto_message out;

    (void)state;
    round_trip(&in, &out);
    assert_int_equal(out.hello.age_s, 90);
    assert_string_equal(out.hello.cluster, "prod");
    assert_string_equal(out.hello.revision, "web:7");
    assert_string_equal(out.hello.auth, "");
    assert_int_equal(out.hello.address_count, 2);
    assert_string_equal(out.hello.addresses[1], "fd00::1");
    assert_string_equal(out.hello.checks[1], "http");
}

static void test_assignment(void **state)
{
    const char *names[] = {"api.shop.local", "api-v2.shop.local"};
    struct proto_target targets[] = {
        {.id = 0,
         .check = "http",
         .record = "A",
         .names = names,
         .name_count = 2,
         .port = 8080,
         .timeout_ms = 2000,
         .is_sibling = true,
         .is_patient = true,
         .path = "/h\"ealth",
         .status = "200-299"},
        {.id = 65535,
         .check = "tcp",
         .record = "SRV",
         .names = names,
         .name_count = 1,
         .port = 0,
         .timeout_ms = 1,
         .path = "",
         .status = ""},
    };
    struct proto_message in = {
        .type = PROTO_ASSIGNMENT,
        .assignment = {.id = PROTO_ID_MAX,
                       .run = 7,
                       .deadline_ms = 9000,
                       .targets = targets,
                       .target_count = 2},
    };
    CLEANUP_MESSAGE struct proto_message out;

    (void)state;
    round_trip(&in, &out);
    assert_int_equal(out.assignment.id, PROTO_ID_MAX);
    assert_int_equal(out.assignment.target_count, 2);
    assert_string_equal(out.assignment.targets[0].path, "/h\"ealth");
    assert_true(out.assignment.targets[0].is_sibling);
    assert_true(out.assignment.targets[0].is_patient);
    assert_false(out.assignment.targets[1].is_patient);
    assert_int_equal(out.assignment.targets[0].name_count, 2);
    assert_string_equal(out.assignment.targets[1].record, "SRV");
    assert_false(out.assignment.targets[1].is_sibling);
}

static void fill_report(struct proto_report *report, struct proto_probe *probe,
                        struct proto_resolution *resolution, const char **answers)
{
    answers[0] = "10.0.0.1";
    *probe = (struct proto_probe){
        .target = 3,
        .name = "api.shop.local",
        .address = "10.0.0.1",
        .port = 8080,
        .phase = PHASE_CONNECT,
        .outcome = OUTCOME_TIMEOUT,
        .error = 110,
        .local = "10.0.0.9:4000",
        .resolve_us = 812,
        .connect_us = 2000000,
        .tls_us = -1,
        .exchange_us = -1,
        .detail = "",
        .attempt = 2,
        .late = "unreachable",
        .late_us = 3060000,
        .is_held = true,
    };
    *resolution = (struct proto_resolution){
        .name = "api.shop.local",
        .type = "A",
        .outcome = OUTCOME_OK,
        .rcode = 0,
        .ttl_s = 10,
        .time_us = 812,
        .resolver = "10.0.0.2",
        .answers = answers,
        .answer_count = 1,
    };
    *report = (struct proto_report){
        .instance = "00ff",
        .run = 1,
        .assignment = 2,
        .batch = 3,
        .is_last = true,
        .dropped = 4,
        .probes = probe,
        .probe_count = 1,
        .resolutions = resolution,
        .resolution_count = 1,
    };
}

static void check_report(const struct proto_report *report)
{
    assert_int_equal(report->probes[0].attempt, 2);
    assert_string_equal(report->probes[0].late, "unreachable");
    assert_int_equal(report->probes[0].late_us, 3060000);
    assert_true(report->probes[0].is_held);
    assert_int_equal(report->batch, 3);
    assert_true(report->is_last);
    assert_int_equal(report->dropped, 4);
    assert_int_equal(report->probe_count, 1);
    assert_int_equal(report->probes[0].phase, PHASE_CONNECT);
    assert_int_equal(report->probes[0].outcome, OUTCOME_TIMEOUT);
    assert_int_equal(report->probes[0].tls_us, -1);
    assert_int_equal(report->resolutions[0].ttl_s, 10);
    assert_string_equal(report->resolutions[0].answers[0], "10.0.0.1");
}

/* Both ways of encoding a report give the same message. */
static void test_report(void **state)
{
    struct proto_message in = {.type = PROTO_REPORT};
    CLEANUP_MESSAGE struct proto_message out, again;
    CLEANUP_BUF struct buf probes = BUF_INIT(1000), resolutions = BUF_INIT(1000);
    CLEANUP_BUF struct buf text = BUF_INIT(PROTO_MESSAGE_MAX);
    struct proto_probe probe;
    struct proto_resolution resolution;
    const char *answers[1];

    (void)state;
    fill_report(&in.report, &probe, &resolution, answers);
    round_trip(&in, &out);
    check_report(&out.report);
    proto_encode_probe(&probes, &probe);
    proto_encode_resolution(&resolutions, &resolution);
    assert_int_equal(proto_encode_report(&in.report, &resolutions, &probes, &text), 0);
    assert_int_equal(proto_decode(buf_text(&text), text.length, &again, NULL), 0);
    check_report(&again.report);
}

static void test_watch(void **state)
{
    const char *names[] = {"api.shop.local"}, *peers[] = {"10.0.0.9", "fd00::9"};
    struct proto_target target = {.id = 3,
                                  .check = "http",
                                  .record = "A",
                                  .names = names,
                                  .name_count = 1,
                                  .port = 8080,
                                  .timeout_ms = 1000};
    struct proto_message in = {.type = PROTO_WATCH,
                               .watch = {.id = 7,
                                         .run = 2,
                                         .round = 1,
                                         .until_ms = 5000,
                                         .targets = &target,
                                         .target_count = 1,
                                         .is_checking = true,
                                         .peers = peers,
                                         .peer_count = 2}};
    CLEANUP_MESSAGE struct proto_message out;

    (void)state;
    round_trip(&in, &out);
    assert_int_equal(out.watch.id, 7);
    assert_int_equal(out.watch.until_ms, 5000);
    assert_true(out.watch.is_checking);
    assert_int_equal(out.watch.targets[0].port, 8080);
    assert_int_equal(out.watch.targets[0].at_count, 0);
    assert_string_equal(out.watch.peers[1], "fd00::9");
}

/* As long as it may be, it still fits into a message. */
static void test_the_longest_witness(void **state)
{
    static struct proto_listener listeners[PROTO_SEEN_MAX];
    static struct proto_arrival arrivals[PROTO_SEEN_MAX];
    struct proto_counter counters[] = {{"OutRsts", 4}};
    struct proto_container container = {"app", "RUNNING", "HEALTHY", "2026-01-02T03:04:05Z", 9};
    struct proto_message in = {.type = PROTO_WITNESS,
                               .witness = {.instance = "00ff",
                                           .run = 2,
                                           .assignment = 7,
                                           .batch = 1,
                                           .round = 1,
                                           .span_ms = 4600,
                                           .looks = 47,
                                           .source = "sock_diag",
                                           .listeners = listeners,
                                           .listener_count = PROTO_SEEN_MAX,
                                           .arrivals = arrivals,
                                           .arrival_count = PROTO_SEEN_MAX,
                                           .strangers = 3,
                                           .counters = counters,
                                           .counter_count = 1,
                                           .unchecked = "connections wait in its accept queue",
                                           .containers = &container,
                                           .container_count = 1}};
    CLEANUP_MESSAGE struct proto_message out;

    (void)state;
    for (size_t i = 0; i < PROTO_SEEN_MAX; i++) {
        listeners[i] = (struct proto_listener){"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                               65535,
                                               UINT32_MAX,
                                               UINT32_MAX,
                                               UINT32_MAX,
                                               UINT32_MAX};
        arrivals[i] = (struct proto_arrival){"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                                             "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535",
                                             "established",
                                             86400000,
                                             86400000,
                                             true};
    }
    round_trip(&in, &out);
    assert_int_equal(out.witness.listener_count, PROTO_SEEN_MAX);
    assert_int_equal(out.witness.listeners[255].backlog, UINT32_MAX);
    assert_string_equal(out.witness.arrivals[255].state, "established");
    assert_true(out.witness.arrivals[255].is_half_open_before);
    assert_int_equal(out.witness.counters[0].count, 4);
    assert_string_equal(out.witness.unchecked, "connections wait in its accept queue");
    assert_string_equal(out.witness.containers[0].health, "HEALTHY");
    assert_string_equal(out.witness.revision, "");
}

static void test_settle_and_watching(void **state)
{
    struct proto_message in = {.type = PROTO_SETTLE, .settle = {.watch = 7, .is_unwanted = true}};
    CLEANUP_MESSAGE struct proto_message out, other;

    (void)state;
    round_trip(&in, &out);
    assert_true(out.settle.is_unwanted);
    in = (struct proto_message){.type = PROTO_WATCHING, .watching = {"00ff", 7}};
    round_trip(&in, &other);
    assert_int_equal(other.watching.watch, 7);
}

static void test_versions_refuse_each_other_by_name(void **state)
{
    CLEANUP_MESSAGE struct proto_message message;

    (void)state;
    refuses(-EPROTO, "protocol version 2, but this side speaks 1",
            "{\"v\":2,\"type\":\"pull\",\"something\":\"new\"}");
    refuses(-ENOTSUP, "unknown message type 'teleport'", "{\"v\":1,\"type\":\"teleport\"}");
    /* `refused` is understood whatever its version. */
    assert_int_equal(decode("{\"v\":9,\"type\":\"refused\",\"reason\":\"version\",\"detail\":\"x\","
                            "\"min\":9,\"max\":9}",
                            &message, NULL),
                     0);
    assert_int_equal(message.refused.min, 9);
}

static void test_newer_fields_are_ignored(void **state)
{
    CLEANUP_MESSAGE struct proto_message message;

    (void)state;
    assert_int_equal(decode("{\"v\":1,\"type\":\"report\",\"instance\":\"a\",\"run\":1,"
                            "\"assignment\":1,\"batch\":1,\"dropped\":0,\"shiny\":{\"a\":[1]},"
                            "\"resolutions\":[],\"probes\":[[0,\"n\",\"\",0,\"resolve\","
                            "\"quantum-noise\",0,\"\",1,-1,-1,-1,0,\"\",\"new column\",5]]}",
                            &message, NULL),
                     0);
    assert_false(message.report.is_last);
    assert_int_equal(message.report.probes[0].outcome, OUTCOME_UNKNOWN);
    assert_int_equal(outcome_class(OUTCOME_UNKNOWN),
                     OUTCOME_IS_OURS); /* never blames the network */
}

static void test_limits(void **state)
{
    static char text[PROTO_MESSAGE_MAX + 100];
    struct error err;
    CLEANUP_MESSAGE struct proto_message message;

    (void)state;
    refuses(-EINVAL, "a message needs 'v' and 'type'", "{}");
    refuses(-EINVAL, "a message needs 'v' and 'type'", "[1]");
    refuses(-EINVAL, "not JSON", "{\"v\":1,\"type\":\"pu");
    refuses(-EINVAL, "field 'epoch' is missing", "{\"v\":1,\"type\":\"pull\",\"instance\":\"a\"}");
    refuses(-EINVAL, "field 'instance' is not a string",
            "{\"v\":1,\"type\":\"leaving\",\"instance\":7}");
    refuses(-EINVAL, "field 'epoch' is 0, expected 1",
            "{\"v\":1,\"type\":\"pull\",\"instance\":\"a\",\"epoch\":0,\"got\":[]}");
    refuses(-EINVAL, "field 'epoch' is not a whole number",
            "{\"v\":1,\"type\":\"pull\",\"instance\":\"a\",\"epoch\":1.5,\"got\":[]}");
    refuses(-EINVAL, "nested deeper", "{\"v\":1,\"type\":\"pull\",\"x\":[[[[[[[[1]]]]]]]]}");
    snprintf(text, sizeof(text), "{\"v\":1,\"type\":\"leaving\",\"instance\":\"%0300d\"}", 1);
    refuses(-EINVAL, "field 'instance' is longer than 255 bytes", text);
    memset(text, ' ', sizeof(text));
    assert_int_equal(proto_decode(text, PROTO_MESSAGE_MAX + 1, &message, &err), -EMSGSIZE);
}

static void test_control_characters_do_not_arrive(void **state)
{
    CLEANUP_MESSAGE struct proto_message message;

    (void)state;
    assert_int_equal(
        decode("{\"v\":1,\"type\":\"leaving\",\"instance\":\"a\\u001b[31mb\\n\"}", &message, NULL),
        0);
    assert_string_equal(message.leaving.instance, "a?[31mb?");
    proto_message_deinit(&message);
    assert_int_equal(decode("{\"v\":1,\"type\":\"leaving\",\"instance\":\"\xff\xc2\x9b\xc3\xbc\"}",
                            &message, NULL),
                     0);
    assert_string_equal(message.leaving.instance, "???\xc3\xbc");
}

static void test_too_large_is_not_sent(void **state)
{
    static struct proto_target targets[2000];
    const char *names[] = {"a-rather-long-discovery-name-of-some-service.shop.local"};
    struct proto_message message = {
        .type = PROTO_ASSIGNMENT,
        .assignment = {.id = 1, .run = 1, .targets = targets, .target_count = 2000},
    };
    CLEANUP_BUF struct buf text = BUF_INIT(PROTO_MESSAGE_MAX);

    (void)state;
    for (int i = 0; i < 2000; i++)
        targets[i] = (struct proto_target){.check = "http",
                                           .record = "A",
                                           .names = names,
                                           .name_count = 1,
                                           .port = 80,
                                           .timeout_ms = 1};
    assert_int_equal(proto_encode(&message, &text), -EMSGSIZE);
    assert_int_equal(text.length, 0);
    message.assignment.target_count = 10;
    assert_int_equal(proto_encode(&message, &text), 0);
}

static void test_status_sets(void **state)
{
    (void)state;
    assert_true(status_set_is_valid("200-299"));
    assert_true(status_set_is_valid("200,204,300-399"));
    assert_false(status_set_is_valid(""));
    assert_false(status_set_is_valid("99"));
    assert_false(status_set_is_valid("600"));
    assert_false(status_set_is_valid("299-200"));
    assert_false(status_set_is_valid("200,"));
    assert_false(status_set_is_valid("2xx"));
    assert_true(status_set_contains("200,300-399", 302));
    assert_false(status_set_contains("200,300-399", 404));
    assert_false(status_set_contains("", 200));
}

static void test_every_outcome_has_a_name(void **state)
{
    (void)state;
    for (int i = 1; i < OUTCOME_COUNT; i++)
        assert_int_equal(outcome_from_name(outcome_name((enum proto_outcome)i)), i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_assignment),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_the_longest_witness),
        cmocka_unit_test(test_settle_and_watching),
        cmocka_unit_test(test_versions_refuse_each_other_by_name),
        cmocka_unit_test(test_newer_fields_are_ignored),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_control_characters_do_not_arrive),
        cmocka_unit_test(test_too_large_is_not_sent),
        cmocka_unit_test(test_status_sets),
        cmocka_unit_test(test_every_outcome_has_a_name),
    };
    return RUN_TESTS(tests);
}
