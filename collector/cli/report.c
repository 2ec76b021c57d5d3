#include "collector/cli/report.h"

#include "collector/cli/print.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAIRS_SHOWN 20 /* of one cause, in Markdown */

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

/* ---- what is told of a cell ---- */

/* As JUnit has it: a pair that works, is blocked, could not be looked at, or was not to be. */
enum result { RESULT_PASS, RESULT_FAILURE, RESULT_ERROR, RESULT_SKIPPED };

static enum result result_of(const cJSON *cell)
{
    static const char *const good[] = {"ok", "denied"};
    static const char *const bad[] = {"fail", "partial", "leak"};
    static const char *const left_out[] = {"n/a", "not-probed", "gone", "skipped"};
    const char *state = json_string(cell, "state", "");

    if (is_one_of(state, left_out, ARRAY_SIZE(left_out)))
        return RESULT_SKIPPED;
    if (is_one_of(state, good, ARRAY_SIZE(good)))
        return RESULT_PASS;
    if (strcmp(json_string(cell, "expected", ""), "observe") == 0)
        return RESULT_SKIPPED;
    return is_one_of(state, bad, ARRAY_SIZE(bad)) ? RESULT_FAILURE : RESULT_ERROR;
}

static bool is_same_cell(const cJSON *a, const cJSON *b)
{
    static const char *const keys[] = {"source", "target", "check"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (strcmp(json_string(a, keys[i], ""), json_string(b, keys[i], "")) != 0)
            return false;
    return true;
}

/* The item of a list (diagnoses, findings) whose cells have this one, or NULL. */
static const cJSON *about(const cJSON *list, const cJSON *cell)
{
    const cJSON *item, *one;

    cJSON_ArrayForEach(item, list)
    {
        cJSON_ArrayForEach(one, member(item, "cells"))
        {
            if (is_same_cell(one, cell))
                return item;
        }
    }
    return NULL;
}

static bool is_in_report(const struct report *report, const cJSON *cell)
{
    const char *service = json_string(report->gate, "service", NULL);

    return !service || strcmp(json_string(cell, "source", ""), service) == 0 ||
           strcmp(json_string(cell, "target", ""), service) == 0;
}

static void put_pair(const cJSON *cell, struct buf *out)
{
    buf_printf(out, "%s -> %s:%s", json_string(cell, "source", "?"),
               json_string(cell, "target", "?"), json_string(cell, "check", "?"));
}

/* What was seen, for a cell that no diagnosis explains. */
static void put_observed(const cJSON *cell, struct buf *out)
{
    const cJSON *observed = cJSON_GetArrayItem(member(cell, "observed"), 0);

    buf_puts(out, json_string(cell, "state", "?"));
    if (observed)
        buf_printf(out, ": %s: %s, %s:%lld", json_string(observed, "phase", "?"),
                   json_string(observed, "text", "?"), json_string(observed, "address", ""),
                   (long long)json_int(observed, "port", 0, 65535, 0));
}

static double confidence_of(const cJSON *item)
{
    const cJSON *confidence = member(item, "confidence");

    return cJSON_IsNumber(confidence) ? confidence->valuedouble : 0;
}

/* ---- JUnit ---- */

/* What XML 1.0 cannot hold at all becomes '?'. */
static void put_xml(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            buf_puts(out, "&amp;");
        else if (c == '<')
            buf_puts(out, "&lt;");
        else if (c == '>')
            buf_puts(out, "&gt;");
        else if (c == '"')
            buf_puts(out, "&quot;");
        else if (c == '\n')
            buf_puts(out, "&#10;");
        else
            buf_putc(out, c < ' ' && c != '\t' ? '?' : *text);
    }
}

static void put_attribute(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, " %s=\"", name);
    put_xml(out, value);
    buf_putc(out, '"');
}

struct junit {
    struct buf cases;
    size_t tests, failures, errors, skipped;
};

static void put_result(struct junit *junit, enum result result, const char *type,
                       const char *message, const char *detail)
{
    static const char *const names[] = {"", "failure", "error", "skipped"};

    junit->tests++;
    junit->failures += result == RESULT_FAILURE;
    junit->errors += result == RESULT_ERROR;
    junit->skipped += result == RESULT_SKIPPED;
    if (result == RESULT_PASS) {
        buf_puts(&junit->cases, "/>\n");
        return;
    }
    buf_printf(&junit->cases, ">\n      <%s", names[result]);
    put_attribute(&junit->cases, "message", message);
    if (result != RESULT_SKIPPED)
        put_attribute(&junit->cases, "type", type);
    buf_puts(&junit->cases, ">");
    put_xml(&junit->cases, detail);
    buf_printf(&junit->cases, "</%s>\n    </testcase>\n", names[result]);
}

static void begin_case(struct junit *junit, const char *class, const char *name)
{
    buf_puts(&junit->cases, "    <testcase");
    put_attribute(&junit->cases, "classname", class);
    put_attribute(&junit->cases, "name", name);
    put_attribute(&junit->cases, "time", "0");
}

static void put_evidence(const cJSON *diagnosis, struct buf *out)
{
    const cJSON *item;

    if (!diagnosis)
        return;
    buf_printf(out, "%s (confidence %.2f)\n%s\n", json_string(diagnosis, "cause", "?"),
               confidence_of(diagnosis), json_string(diagnosis, "summary", ""));
    cJSON_ArrayForEach(item, member(diagnosis, "evidence"))
    {
        buf_printf(out, "- %s: %s\n", json_string(item, "side", "?"),
                   json_string(item, "fact", "?"));
    }
    buf_printf(out, "fix: %s\n", json_string(diagnosis, "fix", ""));
}

static void put_cell_case(const struct report *report, const cJSON *cell, struct junit *junit)
{
    CLEANUP_BUF struct buf name = BUF_INIT(4096), message = BUF_INIT(8192),
                           detail = BUF_INIT(65536);
    const cJSON *diagnosis = about(member(report->matrix, "diagnoses"), cell);
    const cJSON *finding = about(member(report->gate, "findings"), cell);

    put_pair(cell, &name);
    begin_case(junit, json_string(cell, "source", "?"), buf_text(&name));
    if (finding)
        buf_printf(&message, "%s: ", json_string(finding, "kind", "?"));
    if (diagnosis)
        buf_puts(&message, json_string(diagnosis, "summary", "?"));
    else
        put_observed(cell, &message);
    put_evidence(diagnosis, &detail);
    put_result(junit, result_of(cell),
               json_string(diagnosis, "cause", json_string(cell, "state", "")), buf_text(&message),
               buf_text(&detail));
}

static const char *verdict_of(const struct report *report)
{
    return json_string(report->gate ? report->gate : member(report->matrix, "run"), "verdict",
                       "inconclusive");
}

/* What the gate says as a whole: also where it had nothing to look at. */
static void put_gate_case(const struct report *report, struct junit *junit)
{
    const char *verdict = verdict_of(report);
    CLEANUP_BUF struct buf detail = BUF_INIT(65536);
    const cJSON *finding;

    if (!report->gate)
        return;
    cJSON_ArrayForEach(finding, member(report->gate, "findings"))
    {
        buf_printf(&detail, "%s: %s\n", json_string(finding, "weight", "?"),
                   json_string(finding, "text", "?"));
    }
    begin_case(junit, "gate", json_string(report->gate, "service", "?"));
    put_result(junit,
               strcmp(verdict, "pass") == 0   ? RESULT_PASS
               : strcmp(verdict, "fail") == 0 ? RESULT_FAILURE
                                              : RESULT_ERROR,
               verdict, json_string(report->gate, "summary", ""), buf_text(&detail));
}

static void print_junit(const struct report *report)
{
    struct junit junit = {.cases = BUF_INIT(BUF_UNBOUNDED)};
    CLEANUP_BUF struct buf head = BUF_INIT(8192);
    const cJSON *cell, *run = member(report->matrix, "run");
    int64_t began = 0, ended = 0;
    char stamp[CLOCK_RFC3339_MAX];

    put_gate_case(report, &junit);
    cJSON_ArrayForEach(cell, member(report->matrix, "cells"))
    {
        if (is_in_report(report, cell))
            put_cell_case(report, cell, &junit);
    }
    clock_from_rfc3339(json_string(report->gate, "created", json_string(run, "started", "")),
                       &began);
    clock_from_rfc3339(json_string(report->gate, "finished", json_string(run, "finished", "")),
                       &ended);
    clock_rfc3339(began, stamp);
    stamp[19] = '\0'; /* the schema's times have neither a fraction nor a zone: UTC */
    buf_printf(&head, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\"", junit.tests, junit.failures,
               junit.errors);
    buf_printf(&head, " time=\"%.3f\"", ended > began ? (double)(ended - began) / 1000 : 0.0);
    printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites%s>\n  <testsuite%s "
           "skipped=\"%zu\" timestamp=\"%s\"",
           buf_text(&head), buf_text(&head), junit.skipped, stamp);
    buf_reset(&head);
    put_attribute(&head, "name", report->gate ? "canreach gate" : "canreach");
    put_attribute(&head, "id", json_string(report->gate ? report->gate : run, "id", "0"));
    printf("%s>\n%s  </testsuite>\n</testsuites>\n", buf_text(&head), buf_text(&junit.cases));
    buf_deinit(&junit.cases);
}

/* ---- CSV ---- */

/* RFC 4180 section 2. */
static void print_field(const char *text, const char *after)
{
    if (!strpbrk(text, ",\"\r\n")) {
        printf("%s%s", text, after);
        return;
    }
    putchar('"');
    for (; *text; text++)
        printf(*text == '"' ? "\"\"" : "%c", *text);
    printf("\"%s", after);
}

static void print_csv(const struct report *report)
{
    const cJSON *cell;

    fputs("source,target,check,port,expected,state,probes,failed,cause,confidence,summary\r\n",
          stdout);
    cJSON_ArrayForEach(cell, member(report->matrix, "cells"))
    {
        const cJSON *diagnosis = about(member(report->matrix, "diagnoses"), cell);
        if (!is_in_report(report, cell))
            continue;
        print_field(json_string(cell, "source", ""), ",");
        print_field(json_string(cell, "target", ""), ",");
        print_field(json_string(cell, "check", ""), ",");
        printf("%lld,", (long long)json_int(cell, "port", 0, 65535, 0));
        print_field(json_string(cell, "expected", ""), ",");
        print_field(json_string(cell, "state", ""), ",");
        printf("%lld,%lld,", (long long)json_int(cell, "probes", 0, INT32_MAX, 0),
               (long long)json_int(cell, "failed", 0, INT32_MAX, 0));
        print_field(json_string(diagnosis, "cause", ""), ",");
        if (diagnosis)
            printf("%.2f", confidence_of(diagnosis));
        putchar(',');
        print_field(json_string(diagnosis, "summary", ""), "\r\n");
    }
}

/* ---- Markdown ---- */

static void put_markdown(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("\\`*_{}[]<>|#", *text))
            buf_putc(out, '\\');
        buf_putc(out, *text == '\n' ? ' ' : *text);
    }
}

static void put_pairs(const cJSON *cells, struct buf *out)
{
    const cJSON *cell;
    int count = 0;

    cJSON_ArrayForEach(cell, cells)
    {
        CLEANUP_BUF struct buf pair = BUF_INIT(4096);
        if (++count > PAIRS_SHOWN)
            continue;
        put_pair(cell, &pair);
        buf_puts(out, count > 1 ? ", " : "");
        put_markdown(out, buf_text(&pair));
    }
    if (count > PAIRS_SHOWN)
        buf_printf(out, " and %d more", count - PAIRS_SHOWN);
}

/* One cause: a run's diagnosis, or a gate's finding. */
static void put_item(const cJSON *item, bool is_finding, struct buf *out)
{
    const char *summary = json_string(item, is_finding ? "diagnosis" : "summary", "");
    const char *cause = json_string(item, "cause", "");
    const char *fix = json_string(item, "fix", "");
    const cJSON *command;

    buf_puts(out, "- ");
    if (is_finding) {
        buf_printf(out, "**%s**: ",
                   strcmp(json_string(item, "weight", ""), "fail") == 0     ? "FAIL"
                   : strcmp(json_string(item, "weight", ""), "ignore") == 0 ? "ignored"
                                                                            : "inconclusive");
        put_markdown(out, json_string(item, "text", ""));
        buf_putc(out, '\n');
    }
    if (*summary) {
        buf_printf(out, "%s`%s` (%.2f): ", is_finding ? "  - " : "", cause, confidence_of(item));
        put_markdown(out, summary);
        buf_putc(out, '\n');
    }
    if (cJSON_GetArraySize(member(item, "cells"))) {
        buf_puts(out, "  - pairs: ");
        put_pairs(member(item, "cells"), out);
        buf_putc(out, '\n');
    }
    if (*fix) {
        buf_puts(out, "  - fix: ");
        put_markdown(out, fix);
        buf_putc(out, '\n');
    }
    cJSON_ArrayForEach(command, member(item, "commands"))
    {
        if (cJSON_IsString(command))
            buf_printf(out, "  - `%s`\n", command->valuestring);
    }
}

static void put_counts(const struct report *report, struct buf *out)
{
    size_t counts[4] = {0};
    const cJSON *cell;

    cJSON_ArrayForEach(cell, member(report->matrix, "cells"))
    {
        if (is_in_report(report, cell))
            counts[result_of(cell)]++;
    }
    buf_printf(out,
               "| works | blocked | not known | left out |\n|---|---|---|---|\n"
               "| %zu | %zu | %zu | %zu |\n\n",
               counts[RESULT_PASS], counts[RESULT_FAILURE], counts[RESULT_ERROR],
               counts[RESULT_SKIPPED]);
}

static void put_gate_head(const cJSON *gate, struct buf *out)
{
    const char *revision = json_string(gate, "revision", "");

    buf_puts(out, "Deployment ");
    put_markdown(out, json_string(gate, "deployment", "?"));
    buf_puts(out, " of ");
    put_markdown(out, json_string(gate, "service", "?"));
    if (*revision) {
        buf_puts(out, ", revision ");
        put_markdown(out, revision);
    }
    buf_puts(out, ".\n\n");
    put_markdown(out, json_string(gate, "summary", ""));
    buf_puts(out, "\n\n");
}

static void put_gate_tail(const cJSON *gate, struct buf *out)
{
    const cJSON *gap, *action = member(gate, "action");

    if (cJSON_GetArraySize(member(gate, "gaps")))
        buf_puts(out, "\nGaps while it was deployed:\n\n");
    cJSON_ArrayForEach(gap, member(gate, "gaps"))
    {
        const cJSON *seconds = member(gap, "seconds");
        CLEANUP_BUF struct buf pair = BUF_INIT(4096);
        put_pair(gap, &pair);
        buf_puts(out, "- ");
        put_markdown(out, buf_text(&pair));
        buf_printf(out, ": %.1f s%s\n", cJSON_IsNumber(seconds) ? seconds->valuedouble : 0.0,
                   json_bool(gap, "open", false) ? ", still" : "");
    }
    if (cJSON_IsObject(action)) {
        buf_printf(out, "\n%s `%s`", json_bool(action, "dry_run", false) ? "Would do:" : "Did:",
                   *json_string(action, "command", "") ? json_string(action, "command", "")
                                                       : json_string(action, "act", "?"));
        if (*json_string(action, "outcome", ""))
            buf_printf(out, "; at its end: %s; mended: %s", json_string(action, "outcome", ""),
                       json_string(action, "mended", "?"));
        if (*json_string(action, "problem", "")) {
            buf_puts(out, "; ");
            put_markdown(out, json_string(action, "problem", ""));
        }
        buf_puts(out, "\n");
    }
}

static void put_report(const struct report *report, struct buf *out)
{
    const cJSON *list =
        report->gate ? member(report->gate, "findings") : member(report->matrix, "diagnoses");
    const cJSON *run = member(report->matrix, "run"), *item;

    if (report->gate)
        buf_printf(out, "## canreach gate %s: %s\n\n", json_string(report->gate, "id", "?"),
                   verdict_of(report));
    else
        buf_printf(out, "## canreach run %s: %s%s\n\n", json_string(run, "id", "?"),
                   verdict_of(report), json_bool(run, "incomplete", false) ? ", incomplete" : "");
    if (report->gate)
        put_gate_head(report->gate, out);
    put_counts(report, out);
    cJSON_ArrayForEach(item, list)
    {
        put_item(item, report->gate != NULL, out);
    }
    if (report->gate)
        put_gate_tail(report->gate, out);
}

static void print_markdown_report(const struct report *report)
{
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);

    put_report(report, &out);
    fputs(buf_text(&out), stdout);
}

/* ---- GitHub ---- */

/* GitHub Actions, workflow commands: what a message, and a property of it, cannot hold. */
static void put_escaped(struct buf *out, const char *text, bool is_property)
{
    for (; *text; text++) {
        if (*text == '%')
            buf_puts(out, "%25");
        else if (*text == '\r')
            buf_puts(out, "%0D");
        else if (*text == '\n')
            buf_puts(out, "%0A");
        else if (is_property && *text == ':')
            buf_puts(out, "%3A");
        else if (is_property && *text == ',')
            buf_puts(out, "%2C");
        else
            buf_putc(out, *text);
    }
}

static void print_note(const char *kind, const char *title, const char *text, size_t *count)
{
    CLEANUP_BUF struct buf out = BUF_INIT(65536);

    if (++*count > REPORT_NOTES_MAX)
        return;
    buf_printf(&out, "::%s title=", kind);
    put_escaped(&out, title, true);
    buf_puts(&out, "::");
    put_escaped(&out, text, false);
    puts(buf_text(&out));
}

static void print_annotation(const struct report *report, const cJSON *item, size_t counts[3])
{
    static const char *const kinds[] = {"error", "warning", "notice"};
    CLEANUP_BUF struct buf text = BUF_INIT(65536);
    const char *severity = json_string(item, report->gate ? "weight" : "severity", "");
    size_t kind = strcmp(severity, "fail") == 0 || strcmp(severity, "failure") == 0            ? 0
                  : strcmp(severity, "inconclusive") == 0 || strcmp(severity, "observed") == 0 ? 1
                                                                                               : 2;
    const char *cause = json_string(item, "cause", "");

    if (report->gate) {
        buf_puts(&text, json_string(item, "text", ""));
        if (*json_string(item, "diagnosis", ""))
            buf_printf(&text, "\n%s", json_string(item, "diagnosis", ""));
    } else {
        buf_puts(&text, json_string(item, "summary", ""));
    }
    if (*json_string(item, "fix", ""))
        buf_printf(&text, "\nfix: %s", json_string(item, "fix", ""));
    print_note(kinds[kind], *cause ? cause : json_string(item, "kind", "canreach"), buf_text(&text),
               &counts[kind]);
}

static void append_summary(const struct report *report)
{
    const char *path = getenv("GITHUB_STEP_SUMMARY");
    CLEANUP_BUF struct buf out = BUF_INIT(REPORT_SUMMARY_MAX);
    FILE *file;

    if (!path || !*path)
        return;
    put_report(report, &out);
    file = fopen(path, "a");
    if (!file || fputs(buf_text(&out), file) == EOF || fputc('\n', file) == EOF)
        fprintf(stderr, "canreach: the step's summary, %s: %s\n", path, strerror(errno));
    if (file)
        fclose(file);
}

static void print_github(const struct report *report)
{
    const cJSON *list =
        report->gate ? member(report->gate, "findings") : member(report->matrix, "diagnoses");
    size_t counts[3] = {0};
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        print_annotation(report, item, counts);
    }
    if (strcmp(verdict_of(report), "pass") != 0 && !cJSON_GetArraySize(list))
        print_note("error", "canreach", json_string(report->gate, "summary", verdict_of(report)),
                   &counts[0]);
    append_summary(report);
}

bool report_print(const struct report *report, const char *format)
{
    if (strcmp(format, "junit") == 0)
        print_junit(report);
    else if (strcmp(format, "csv") == 0)
        print_csv(report);
    else if (strcmp(format, "markdown") == 0)
        print_markdown_report(report);
    else if (strcmp(format, "github") == 0)
        print_github(report);
    else
        return false;
    return true;
}
