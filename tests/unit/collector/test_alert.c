/* Incidents and outages over runs, and what each kind of destination is sent. */
#include "collector/alert/incident.h"
#include "collector/alert/message.h"
#include "collector/outage.h"
#include "common/json.h"
#include "tests/unit/test.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#define CELL(source, target, state)                                                              \
    "{\"source\":\"" source "\",\"target\":\"" target "\",\"check\":\"http\",\"state\":\"" state \
    "\",\"expected\":\"allow\"}"
#define DIAGNOSIS(cause, scope, cells)                                                       \
    "{\"cause\":\"" cause "\",\"scope\":\"" scope "\",\"severity\":\"failure\",\"summary\":" \
    "\"why " cause "\",\"confidence\":0.9,\"fix\":\"mend it\",\"cells\":[" cells "]}"

static struct incidents incidents;

/* A run over the incidents so far: the events that it makes, as "opened changed". */
static const char *run(const char *diagnoses, const char *cells, int64_t now_ms)
{
    static char text[256];
    CLEANUP_JSON cJSON *d = json_parse(diagnoses, strlen(diagnoses), 8, NULL);
    CLEANUP_JSON cJSON *c = json_parse(cells, strlen(cells), 8, NULL);
    struct incident_run looked = {
        .diagnoses = d, .cells = c, .is_whole = true, .now_ms = now_ms, .remind_ms = 1000};
    struct incidents next = {0};

    assert_non_null(d);
    assert_non_null(c);
    incidents_update(&incidents, &looked);
    text[0] = '\0';
    for (size_t i = 0; i < incidents.event_count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 incident_kind_name(incidents.events[i].kind));
    /* As the store would have it: what is resolved goes, new ones get an id. */
    for (size_t i = 0; i < incidents.count; i++) {
        bool is_over = false;
        for (size_t e = 0; e < incidents.event_count; e++)
            is_over |=
                incidents.events[e].incident == i && incidents.events[e].kind == INCIDENT_RESOLVED;
        if (!is_over)
            incidents_add(&next, incidents.items[i].id ? incidents.items[i].id : (int64_t)i + 1,
                          incidents.items[i].opened_ms, incidents.items[i].told_ms,
                          cJSON_Duplicate(incidents.items[i].document, true));
    }
    incidents_deinit(&incidents);
    incidents = next;
    return text;
}

static void test_one_for_each_cause(void **state)
{
    static const char both[] = "[" DIAGNOSIS(
        "network.sg", "web -> api", CELL("web", "api", "fail") "," CELL("web", "db", "fail")) "]";
    static const char bad[] = "[" CELL("web", "api", "fail") "," CELL("web", "db", "fail") "]";
    static const char half[] = "[" CELL("web", "db", "fail") "]";
    static const char unknown[] = "[" CELL("web", "api", "no-data") "]";
    static const char other[] = "[" DIAGNOSIS("target.down", "db", CELL("web", "db", "fail")) "]";
    static const char more[] = "[" DIAGNOSIS(
        "target.down", "db", CELL("web", "db", "fail") "," CELL("x", "db", "fail")) "]";

    (void)state;
    assert_string_equal(run(both, bad, 1), "opened");
    assert_string_equal(run(both, bad, 500), ""); /* the same again: nobody is told */
    assert_string_equal(run(both, bad, 1500), "reminder");
    assert_string_equal(run("[]", half, 1600), "");    /* one of its pairs works: not over yet */
    assert_string_equal(run("[]", unknown, 1700), ""); /* nobody looked: not over */
    assert_string_equal(run(other, half, 1800), "changed"); /* the same pair, another cause */
    assert_string_equal(
        json_string(cJSON_GetObjectItemCaseSensitive(incidents.items[0].document, "previous"),
                    "cause", ""),
        "network.sg");
    assert_string_equal(run(more, half, 1900), "changed"); /* it spreads */
    assert_string_equal(run(more, half, 2000), "");
    assert_string_equal(run("[]", "[]", 2100), "resolved");
    assert_string_equal(run("[]", "[]", 2200), "");
    assert_int_equal(incidents.count, 0);
}

static void test_two_causes(void **state)
{
    static const char two[] = "[" DIAGNOSIS("a", "x", CELL("w", "x", "fail")) "," DIAGNOSIS(
        "b", "y", CELL("w", "y", "fail")) "]";

    (void)state;
    assert_string_equal(run(two, "[]", 1), "opened opened");
    assert_string_equal(
        run("[" DIAGNOSIS("b", "y", CELL("w", "y", "fail")) "]", "[" CELL("w", "y", "fail") "]", 2),
        "resolved");
    assert_string_equal(run("[]", "[]", 3), "resolved");
}

static void test_what_is_no_failure(void **state)
{
    static const char warning[] =
        "[{\"cause\":\"dns.ttl-high\",\"scope\":\"x\",\"severity\":\"warning\",\"cells\":[]}]";

    (void)state;
    assert_string_equal(run(warning, "[]", 1), "");
    assert_int_equal(incidents.count, 0);
}

/* ---- outages ---- */

static void look(struct outages *outages, int64_t id, const char *diagnoses, const char *cells)
{
    CLEANUP_JSON cJSON *d = json_parse(diagnoses, strlen(diagnoses), 8, NULL);
    CLEANUP_JSON cJSON *c = json_parse(cells, strlen(cells), 8, NULL);
    struct outage_run run_ = {.id = id, .at_ms = id * 1000, .cells = c, .diagnoses = d};

    outages_update(outages, &run_);
}

static void test_outages(void **state)
{
    static const char bad[] = "[" CELL("web", "api", "fail") "]";
    static const char cause[] = "[" DIAGNOSIS("a", "x", CELL("web", "api", "fail")) "]";
    static const char other[] = "[" DIAGNOSIS("b", "x", CELL("web", "api", "fail")) "]";
    struct outages outages = {0};

    (void)state;
    look(&outages, 1, cause, bad);
    assert_int_equal(outages.count, 1);
    assert_int_equal(outages.items[0].record.start_run, 1);
    look(&outages, 2, other, bad);
    look(&outages, 3, other, bad);
    look(&outages, 4, "[]", "[" CELL("web", "api", "no-data") "]");
    assert_int_equal(outages.count, 1);
    assert_int_equal(outages.items[0].record.end_ms, 0); /* nobody looked: it may go on */
    assert_string_equal(outages.items[0].record.causes,
                        "[{\"at\":\"1970-01-01T00:00:01.000Z\",\"run\":\"1\",\"cause\":\"a\"},"
                        "{\"at\":\"1970-01-01T00:00:02.000Z\",\"run\":\"2\",\"cause\":\"b\"}]");
    look(&outages, 5, "[]", "[]");
    assert_int_equal(outages.items[0].record.end_run, 5);
    outages_deinit(&outages);
}

/* ---- messages ---- */

static const char event_text[] =
    "{\"schema\":1,\"id\":\"canreach-7-shop.opened.1\",\"kind\":\"opened\",\"key\":\"canreach-7-"
    "shop\","
    "\"incident\":\"7\",\"fleet\":\"shop\",\"run\":\"12\",\"time\":\"2026-11-21T20:00:00.000Z\","
    "\"opened\":\"2026-11-21T20:00:00.000Z\",\"cause\":\"network.sg-ingress\",\"scope\":\"web -> "
    "api\","
    "\"severity\":\"failure\",\"confidence\":0.93,\"summary\":\"sg-1 <api> & co: "
    "d\xc3\xa9j\xc3\xa0 vu\","
    "\"fix\":\"open it\",\"commands\":[\"aws ec2 x\"],\"cells\":[" CELL(
        "web", "api", "fail") "],"
                              "\"evidence\":[{\"side\":\"source\",\"fact\":\"no "
                              "answer\"}],\"flows\":[\"REJECT 10.0.0.1\"],"
                              "\"matrix\":[\"web -> api:http fail\"]}";

static struct destination destination = {.name = "d",
                                         .url = "http://127.0.0.1/hook",
                                         .secret = "s3cret",
                                         .user = "",
                                         .topic = "",
                                         .project = "OPS",
                                         .issue_type = "Bug",
                                         .from = "canreach@example.com",
                                         .space = "Canreach",
                                         .ca = ""};

static void build(struct message *message, enum destination_type type, const char *remote)
{
    CLEANUP_JSON cJSON *event = json_parse(event_text, sizeof(event_text) - 1, 8, NULL);

    assert_non_null(event);
    destination.type = type;
    message_init(message);
    message_build(message, &destination, event, remote, 1795291200000);
}

static void has(const struct buf *text, const char *part)
{
    if (!strstr(buf_text(text), part))
        fail_msg("'%s' is not in '%s'", part, buf_text(text));
}

static const struct buf *header(const struct message *message, const char *name)
{
    for (size_t i = 0; i < message->header_count; i++)
        if (strncmp(buf_text(&message->headers[i]), name, strlen(name)) == 0)
            return &message->headers[i];
    fail_msg("no header %s", name);
    return NULL;
}

static void test_messages(void **state)
{
    struct message message;
    CLEANUP_JSON cJSON *json = NULL;

    (void)state;
    build(&message, DESTINATION_WEBHOOK, "");
    /* printf '%s' "1795291200.BODY" | openssl dgst -sha256 -hmac s3cret: the scenario does. */
    has(header(&message, "X-Canreach-Signature"), "t=1795291200,v1=");
    assert_int_equal(strlen(strstr(buf_text(header(&message, "X-Canreach-Signature")), "v1=")), 67);
    has(header(&message, "Idempotency-Key"), "canreach-7-shop.opened.1");
    message_deinit(&message);

    build(&message, DESTINATION_SLACK, "");
    has(&message.body, "sg-1 &lt;api&gt; &amp; co");
    json = json_parse(buf_text(&message.body), message.body.length, 8, NULL);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "blocks")), 3);
    message_deinit(&message);

    build(&message, DESTINATION_PAGERDUTY, "");
    has(&message.body, "\"routing_key\":\"s3cret\",\"event_action\":\"trigger\",\"dedup_key\":"
                       "\"canreach-7-shop\"");
    has(&message.body, "\"severity\":\"error\"");
    message_deinit(&message);

    build(&message, DESTINATION_JIRA, "");
    has(&message.url, "/hook/rest/api/2/issue");
    has(&message.body, "\"project\":{\"key\":\"OPS\"},\"issuetype\":{\"name\":\"Bug\"}");
    has(&message.body, "REJECT 10.0.0.1");
    has(&message.body, "web -> api:http fail");
    has(header(&message, "Authorization"), "Bearer s3cret");
    message_deinit(&message);
    build(&message, DESTINATION_JIRA, "OPS-1");
    has(&message.url, "/rest/api/2/issue/OPS-1/comment");
    message_deinit(&message);
}

static void test_mail(void **state)
{
    const char *to[] = {"ops@example.com", "dev@example.com"};
    struct message message;

    (void)state;
    destination.to = to;
    destination.to_count = 2;
    build(&message, DESTINATION_SMTP, "");
    has(&message.body,
        "From: <canreach@example.com>\r\nTo: <ops@example.com>,\r\n <dev@example.com>\r\n");
    has(&message.body, "Subject: =?UTF-8?B?");
    has(&message.body, "Message-ID: <canreach-7-shop.opened.1@canreach>");
    /* No line is longer than RFC 5322 section 2.1.1 advises, none ends without CR. */
    for (const char *line = buf_text(&message.body); *line;) {
        const char *end = strstr(line, "\r\n");
        assert_non_null(end);
        assert_true(end - line <= 78);
        assert_null(memchr(line, '\n', (size_t)(end - line)));
        line = end + 2;
    }
    message_deinit(&message);
    destination.to = NULL;
}

static void test_metrics(void **state)
{
    static const char figures[] = "{\"id\":\"x\",\"kind\":\"run\",\"fleet\":\"shop\",\"run\":\"3\","
                                  "\"time\":\"2026-11-21T20:00:00.000Z\","
                                  "\"failures\":2,\"services\":[{\"service\":\"web\",\"failures\":"
                                  "2},{\"service\":\"api\",\"failures\":0}]}";
    CLEANUP_JSON cJSON *event = json_parse(figures, sizeof(figures) - 1, 8, NULL);
    struct message message;
    size_t lines = 0;

    (void)state;
    destination.type = DESTINATION_EMF;
    message_init(&message);
    message_build(&message, &destination, event, "", 0);
    for (const char *line = buf_text(&message.body); *line; lines++) {
        size_t length = strcspn(line, "\n");
        CLEANUP_JSON cJSON *one = json_parse(line, length, 8, NULL);
        const cJSON *aws = cJSON_GetObjectItem(one, "_aws");
        assert_int_equal(json_int(aws, "Timestamp", 0, INT64_MAX, 0), 1795291200000);
        assert_int_equal(json_int(one, "FailureCount", 0, 9, -1), lines == 2 ? 0 : 2);
        assert_true(length < 4096); /* a pipe takes it at once */
        line += length + 1;
    }
    assert_int_equal(lines, 3);
    message_deinit(&message);
}

static void test_remote(void **state)
{
    char key[64];

    (void)state;
    destination.type = DESTINATION_JIRA;
    message_remote(&destination, "{\"key\":\"OPS-12\"}", 16, key, sizeof(key));
    assert_string_equal(key, "OPS-12");
    message_remote(&destination, "{\"key\":\"../../x\"}", 17, key, sizeof(key));
    assert_string_equal(key, "");
    message_remote(&destination, "<html>", 6, key, sizeof(key));
    assert_string_equal(key, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_for_each_cause),
        cmocka_unit_test(test_two_causes),
        cmocka_unit_test(test_what_is_no_failure),
        cmocka_unit_test(test_outages),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_mail),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_remote),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
