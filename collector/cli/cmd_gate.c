/* canreach gate: whether a deployment may stand; and, where it may not, what is done about it. */
#include "collector/cli/command.h"
#include "collector/cli/print.h"
#include "collector/cli/report.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define POLL_MIN_MS  20
#define POLL_MAX_MS  500
#define LOST_MS      120000 /* without an answer from the collector: give up */
#define FILE_MAX     ((size_t)64 << 20)
#define DOCUMENT_MAX 16 /* levels of a kept matrix */

struct settings {
    struct common_settings common;
    const char *deployment, *revision, *baseline, *rollback, *command, *execution;
    const char *on_inconclusive;
    const char *attach;
    int64_t tasks, wait_ms;
    bool is_dry;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct option_spec specs[] = {
    {"deployment", NULL, OPTION_STRING, FIELD(deployment), "ID", NULL, 0, 0,
     "its id: one gate each, for ever. An ECS service deployment's ARN, CodeDeploy's d-..., or any "
     "name"},
    {"revision", NULL, OPTION_STRING, FIELD(revision), "FAMILY:N", NULL, 0, 0,
     "the new task definition [what ECS says]"},
    {"tasks", NULL, OPTION_INT, FIELD(tasks), "N", NULL, 1, 100000,
     "of the new revision [what ECS, or the fleet file, says]"},
    {"wait", NULL, OPTION_DURATION, FIELD(wait_ms), "TIME", NULL, 1000, 3600000,
     "for the new tasks' agents [5m, or as the collector is set]"},
    {"baseline", NULL, OPTION_STRING, FIELD(baseline), "WHAT", "last-good", 0, 0,
     "last-good, a run, or a file (canreach matrix -o json)"},
    {"rollback", NULL, OPTION_STRING, FIELD(rollback), "HOW", "none", 0, 0,
     "ecs, codedeploy, command or none"},
    {"command", NULL, OPTION_STRING, FIELD(command), "COMMAND", NULL, 0, 0,
     "for --rollback command: what /bin/sh is to run, here"},
    {"execution", NULL, OPTION_STRING, FIELD(execution), "ID", NULL, 0, 0,
     "for --rollback codedeploy: of the lifecycle event hook"},
    {"on-inconclusive", NULL, OPTION_STRING, FIELD(on_inconclusive), "HOW", "3", 0, 0,
     "exit status of INCONCLUSIVE: pass (0), fail (1) or 3"},
    {"attach", NULL, OPTION_STRING, FIELD(attach), "GATE", NULL, 0, 0,
     "wait for a gate that goes on already, and say what it says"},
    {"dry-run", NULL, OPTION_FLAG, FIELD(is_dry), NULL, NULL, 0, 0,
     "judge, say what would be done, do nothing"},
    COMMON_OPTIONS,
};

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* ---- the request ---- */

static int check_settings(const struct settings *settings)
{
    static const char *const ways[] = {"none", "ecs", "codedeploy", "command"};
    static const char *const words[] = {"pass", "fail", "3"};
    bool is_way = false, is_word = false;

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
        is_way |= strcmp(settings->rollback, ways[i]) == 0;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        is_word |= strcmp(settings->on_inconclusive, words[i]) == 0;
    if (!is_way)
        return command_error("gate", EXIT_USAGE,
                             "--rollback %s: expected ecs, codedeploy, command or none",
                             settings->rollback);
    if (!is_word)
        return command_error("gate", EXIT_USAGE, "--on-inconclusive %s: expected pass, fail or 3",
                             settings->on_inconclusive);
    if ((strcmp(settings->rollback, "command") == 0) != (settings->command != NULL))
        return command_error("gate", EXIT_USAGE, "--rollback command and --command go together");
    return -1;
}

/* The cells that touch the service, of a matrix that somebody kept. */
static int put_file(const char *path, const char *service, struct buf *out)
{
    CLEANUP_BUF struct buf text = BUF_INIT(FILE_MAX);
    CLEANUP_JSON cJSON *document = NULL;
    const cJSON *cell;
    const char *separator = "";
    struct error err = {""};
    char chunk[65536];
    FILE *file = fopen(path, "rb");
    size_t length;

    if (!file)
        return command_error("gate", EXIT_USAGE,
                             "--baseline %s: neither last-good, nor a run's id, nor a file: %s",
                             path, strerror(errno));
    while ((length = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_append(&text, chunk, length);
    fclose(file);
    document = json_parse(buf_text(&text), text.length, DOCUMENT_MAX, &err);
    if (!document || !cJSON_IsArray(member(document, "cells")))
        return command_error(
            "gate", EXIT_USAGE,
            "--baseline %s: not a matrix as 'canreach matrix -o json' writes it%s%s", path,
            *err.text ? ": " : "", err.text);
    buf_putc(out, '[');
    cJSON_ArrayForEach(cell, member(document, "cells"))
    {
        const char *source = json_string(cell, "source", ""),
                   *target = json_string(cell, "target", "");
        if (strcmp(source, service) != 0 && strcmp(target, service) != 0)
            continue;
        buf_printf(out, "%s{\"source\":", separator);
        buf_put_json(out, source);
        buf_puts(out, ",\"target\":");
        buf_put_json(out, target);
        buf_puts(out, ",\"check\":");
        buf_put_json(out, json_string(cell, "check", ""));
        buf_puts(out, ",\"state\":");
        buf_put_json(out, json_string(cell, "state", ""));
        buf_putc(out, '}');
        separator = ",";
    }
    buf_putc(out, ']');
    return -1;
}

static void put_text(struct buf *out, const char *key, const char *value)
{
    if (!value)
        return;
    buf_printf(out, ",\"%s\":", key);
    buf_put_json(out, value);
}

static int put_request(const struct settings *settings, const char *service, struct buf *out)
{
    int64_t run;
    int status = -1;

    buf_puts(out, "{\"service\":");
    buf_put_json(out, service);
    put_text(out, "deployment", settings->deployment);
    put_text(out, "revision", settings->revision);
    put_text(out, "rollback", settings->rollback);
    put_text(out, "execution", settings->execution);
    put_text(out, "on_inconclusive", settings->on_inconclusive);
    if (settings->tasks)
        buf_printf(out, ",\"tasks\":%lld", (long long)settings->tasks);
    if (settings->wait_ms)
        buf_printf(out, ",\"wait\":%lld", (long long)settings->wait_ms);
    if (settings->is_dry)
        buf_puts(out, ",\"dry_run\":true");
    if (strcmp(settings->baseline, "last-good") == 0 ||
        text_to_int(settings->baseline, 1, INT64_MAX, &run)) {
        put_text(out, "baseline", settings->baseline);
    } else {
        buf_puts(out, ",\"baseline\":");
        status = put_file(settings->baseline, service, out);
    }
    buf_putc(out, '}');
    return status;
}

/* ---- waiting ---- */

/* As the user's shell would; its output is not ours: it goes to stderr. */
static int run_command(const char *command, const cJSON *gate)
{
    CLEANUP_BUF struct buf line = BUF_INIT(BUF_UNBOUNDED);
    int status;

    setenv("CANREACH_GATE", json_string(gate, "id", ""), 1);
    setenv("CANREACH_SERVICE", json_string(gate, "service", ""), 1);
    setenv("CANREACH_DEPLOYMENT", json_string(gate, "deployment", ""), 1);
    setenv("CANREACH_REVISION", json_string(gate, "revision", ""), 1);
    setenv("CANREACH_FORMER", json_string(gate, "former", ""), 1);
    buf_printf(&line, "{ %s\n} >&2", command);
    fflush(NULL);
    status = system(buf_text(&line));
    return status < 0 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Claimed first: of several that wait for the same gate one runs it, once. */
static void act(struct client *client, const struct settings *settings, const cJSON *gate)
{
    CLEANUP_JSON cJSON *answer = NULL, *told = NULL;
    CLEANUP_BUF struct buf body = BUF_INIT(4096);
    struct error err;
    char path[96];
    int status;

    snprintf(path, sizeof(path), "/api/v1/gates/%s/claim", json_string(gate, "id", ""));
    if (!settings->command || client_call(client, path, "{}", &answer, &err) < 0)
        return;
    print_progress_end();
    fprintf(stderr, "canreach gate: FAIL: %s\n+ %s\n", json_string(gate, "summary", ""),
            settings->command);
    status = run_command(settings->command, gate);
    if (status)
        buf_printf(&body, "{\"problem\":\"the command's exit status is %d\"}", status);
    else
        buf_puts(&body, "{\"problem\":\"\"}");
    snprintf(path, sizeof(path), "/api/v1/gates/%s/acted", json_string(gate, "id", ""));
    for (int i = 0; i < 5 && client_call(client, path, buf_text(&body), &told, &err) == -EIO; i++)
        command_pause_ms(1000);
}

static void show_progress(const cJSON *gate)
{
    const char *what = json_string(gate, "waiting_for", "");
    char line[128];

    snprintf(line, sizeof(line), "gate %s, %s%s%.80s", json_string(gate, "id", "?"),
             json_string(gate, "state", "?"), *what ? ": " : "", what);
    print_progress(line, (size_t)json_int(gate, "agents", 0, INT32_MAX, 0),
                   (size_t)json_int(gate, "expected_agents", 0, INT32_MAX, 0));
}

/* Until it is done. A collector that is away for a while (a restart) goes on with it. */
static int wait_for_gate(struct client *client, const struct settings *settings, const char *id,
                         cJSON **ret_document)
{
    int64_t poll_ms = POLL_MIN_MS;
    uint64_t answered_us = clock_mono_us();
    char path[96];
    struct error err;

    snprintf(path, sizeof(path), "/api/v1/gates/%s", id);
    for (;;) {
        cJSON *document = NULL;
        const cJSON *gate;
        int r = client_call(client, path, NULL, &document, &err);
        if (r == 0) {
            const char *state;
            gate = member(document, "gate");
            state = json_string(gate, "state", "");
            answered_us = clock_mono_us();
            if (strcmp(state, "done") == 0) {
                *ret_document = document;
                return -1;
            }
            show_progress(gate);
            if (strcmp(state, "acting") == 0 &&
                strcmp(json_string(member(gate, "action"), "act", ""), "command") == 0)
                act(client, settings, gate);
        } else if (r != -EIO || clock_mono_us() - answered_us > LOST_MS * 1000ULL) {
            print_progress_end();
            return command_error("gate", EXIT_NO_VERDICT,
                                 "%s; gate %s goes on without me: canreach gate --attach %s",
                                 err.text, id, id);
        }
        json_free(document);
        command_pause_ms(poll_ms);
        if (poll_ms < POLL_MAX_MS)
            poll_ms += poll_ms / 2;
    }
}

/* ---- printing ---- */

static enum colour verdict_colour(const char *verdict)
{
    return strcmp(verdict, "pass") == 0 ? GREEN : strcmp(verdict, "fail") == 0 ? RED : YELLOW;
}

static void print_cells(const cJSON *cells)
{
    const cJSON *cell;

    cJSON_ArrayForEach(cell, cells)
    {
        const char *state = json_string(cell, "state", "?");
        printf("      %s -> %s:%s  ", json_string(cell, "source", "?"),
               json_string(cell, "target", "?"), json_string(cell, "check", "?"));
        print_coloured(print_state_colour(state), state, SIZE_MAX);
        putchar('\n');
    }
}

static void print_finding(const cJSON *finding)
{
    const char *weight = json_string(finding, "weight", "?");
    const cJSON *confidence = member(finding, "confidence");

    fputs("  ", stdout);
    print_coloured(strcmp(weight, "fail") == 0     ? RED
                   : strcmp(weight, "ignore") == 0 ? DIM
                                                   : YELLOW,
                   weight, SIZE_MAX);
    printf("  %s\n", json_string(finding, "text", "?"));
    print_cells(member(finding, "cells"));
    if (!*json_string(finding, "cause", ""))
        return;
    printf("      %s (%.2f): %s\n", json_string(finding, "cause", "?"),
           cJSON_IsNumber(confidence) ? confidence->valuedouble : 0.0,
           json_string(finding, "diagnosis", ""));
    if (*json_string(finding, "fix", ""))
        printf("      fix: %s\n", json_string(finding, "fix", ""));
}

static void print_gaps(const cJSON *gaps)
{
    const cJSON *gap;

    if (cJSON_GetArraySize(gaps))
        puts("\nGaps, in seconds");
    cJSON_ArrayForEach(gap, gaps)
    {
        const cJSON *seconds = member(gap, "seconds");
        int64_t count = json_int(gap, "count", 0, INT32_MAX, 0);
        char pair[512];
        snprintf(pair, sizeof(pair), "%.160s -> %.160s:%.160s", json_string(gap, "source", "?"),
                 json_string(gap, "target", "?"), json_string(gap, "check", "?"));
        printf("  %-36s %7.1f", pair, cJSON_IsNumber(seconds) ? seconds->valuedouble : 0.0);
        if (count > 1)
            printf(" in %lld gaps", (long long)count);
        puts(json_bool(gap, "open", false) ? ", still" : "");
    }
}

static void print_action(const cJSON *action)
{
    const char *command = json_string(action, "command", "");
    const char *problem = json_string(action, "problem", "");
    const char *outcome = json_string(action, "outcome", "");
    const char *mended = json_string(action, "mended", "unknown");

    if (!cJSON_IsObject(action))
        return;
    puts(json_bool(action, "dry_run", false) ? "\nWould do (--dry-run)" : "\nDone about it");
    printf("  %s\n", *command ? command : json_string(action, "act", "?"));
    if (*problem) {
        fputs("  ", stdout);
        print_coloured(RED, problem, SIZE_MAX);
        putchar('\n');
    }
    if (*outcome) {
        printf("  at its end: %s; the pairs are mended: ", outcome);
        print_coloured(strcmp(mended, "yes") == 0 ? GREEN : YELLOW, mended, SIZE_MAX);
        putchar('\n');
    }
}

static void print_gate(const cJSON *gate)
{
    const char *verdict = json_string(gate, "verdict", "?");
    const char *revision = json_string(gate, "revision", "");
    const char *former = json_string(gate, "former", "");
    const char *problem = json_string(member(gate, "rollout"), "problem", "");
    const cJSON *finding;

    printf("gate %s of %s, deployment %s: ", json_string(gate, "id", "?"),
           json_string(gate, "service", "?"), json_string(gate, "deployment", "?"));
    print_coloured(verdict_colour(verdict), verdict, SIZE_MAX);
    putchar('\n');
    if (*revision)
        printf("  revision %s%s%s, agents %lld of %lld\n", revision, *former ? ", before " : "",
               former, (long long)json_int(gate, "agents", 0, INT32_MAX, 0),
               (long long)json_int(gate, "expected_agents", 0, INT32_MAX, 0));
    else
        puts("  old and new tasks are not told apart: give --revision, or let the collector ask "
             "ECS");
    if (*json_string(gate, "run", ""))
        printf("  run %s (canreach matrix %s)\n", json_string(gate, "run", ""),
               json_string(gate, "run", ""));
    printf("\n%s\n", json_string(gate, "summary", ""));
    cJSON_ArrayForEach(finding, member(gate, "findings"))
    {
        print_finding(finding);
    }
    print_gaps(member(gate, "gaps"));
    print_action(member(gate, "action"));
    if (*problem)
        printf("\nnot known: %s\n", problem);
}

static int print_result(struct client *client, const struct settings *settings,
                        const cJSON *document)
{
    const cJSON *gate = member(document, "gate");
    CLEANUP_JSON cJSON *matrix = NULL;
    struct report report = {.gate = gate};
    const char *format = settings->common.output, *run = json_string(gate, "run", "");
    struct error err;
    char path[96];

    if (strcmp(format, "json") == 0) {
        print_json(document);
        return -1;
    }
    if (strcmp(format, "table") == 0) {
        print_gate(gate);
        return -1;
    }
    snprintf(path, sizeof(path), "/api/v1/runs/%s/matrix", run);
    if (*run && client_call(client, path, NULL, &matrix, &err) < 0)
        return command_error("gate", EXIT_NO_VERDICT, "%s", err.text);
    report.matrix = matrix;
    report_print(&report, format);
    return -1;
}

/* PASS is 0 only where what it asks for was done, too. */
static int status_of(const cJSON *gate, const struct settings *settings)
{
    const char *verdict = json_string(gate, "verdict", "");
    const cJSON *action = member(gate, "action");
    bool is_passed = strcmp(verdict, "pass") == 0;

    if (strcmp(verdict, "fail") == 0)
        return EXIT_FAIL;
    if (!is_passed && strcmp(settings->on_inconclusive, "fail") == 0)
        return EXIT_FAIL;
    if (!is_passed && strcmp(settings->on_inconclusive, "pass") != 0)
        return EXIT_NO_VERDICT;
    if (!is_passed && strcmp(verdict, "inconclusive") != 0)
        return EXIT_NO_VERDICT;
    return *json_string(action, "problem", "") ? EXIT_NO_VERDICT : EXIT_PASS;
}

static int gate(struct client *client, const struct settings *settings, const char *service)
{
    CLEANUP_BUF struct buf body = BUF_INIT(FILE_MAX);
    CLEANUP_JSON cJSON *started = NULL, *document = NULL;
    struct error err;
    char id[64], path[96];
    int r, status = settings->attach ? -1 : put_request(settings, service, &body);

    if (status >= 0)
        return status;
    if (settings->attach)
        snprintf(path, sizeof(path), "/api/v1/gates/%s",
                 client_escape(settings->attach, id, sizeof(id)));
    r = client_call(client, settings->attach ? path : "/api/v1/gates",
                    settings->attach ? NULL : buf_text(&body), &started, &err);
    if (r < 0)
        return command_error("gate", r == -EINVAL ? EXIT_USAGE : EXIT_NO_VERDICT, "%s", err.text);
    text_copy(id, sizeof(id), json_string(member(started, "gate"), "id", ""));
    status = wait_for_gate(client, settings, id, &document);
    print_progress_end();
    if (status < 0)
        status = print_result(client, settings, document);
    return status < 0 ? status_of(member(document, "gate"), settings) : status;
}

int cmd_gate(int argc, char **argv)
{
    struct settings settings = {0};
    struct options_list words = {0};
    struct client *client = NULL;
    struct error err;
    int status = command_parse("gate", specs, ARRAY_SIZE(specs), &settings, argc, argv, &words, 1);

    if (status < 0 && !words.count == !settings.attach)
        status = command_error("gate", EXIT_USAGE,
                               "name the service that was deployed, or --attach GATE");
    if (status < 0)
        status = check_settings(&settings);
    if (status < 0) {
        client = client_new(settings.common.url, &err);
        status = client ? gate(client, &settings, words.count ? words.items[0] : "")
                        : command_error("gate", EXIT_USAGE, "%s", err.text);
    }
    client_free(client);
    options_list_deinit(&words);
    options_deinit(specs, ARRAY_SIZE(specs), &settings);
    return status;
}
