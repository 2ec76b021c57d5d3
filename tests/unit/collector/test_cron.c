/* Cron expressions over time zones: checked against known dates, and against a second reading. */
#include "collector/schedule/cron.h"
#include "common/clock.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <time.h>

static int64_t at(const char *text)
{
    int64_t ms = 0;

    if (!clock_from_rfc3339(text, &ms))
        fail_msg("%s is no time", text);
    return ms / 1000;
}

static struct zone *zone(const char *name)
{
    struct zone *zone = NULL;
    struct error err = {""};

    if (zone_load(name, at("2026-11-21T00:00:00Z"), &zone, &err) < 0)
        fail_msg("%s", err.text);
    return zone;
}

static void expect(const char *text, const char *place, const char *after, const char *next)
{
    struct zone *there = zone(place);
    struct cron cron;
    struct error err = {""};
    char found[CLOCK_RFC3339_MAX];
    int64_t seconds;

    if (cron_parse(text, &cron, &err) < 0)
        fail_msg("%s", err.text);
    seconds = cron_next(&cron, there, at(after));
    clock_rfc3339(seconds * 1000, found);
    found[19] = '\0';
    if (strcmp(seconds ? found : "never", next) != 0)
        fail_msg("%s in %s after %s: %s, not %s", text, place, after, found, next);
    zone_free(there);
}

static void test_next(void **state)
{
    (void)state;
    expect("0 3 * * *", "UTC", "2026-11-21T02:59:59Z", "2026-11-21T03:00:00");
    expect("0 3 * * *", "UTC", "2026-11-21T03:00:00Z", "2026-11-22T03:00:00");
    expect("*/15 8-17 * * mon-fri", "UTC", "2026-11-20T17:45:00Z", "2026-11-23T08:00:00");
    expect("5,35 * * * *", "UTC", "2026-11-20T17:06:30Z", "2026-11-20T17:35:00");
    expect("0 0 29 2 *", "UTC", "2026-11-20T00:00:00Z", "2028-02-29T00:00:00");
    expect("0 0 30 feb *", "UTC", "2026-11-20T00:00:00Z", "never");
    expect("0 0 13 * fri", "UTC", "2026-11-20T00:00:00Z", "2026-11-27T00:00:00"); /* either */
    expect("0 0 * * 7", "UTC", "2026-11-20T00:00:00Z", "2026-11-22T00:00:00");
    expect("@hourly", "UTC", "2026-11-20T00:00:00Z", "2026-11-20T01:00:00");
    expect("@monthly", "UTC", "2026-11-20T00:00:00Z", "2026-12-01T00:00:00");
    expect("30 1/6 * * *", "UTC", "2026-11-20T02:00:00Z", "2026-11-20T07:30:00");
    expect("0 3 * * *", "America/New_York", "2026-11-21T00:00:00Z", "2026-11-21T08:00:00");
    expect("0 3 * * *", "Asia/Kolkata", "2026-11-21T00:00:00Z", "2026-11-21T21:30:00");
}

/* Berlin: 2027-03-28 02:00 becomes 03:00, 2027-10-31 03:00 becomes 02:00. */
static void test_summer_time(void **state)
{
    (void)state;
    expect("0 3 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", "2027-03-28T01:00:00");
    expect("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z",
           "2027-03-28T01:00:00"); /* skipped */
    expect("30 2 * * *", "Europe/Berlin", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00");
    expect("30 2 * * *", "Europe/Berlin", "2027-10-30T12:00:00Z", "2027-10-31T00:30:00");
    expect("30 2 * * *", "Europe/Berlin", "2027-10-31T00:30:00Z", "2027-11-01T01:30:00"); /* once */
    expect("30 * * * *", "Europe/Berlin", "2027-10-31T00:30:00Z", "2027-10-31T01:30:00"); /* each */
    expect("0 12 * * *", "Europe/Berlin", "2040-07-01T00:00:00Z", "2040-07-01T10:00:00");
}

/* Each minute of a year, by the fields themselves: the search leaps over days, and must miss none.
 */
static void test_every_minute(void **state)
{
    static const char *const texts[] = {"*/7 */5 * * *", "0 0 1,15 * 1", "59 23 31 * *",
                                        "13 4 * 2-5/2 sun,wed"};
    struct zone *there = zone("UTC");

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct cron cron;
        int64_t from = at("2027-01-01T00:00:00Z"), next;
        assert_int_equal(cron_parse(texts[i], &cron, NULL), 0);
        next = cron_next(&cron, there, from - 60);
        for (int64_t now = from; now < from + 366 * 86400; now += 60) {
            time_t seconds = (time_t)now;
            struct tm tm;
            bool day, weekday, is_due;
            gmtime_r(&seconds, &tm);
            day = cron.days >> tm.tm_mday & 1;
            weekday = cron.weekdays >> tm.tm_wday & 1;
            is_due = cron.minutes >> tm.tm_min & 1 && cron.hours >> tm.tm_hour & 1 &&
                     cron.months >> (tm.tm_mon + 1) & 1 &&
                     (cron.is_any_day || cron.is_any_weekday ? day && weekday : day || weekday);
            assert_int_equal(is_due, now == next);
            if (is_due)
                next = cron_next(&cron, there, now);
        }
    }
    zone_free(there);
}

static void refuses(const char *text, const char *why)
{
    struct cron cron;
    struct error err = {""};

    assert_int_equal(cron_parse(text, &cron, &err), -EINVAL);
    if (!strstr(err.text, why))
        fail_msg("'%s' is not in '%s'", why, err.text);
}

static void test_refusals(void **state)
{
    struct zone *none = NULL;
    struct error err = {""};

    (void)state;
    refuses("", "0 fields; expected 5");
    refuses("0 3 * *", "4 fields; expected 5");
    refuses("0 3 * * * *", "more than 5 fields");
    refuses("60 * * * *", "minute '60': expected 0 to 59");
    refuses("* 24 * * *", "hour '24'");
    refuses("* * 0 * *", "day of month '0'");
    refuses("* * * 13 *", "month '13'");
    refuses("* * * * monday", "day of week 'monday': expected 0 to 7, lists, ranges, steps, names");
    refuses("5-1 * * * *", "minute '5-1'");
    refuses("*/0 * * * *", "minute '*/0'");
    refuses("1,,2 * * * *", "minute '1,,2'");
    refuses("@often", "minute '@often'");
    assert_int_equal(zone_load("Europe/Nowhere", 0, &none, &err), -ENOENT);
    assert_non_null(strstr(err.text, "'Europe/Nowhere' is no time zone"));
    assert_int_equal(zone_load("../passwd", 0, &none, &err), -ENOENT);
    assert_int_equal(zone_load("zone.tab", 0, &none, &err), -ENOENT);
    assert_int_equal(zone_load("Europe", 0, &none, &err), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_summer_time),
        cmocka_unit_test(test_every_minute),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
