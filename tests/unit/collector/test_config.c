/* The collector's configuration: all of it, and every mistake with its line. */
#include "collector/config.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>

static const char whole[] =
    "gate:\n"
    "  known-failures: fail\n"
    "  app-errors: ignore\n"
    "  stale-grace: 10s\n"
    "  wait: 90s\n"
    "retention: { runs: 50, age: 7d }\n"
    "schedules:\n"
    "  - { name: nightly, cron: '0 3 * * *', zone: Europe/Berlin, jitter: 5m, missed: run }\n"
    "  - { name: hourly, cron: '@hourly', from: [web], to: [api, db] }\n"
    "alerts:\n"
    "  remind: 2h\n"
    "  destinations:\n"
    "    - { name: hook, type: webhook, url: 'https://x/', secret: 'env:TEST_SECRET' }\n"
    "    - { name: mail, type: smtp, url: 'smtp://x:25', from: a@x, to: [b@x, c@x], plain: true }\n"
    "    - { name: figures, type: emf }\n";

static void test_whole(void **state)
{
    struct fleet_messages messages = {0};
    struct config config;

    (void)state;
    setenv("TEST_SECRET", "very", 1);
    config_init(&config);
    if (config_parse(&config, "test", whole, sizeof(whole) - 1, &messages) < 0)
        fail_msg("%s", buf_text(&messages.text));
    assert_int_equal(config.gate.rules.known, GATE_FAIL);
    assert_int_equal(config.gate.rules.app_error, GATE_IGNORE);
    assert_int_equal(config.gate.rules.draining, GATE_IGNORE);
    assert_int_equal(config.gate.rules.stale_ms, 10000);
    assert_int_equal(config.gate.wait_ms, 90000);
    assert_int_equal(config.retention.runs, 50);
    assert_int_equal(config.retention.age_ms, 7LL * 86400000);
    assert_int_equal(config.schedule_count, 2);
    assert_true(config.schedules[0].catches_up);
    assert_string_equal(config.schedules[0].zone->name, "Europe/Berlin");
    assert_int_equal(config.schedules[1].to.count, 2);
    assert_int_equal(config.alerts.count, 3);
    assert_int_equal(config.alerts.remind_ms, 7200000);
    assert_string_equal(config.destinations[0].secret, "very");
    assert_int_equal(config.destinations[1].to_count, 2);
    assert_int_equal(config.destinations[2].type, DESTINATION_EMF);
    config_deinit(&config);
    fleet_messages_deinit(&messages);
}

static void refuses(const char *text, const char *why)
{
    struct fleet_messages messages = {0};
    struct config config;

    config_init(&config);
    assert_int_equal(config_parse(&config, "test", text, strlen(text), &messages), -EINVAL);
    if (!strstr(buf_text(&messages.text), why))
        fail_msg("'%s' is not in '%s'", why, buf_text(&messages.text));
    config_deinit(&config);
    fleet_messages_deinit(&messages);
}

static void test_refusals(void **state)
{
    (void)state;
    refuses("gates: {}",
            "test:1:1: error: unknown key 'gates' in the configuration; did you mean 'gate'?");
    refuses("gate: []", "test:1:7: error: gate is a list; expected a mapping");
    refuses("gate: { known-failures: maybe }", "expected one of ignore, inconclusive, fail");
    refuses("gate: { waits: 1s }", "unknown key 'waits' in gate; did you mean 'wait'?");
    refuses("gate: { wait: soon }", "expected a duration such as");
    refuses("retention: { runs: 1 }", "expected a number from 2 to 1000000");
    refuses("retention: { age: 1s }", "out of range");
    refuses("schedules: {}", "schedules is a mapping; expected a list");
    refuses("schedules: [{ name: a }]", "a schedule without 'cron'");
    refuses("schedules: [{ cron: '* * * * *' }]", "a schedule without 'name'");
    refuses("schedules: [{ name: a, cron: '61 * * * *' }]", "cron: minute '61'");
    refuses("schedules: [{ name: a, cron: '@daily', zone: Mars/Olympus }]",
            "zone: 'Mars/Olympus' is no time zone");
    refuses("schedules:\n- { name: a, cron: '@daily' }\n- { name: a, cron: '@daily' }\n",
            "test:3:3: error: two schedules are named 'a'");
    refuses("alerts: { destinations: [{ name: a }] }", "a destination without 'type'");
    refuses("alerts: { destinations: [{ name: a, type: slick }] }", "did you mean 'slack'?");
    refuses("alerts: { destinations: [{ name: a, type: webhook }] }",
            "destination 'a' (webhook) needs 'url'");
    refuses("alerts: { destinations: [{ name: a, type: webhook, url: 'ftp://x' }] }",
            "needs 'url'");
    refuses("alerts: { destinations: [{ name: a, type: pagerduty }] }",
            "needs 'secret': its routing key");
    refuses("alerts: { destinations: [{ name: a, type: pagerduty, secret: abc }] }",
            "expected env:NAME or file:PATH, not the secret itself");
    refuses("alerts: { destinations: [{ name: a, type: pagerduty, secret: 'env:NO_SUCH_THING' }] }",
            "the environment has no NO_SUCH_THING");
    refuses("alerts: { destinations: [{ name: a, type: pagerduty, secret: 'file:/nonexistent' }] }",
            "/nonexistent: No such file or directory");
    refuses("alerts: { destinations: [{ name: a, type: smtp, url: 'smtp://x', from: a@x, to: ['b "
            "c'] }] }",
            "'b c' is no e-mail address");
    refuses("alerts: { destinations: [{ name: a, type: sns, topic: ops }] }",
            "needs 'topic': an ARN");
    refuses("alerts: { destinations: [{ name: a, type: emf }, { name: a, type: emf }] }",
            "two destinations are named 'a'");
    refuses("alerts: { remind: [1] }", "remind is a list; expected a single value");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
