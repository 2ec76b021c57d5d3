/* canreach why: one pair: the cause, its evidence and fix; then every endpoint, from both ends. */
#include "collector/cli/command.h"
#include "collector/cli/diagnosis.h"
#include "collector/cli/print.h"
#include "collector/cli/table.h"
#include "collector/cli/why_ends.h"
#include "collector/cli/why_path.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct settings {
    struct common_settings common;
    const char *run;
};

static const struct option_spec specs[] = {
    {"run", NULL, OPTION_STRING, offsetof(struct settings, run), "RUN", "last", 0, 0,
     "of this run"},
    COMMON_OPTIONS,
};

static void add_ms(struct table *table, const cJSON *row, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(row, key);

    if (cJSON_IsNumber(value))
        table_add(table, PLAIN, "%.1f", value->valuedouble);
    else
        table_add(table, DIM, "-");
}

static void put_note(struct buf *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put_note(struct buf *out, const char *format, ...)
{
    va_list args;

    buf_puts(out, out->length ? ", " : "");
    va_start(args, format);
    buf_vprintf(out, format, args);
    va_end(args);
}

/* What is unusual about an answer. */
static void put_resolution_notes(struct buf *out, const cJSON *row)
{
    const char *asked = json_string(row, "asked", "");
    const cJSON *alias, *chain = cJSON_GetObjectItemCaseSensitive(row, "chain");

    if (*asked && strcasecmp(asked, json_string(row, "name", "")) != 0)
        put_note(out, "for %s", asked);
    cJSON_ArrayForEach(alias, chain)
    {
        if (cJSON_IsString(alias))
            put_note(out, "CNAME %s", alias->valuestring);
    }
    if (json_bool(row, "tcp", false))
        put_note(out, "over TCP");
    if (json_bool(row, "superseded", false))
        put_note(out, "tried on");
    if (json_bool(row, "reference", false))
        put_note(out, "VPC resolver, to compare");
}

static void add_resolution(struct table *table, const cJSON *row)
{
    const cJSON *answer, *answers = cJSON_GetObjectItemCaseSensitive(row, "answers");
    int64_t ttl = json_int(row, "ttl", 0, INT64_C(4294967295), -1);
    bool is_good = strcmp(json_string(row, "outcome", ""), "ok") == 0 ||
                   strcmp(json_string(row, "outcome", ""), "nodata") == 0;
    CLEANUP_BUF struct buf list = BUF_INIT(BUF_UNBOUNDED), notes = list;

    put_resolution_notes(&notes, row);
    cJSON_ArrayForEach(answer, answers)
    {
        buf_printf(&list, "%s%s", list.length ? ", " : "",
                   cJSON_IsString(answer) ? answer->valuestring : "?");
    }
    table_add(table, PLAIN, "  %s", json_string(row, "task", "?"));
    table_add(table, PLAIN, "%s", json_string(row, "name", "?"));
    table_add(table, PLAIN, "%s", json_string(row, "type", "?"));
    table_add(table, is_good ? PLAIN : RED, "%s", json_string(row, "outcome", "?"));
    if (ttl >= 0)
        table_add(table, PLAIN, "%lld", (long long)ttl);
    else
        table_add(table, DIM, "-");
    add_ms(table, row, "time");
    table_add(table, PLAIN, "%s", json_string(row, "resolver", ""));
    table_add(table, DIM, "%s", buf_text(&notes));
    table_add(table, PLAIN, "%s", buf_text(&list));
}

static void print_resolutions(const cJSON *rows)
{
    static const char *const heads[] = {"  task", "name",     "type",  "outcome", "ttl",
                                        "ms",     "resolver", "notes", "answers"};
    struct table table;
    const cJSON *row;

    printf("\nNames\n");
    table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(row, rows)
    {
        add_resolution(&table, row);
    }
    table_print(&table);
    table_deinit(&table);
}

/* What the kernel, the certificate and the body say beyond the outcome. */
static void put_attempt_notes(struct buf *out, const cJSON *row)
{
    const cJSON *icmp = cJSON_GetObjectItemCaseSensitive(row, "icmp");
    const cJSON *session = cJSON_GetObjectItemCaseSensitive(row, "tls_session");
    const cJSON *late = cJSON_GetObjectItemCaseSensitive(row, "late");
    int64_t retransmits = json_int(row, "retransmits", 0, INT32_MAX, 0);
    int64_t rate = json_int(row, "rate", 0, INT64_MAX, 0);
    int64_t days = json_int(session, "valid_days", -400000, 400000, 0);

    if (*json_string(row, "detail", ""))
        put_note(out, "%s", json_string(row, "detail", ""));
    if (cJSON_IsObject(icmp))
        put_note(out, "ICMP %lld/%lld from %s", (long long)json_int(icmp, "type", 0, 255, 0),
                 (long long)json_int(icmp, "code", 0, 255, 0), json_string(icmp, "from", "?"));
    if (retransmits)
        put_note(out, retransmits == 1 ? "%lld retransmit" : "%lld retransmits",
                 (long long)retransmits);
    if (strcmp(json_string(row, "via", ""), "hosts") == 0)
        put_note(out, "address from /etc/hosts");
    if (cJSON_IsObject(session)) {
        put_note(out, "%s", json_string(session, "version", "?"));
        put_note(out,
                 days < 0 ? "certificate expired %lld days ago" : "certificate good for %lld days",
                 (long long)(days < 0 ? -days : days));
    }
    if (json_int(row, "round", 0, 255, 0))
        put_note(out, "tried again");
    if (cJSON_IsObject(late))
        put_note(out, "after the deadline: %s at %.0f ms", json_string(late, "outcome", "?"),
                 cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(late, "after")));
    if (rate)
        put_note(out, "%.1f MB/s", (double)rate / 1e6);
}

static void add_attempt(struct table *table, const cJSON *row)
{
    CLEANUP_BUF struct buf notes = BUF_INIT(2048);
    const char *outcome = json_string(row, "outcome", "?");
    const char *address = json_string(row, "address", "");
    bool is_ok = strcmp(outcome, "ok") == 0;

    table_add(table, PLAIN, "  %s", json_string(row, "task", "?"));
    if (*address)
        table_add(table, PLAIN, strchr(address, ':') ? "[%s]:%lld" : "%s:%lld", address,
                  (long long)json_int(row, "port", 0, 65535, 0));
    else
        table_add(table, DIM, "-");
    table_add(table, PLAIN, "%s", json_string(row, "phase", "?"));
    add_ms(table, row, "resolve");
    add_ms(table, row, "connect");
    add_ms(table, row, "tls");
    add_ms(table, row, "exchange");
    table_add(table, is_ok ? GREEN : RED, "%s", json_string(row, "text", outcome));
    put_attempt_notes(&notes, row);
    table_add(table, PLAIN, "%s", buf_text(&notes));
}

static void print_attempts(const cJSON *rows)
{
    static const char *const heads[] = {"  task",      "endpoint",   "phase",
                                        "resolve ms",  "connect ms", "tls ms",
                                        "exchange ms", "observed",   "notes"};
    struct table table;
    const cJSON *row;

    printf("\nAttempts\n");
    table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(row, rows)
    {
        add_attempt(&table, row);
    }
    table_print(&table);
    table_deinit(&table);
}

static int pair_status(const cJSON *document, const char *state)
{
    const cJSON *cell = cJSON_GetObjectItemCaseSensitive(document, "cell");
    static const char *const failing[] = {"fail", "partial", "leak"};
    static const char *const passing[] = {"ok", "denied", "n/a"};
    bool is_observed = strcmp(json_string(cell, "expected", ""), "observe") == 0;

    for (size_t i = 0; i < ARRAY_SIZE(failing); i++)
        if (strcmp(failing[i], state) == 0)
            return is_observed ? EXIT_PASS : EXIT_FAIL;
    for (size_t i = 0; i < ARRAY_SIZE(passing); i++)
        if (strcmp(passing[i], state) == 0)
            return EXIT_PASS;
    return EXIT_NO_VERDICT;
}

static void print_tries(const cJSON *cell)
{
    const cJSON *tries = cJSON_GetObjectItemCaseSensitive(cell, "tries");
    const cJSON *loss = cJSON_GetObjectItemCaseSensitive(cell, "loss");
    int64_t unconfirmed = json_int(cell, "unconfirmed", 0, INT32_MAX, 0);

    if (cJSON_IsObject(tries))
        printf("  %lld of %lld attempts failed\n",
               (long long)json_int(tries, "failed", 0, INT32_MAX, 0),
               (long long)json_int(tries, "total", 0, INT32_MAX, 0));
    if (cJSON_IsObject(loss))
        printf("  packets lost: in %lld of %lld attempts; %lld sent again\n",
               (long long)json_int(loss, "lossy", 0, INT32_MAX, 0),
               (long long)json_int(loss, "tries", 0, INT32_MAX, 0),
               (long long)json_int(loss, "retransmits", 0, INT32_MAX, 0));
    if (unconfirmed)
        printf("  %lld not confirmed: the failure could not be tried again\n",
               (long long)unconfirmed);
}

static void print_pair(const cJSON *document)
{
    const cJSON *cell = cJSON_GetObjectItemCaseSensitive(document, "cell");
    const cJSON *run = cJSON_GetObjectItemCaseSensitive(document, "run");
    const cJSON *attempts = cJSON_GetObjectItemCaseSensitive(document, "probes");
    const char *state = json_string(cell, "state", "?");

    printf("%s -> %s:%s  ", json_string(cell, "source", "?"), json_string(cell, "target", "?"),
           json_string(cell, "check", "?"));
    print_coloured(print_state_colour(state), state, SIZE_MAX);
    printf("\n  run %s of %s, expected: %s, %lld of %lld endpoints failed, %lld tasks probed\n",
           json_string(run, "id", "?"), json_string(run, "started", "?"),
           json_string(cell, "expected", "?"), (long long)json_int(cell, "failed", 0, INT32_MAX, 0),
           (long long)json_int(cell, "probes", 0, INT32_MAX, 0),
           (long long)json_int(cell, "tasks", 0, INT32_MAX, 0));
    print_tries(cell);
    diagnosis_print_pair(document);
    if (cJSON_GetArraySize(attempts) == 0) {
        printf("\nNo attempt was made: %s\n", strcmp(state, "no-data") == 0
                                                  ? "no task of the source reported"
                                                  : "the plan left this pair out");
        return;
    }
    why_print_ends(document);
    why_print_paths(document);
    why_print_logs(document);
    print_resolutions(cJSON_GetObjectItemCaseSensitive(document, "resolutions"));
    print_attempts(attempts);
}

static int show(const struct settings *settings, const char *source, const char *target)
{
    char name[256], run[64], from[800], to[800], check[800], path[2600];
    const char *colon = strchr(target, ':');
    CLEANUP_JSON cJSON *document = NULL;
    int status;

    snprintf(name, sizeof(name), "%.*s", (int)(colon ? colon - target : 255), target);
    snprintf(path, sizeof(path), "/api/v1/runs/%s/pairs/%s/%s%s%s",
             client_escape(settings->run, run, sizeof(run)),
             client_escape(source, from, sizeof(from)), client_escape(name, to, sizeof(to)),
             colon ? "?check=" : "", client_escape(colon ? colon + 1 : "", check, sizeof(check)));
    status = command_get("why", &settings->common, path, &document);
    if (status >= 0)
        return status;
    if (command_wants_json(&settings->common))
        print_json(document);
    else if (strcmp(settings->common.output, "markdown") == 0)
        diagnosis_print_markdown(document);
    else
        print_pair(document);
    return pair_status(
        document, json_string(cJSON_GetObjectItemCaseSensitive(document, "cell"), "state", ""));
}

int cmd_why(int argc, char **argv)
{
    struct settings settings = {0};
    struct options_list words = {0};
    int status = command_parse("why", specs, ARRAY_SIZE(specs), &settings, argc, argv, &words, 2);

    if (status < 0 && words.count != 2)
        status = command_error("why", EXIT_USAGE, "expected a source and a target");
    if (status < 0)
        status = show(&settings, words.items[0], words.items[1]);
    options_list_deinit(&words);
    return status;
}
