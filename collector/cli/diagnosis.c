#include "collector/cli/diagnosis.h"

#include "collector/cli/changes.h"
#include "collector/cli/print.h"
#include "collector/cli/table.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define CELLS_SHOWN    12
#define EVIDENCE_SHOWN 4 /* of each diagnosis of a run; `why` shows all */

static const cJSON *list_of(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *text_of(const cJSON *object, const char *key)
{
    return json_string(object, key, "");
}

static int percent_of(const cJSON *object)
{
    double share = cJSON_GetNumberValue(list_of(object, "confidence"));

    return share >= 0 && share <= 1 ? (int)(share * 100 + 0.5) : 0;
}

static bool is_severity(const cJSON *diagnosis, const char *severity)
{
    return strcmp(text_of(diagnosis, "severity"), severity) == 0;
}

/* ---- the diagnoses of a run ---- */

static void print_cells(const cJSON *cells)
{
    int count = cJSON_GetArraySize(cells), shown = 0;
    const cJSON *cell;

    if (!count)
        return;
    printf("   %d %s: ", count, count == 1 ? "pair" : "pairs");
    cJSON_ArrayForEach(cell, cells)
    {
        if (shown == CELLS_SHOWN)
            break;
        printf("%s%s -> %s", shown++ ? ", " : "", text_of(cell, "source"), text_of(cell, "target"));
    }
    printf(count > shown ? ", and %d more\n" : "\n", count - shown);
}

static void print_alternatives(const cJSON *diagnosis, const char *indent)
{
    const cJSON *other;

    cJSON_ArrayForEach(other, list_of(diagnosis, "alternatives"))
    {
        printf("%sor %s (%d %%): %s\n", indent, text_of(other, "cause"), percent_of(other),
               text_of(other, "summary"));
    }
}

/* Since it was well, in the cloud. */
static void print_what_changed(const cJSON *diagnosis)
{
    const cJSON *good = list_of(diagnosis, "last_good");

    if (!cJSON_GetArraySize(list_of(diagnosis, "changes")))
        return;
    printf("   changed since run %s (%s), which was good:\n", text_of(good, "run"),
           text_of(good, "time"));
    changes_print(list_of(diagnosis, "changes"), "     ");
}

/* Ready to be pasted. */
static void print_commands(const cJSON *diagnosis, const char *indent)
{
    const cJSON *command;

    cJSON_ArrayForEach(command, list_of(diagnosis, "commands"))
    {
        if (cJSON_IsString(command))
            printf("%s%s\n", indent, command->valuestring);
    }
}

static void print_one(const cJSON *diagnosis, int number)
{
    const cJSON *evidence;
    int shown = 0;

    printf("%d. ", number);
    print_coloured(is_severity(diagnosis, "failure") ? RED : YELLOW, text_of(diagnosis, "summary"),
                   SIZE_MAX);
    printf("\n   %s, %d %% sure\n", text_of(diagnosis, "cause"), percent_of(diagnosis));
    print_alternatives(diagnosis, "   ");
    print_cells(list_of(diagnosis, "cells"));
    cJSON_ArrayForEach(evidence, list_of(diagnosis, "evidence"))
    {
        if (shown++ < EVIDENCE_SHOWN)
            printf("   - %s\n", text_of(evidence, "fact"));
    }
    print_what_changed(diagnosis);
    printf("   fix: %s\n", text_of(diagnosis, "fix"));
    print_commands(diagnosis, "     ");
}

static int print_those(const cJSON *document, const char *severity, const char *head, int number)
{
    const cJSON *diagnosis;
    bool is_first = true;

    cJSON_ArrayForEach(diagnosis, list_of(document, "diagnoses"))
    {
        if (!is_severity(diagnosis, severity))
            continue;
        printf(is_first ? "\n%s\n" : "\n", head);
        is_first = false;
        print_one(diagnosis, number++);
    }
    return number;
}

/* Pairs that nobody expects to work are often closed on purpose: `why` says more of each. */
static void print_observed(const cJSON *document)
{
    const cJSON *diagnosis;
    int pairs = 0;

    cJSON_ArrayForEach(diagnosis, list_of(document, "diagnoses"))
    {
        if (is_severity(diagnosis, "observed"))
            pairs += cJSON_GetArraySize(list_of(diagnosis, "cells"));
    }
    if (pairs)
        printf("\n%d %s, not expected to work, %s not: canreach why SOURCE TARGET\n", pairs,
               pairs == 1 ? "pair" : "pairs", pairs == 1 ? "does" : "do");
}

void diagnosis_print_all(const struct cJSON *document)
{
    int number = print_those(document, "failure", "Why:", 1);

    print_those(document, "warning", "Worth a look, though nothing fails for it:", number);
    print_observed(document);
}

static bool is_about(const cJSON *diagnosis, const cJSON *cell)
{
    const cJSON *other;

    cJSON_ArrayForEach(other, list_of(diagnosis, "cells"))
    {
        if (strcmp(text_of(other, "source"), text_of(cell, "source")) == 0 &&
            strcmp(text_of(other, "target"), text_of(cell, "target")) == 0 &&
            strcmp(text_of(other, "check"), text_of(cell, "check")) == 0)
            return true;
    }
    return false;
}

bool diagnosis_explains(const struct cJSON *document, const struct cJSON *cell)
{
    const cJSON *diagnosis;

    cJSON_ArrayForEach(diagnosis, list_of(document, "diagnoses"))
    {
        if (is_about(diagnosis, cell))
            return true;
    }
    return false;
}

/* ---- where it broke ---- */

static const char *const stages[] = {"source", "resolver", "network", "port", "tls", "app"};

/* What the target's own agent says of a stage that the source did not get to. */
static const char *seen_at_target(const cJSON *document, const char *stage)
{
    const cJSON *cell = list_of(document, "cell"), *witness, *item;
    int64_t port = json_int(cell, "port", 0, 65535, 0);
    bool listens = false, passes = false;

    cJSON_ArrayForEach(witness, list_of(document, "witnesses"))
    {
        if (strcmp(text_of(witness, "service"), text_of(cell, "target")) != 0)
            continue;
        cJSON_ArrayForEach(item, list_of(witness, "listeners"))
        {
            listens |= (!port || json_int(item, "port", 0, 65535, 0) == port) &&
                       strncmp(text_of(item, "address"), "127.", 4) != 0;
        }
        cJSON_ArrayForEach(item, list_of(witness, "checks"))
        {
            passes |= strcmp(text_of(item, "outcome"), "ok") == 0 &&
                      strcmp(text_of(item, "over"), "loopback") != 0;
        }
    }
    if (strcmp(stage, "port") == 0 && listens)
        return "open, seen there";
    if (strcmp(stage, "app") == 0 && passes)
        return "well, seen there";
    return "not reached";
}

static bool uses_tls(const cJSON *document)
{
    const cJSON *probe;
    const char *check = text_of(list_of(document, "cell"), "check");

    if (strcmp(check, "https") == 0 || strcmp(check, "tls") == 0)
        return true;
    cJSON_ArrayForEach(probe, list_of(document, "probes"))
    {
        if (cJSON_IsObject(list_of(probe, "tls_session")))
            return true;
    }
    return false;
}

/* The stages that a pair has, as columns: a name, and what became of it. */
struct way {
    const char *names[ARRAY_SIZE(stages)];
    const char *states[ARRAY_SIZE(stages)];
    enum colour colours[ARRAY_SIZE(stages)];
    size_t count;
};

static void way_init(struct way *way, const cJSON *document, const char *broken)
{
    bool has_broken = false;

    way->count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
        bool is_it = strcmp(stages[i], broken) == 0;
        const char *state = is_it        ? "BROKE HERE"
                            : has_broken ? seen_at_target(document, stages[i])
                                         : "ok";
        if (strcmp(stages[i], "tls") == 0 && !is_it && !uses_tls(document))
            continue;
        way->names[way->count] = stages[i];
        way->states[way->count] = state;
        way->colours[way->count] = is_it ? RED : has_broken ? DIM : GREEN;
        way->count++;
        has_broken |= is_it;
    }
}

/* "source" and "app" are the two services' own. */
static void put_stage(struct buf *out, const cJSON *document, const char *stage)
{
    const cJSON *cell = list_of(document, "cell");

    if (strcmp(stage, "source") == 0)
        buf_puts(out, text_of(cell, "source"));
    else if (strcmp(stage, "app") == 0)
        buf_printf(out, "%s's app", text_of(cell, "target"));
    else if (strcmp(stage, "port") == 0 && json_int(cell, "port", 0, 65535, 0))
        buf_printf(out, "port %lld", (long long)json_int(cell, "port", 0, 65535, 0));
    else
        buf_puts(out, stage);
}

static void print_way(const cJSON *document, const char *broken)
{
    struct way way;
    struct table table;

    way_init(&way, document, broken);
    table_init(&table, NULL, way.count + 1);
    table_add(&table, PLAIN, " ");
    for (size_t i = 0; i < way.count; i++) {
        CLEANUP_BUF struct buf name = BUF_INIT(1024);
        put_stage(&name, document, way.names[i]);
        table_add(&table, BOLD, "%s%s", i ? "-> " : "", buf_text(&name));
    }
    table_add(&table, PLAIN, " ");
    for (size_t i = 0; i < way.count; i++)
        table_add(&table, way.colours[i], "%s%s", i ? "   " : "", way.states[i]);
    table_print(&table);
    table_deinit(&table);
}

/* ---- one pair ---- */

/* Not in tables: nothing of it may be cut off. */
static void print_evidence(const cJSON *diagnosis)
{
    const cJSON *evidence;

    puts("\nEvidence, the strongest first");
    cJSON_ArrayForEach(evidence, list_of(diagnosis, "evidence"))
    {
        printf("  %-8s %s\n", text_of(evidence, "side"), text_of(evidence, "fact"));
    }
}

static void print_ruled_out(const cJSON *diagnosis)
{
    const cJSON *other;

    if (cJSON_GetArraySize(list_of(diagnosis, "ruled_out")))
        puts("\nRuled out, by");
    cJSON_ArrayForEach(other, list_of(diagnosis, "ruled_out"))
    {
        printf("  %-21s %s\n", text_of(other, "cause"), text_of(other, "by"));
    }
}

static void print_since(const cJSON *changes)
{
    const cJSON *good = list_of(changes, "last_good"), *since = list_of(changes, "since");

    if (cJSON_IsObject(good))
        printf("  since run %s (%s); the last good one was run %s (%s)\n", text_of(since, "run"),
               text_of(since, "time"), text_of(good, "run"), text_of(good, "time"));
    else
        printf("  since run %s (%s) at the latest: no run is known in which it worked\n",
               text_of(since, "run"), text_of(since, "time"));
}

static void print_changes(const cJSON *changes)
{
    static const char *const heads[] = {"  what", "then", "now"};
    const cJSON *row, *good = list_of(changes, "last_good");
    struct table table;

    if (!cJSON_IsObject(good))
        return;
    printf("\nWhat changed since it worked (run %s)\n", text_of(good, "run"));
    if (!cJSON_GetArraySize(list_of(changes, "rows")) &&
        !cJSON_GetArraySize(list_of(changes, "cloud"))) {
        puts("  nothing that both ends, or the cloud, can see");
        return;
    }
    table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(row, list_of(changes, "rows"))
    {
        table_add(&table, PLAIN, "  %s", text_of(row, "what"));
        table_add(&table, PLAIN, "%s", *text_of(row, "then") ? text_of(row, "then") : "-");
        table_add(&table, PLAIN, "%s", *text_of(row, "now") ? text_of(row, "now") : "-");
    }
    if (cJSON_GetArraySize(list_of(changes, "rows")))
        table_print(&table);
    table_deinit(&table);
    changes_print(list_of(changes, "cloud"), "  ");
    changes_print_note(list_of(changes, "cloud"), "  ");
}

static void print_cause(const cJSON *document, const cJSON *diagnosis)
{
    int cells = cJSON_GetArraySize(list_of(diagnosis, "cells"));

    puts("\nCause");
    fputs("  ", stdout);
    print_coloured(BOLD, text_of(diagnosis, "summary"), SIZE_MAX);
    printf("\n  %s, %d %% sure; explains %d %s (%s)\n", text_of(diagnosis, "cause"),
           percent_of(diagnosis), cells, cells == 1 ? "pair" : "pairs",
           text_of(diagnosis, "scope"));
    print_alternatives(diagnosis, "  ");
    putchar('\n');
    print_way(document, text_of(diagnosis, "stage"));
    print_evidence(diagnosis);
    printf("\nFix\n  %s\n", text_of(diagnosis, "fix"));
    print_commands(diagnosis, "    ");
    print_ruled_out(diagnosis);
}

void diagnosis_print_pair(const struct cJSON *document)
{
    const cJSON *diagnosis, *changes = list_of(document, "changes");
    int count = cJSON_GetArraySize(list_of(document, "diagnoses"));

    if (!count)
        return;
    if (cJSON_IsObject(changes))
        print_since(changes);
    cJSON_ArrayForEach(diagnosis, list_of(document, "diagnoses"))
    {
        print_cause(document, diagnosis);
    }
    if (cJSON_IsObject(changes))
        print_changes(changes);
}

/* ---- Markdown ---- */

static void md_field(const cJSON *object, const char *key)
{
    print_markdown(text_of(object, key));
}

static void md_way(const cJSON *document, const char *broken)
{
    struct way way;

    way_init(&way, document, broken);
    putchar('|');
    for (size_t i = 0; i < way.count; i++) {
        CLEANUP_BUF struct buf name = BUF_INIT(1024);
        put_stage(&name, document, way.names[i]);
        putchar(' ');
        print_markdown(buf_text(&name));
        fputs(" |", stdout);
    }
    fputs("\n|", stdout);
    for (size_t i = 0; i < way.count; i++)
        fputs(" --- |", stdout);
    fputs("\n|", stdout);
    for (size_t i = 0; i < way.count; i++)
        printf(way.colours[i] == RED ? " **%s** |" : " %s |", way.states[i]);
    puts("\n");
}

static void md_diagnosis(const cJSON *document, const cJSON *diagnosis)
{
    const cJSON *item;

    fputs("**", stdout);
    md_field(diagnosis, "summary");
    printf("**  \n`%s`, %d %% sure, ", text_of(diagnosis, "cause"), percent_of(diagnosis));
    md_field(diagnosis, "scope");
    puts("\n");
    cJSON_ArrayForEach(item, list_of(diagnosis, "alternatives"))
    {
        printf("- or `%s`, %d %%: ", text_of(item, "cause"), percent_of(item));
        md_field(item, "summary");
        puts("\n");
    }
    md_way(document, text_of(diagnosis, "stage"));
    puts("### Evidence\n");
    cJSON_ArrayForEach(item, list_of(diagnosis, "evidence"))
    {
        printf("- %s: ", text_of(item, "side"));
        md_field(item, "fact");
        putchar('\n');
    }
    fputs("\n### Fix\n\n", stdout);
    md_field(diagnosis, "fix");
    puts("\n");
    if (cJSON_GetArraySize(list_of(diagnosis, "commands"))) {
        puts("```sh");
        print_commands(diagnosis, "");
        puts("```\n");
    }
    if (cJSON_GetArraySize(list_of(diagnosis, "ruled_out")))
        puts("### Ruled out\n");
    cJSON_ArrayForEach(item, list_of(diagnosis, "ruled_out"))
    {
        printf("- `%s`: ", text_of(item, "cause"));
        md_field(item, "by");
        putchar('\n');
    }
    if (cJSON_GetArraySize(list_of(diagnosis, "ruled_out")))
        putchar('\n');
}

static void md_changes(const cJSON *changes)
{
    const cJSON *row, *good = list_of(changes, "last_good");

    if (!cJSON_IsObject(good))
        return;
    printf("### What changed since run %s\n\n", text_of(good, "run"));
    if (changes_print_markdown(list_of(changes, "cloud")))
        putchar('\n');
    else if (!cJSON_GetArraySize(list_of(changes, "rows")))
        puts("Nothing that both ends, or the cloud, can see.\n");
    if (!cJSON_GetArraySize(list_of(changes, "rows")))
        return;
    puts("| what | then | now |\n| --- | --- | --- |");
    cJSON_ArrayForEach(row, list_of(changes, "rows"))
    {
        fputs("| ", stdout);
        md_field(row, "what");
        fputs(" | ", stdout);
        md_field(row, "then");
        fputs(" | ", stdout);
        md_field(row, "now");
        puts(" |");
    }
    putchar('\n');
}

void diagnosis_print_markdown(const struct cJSON *document)
{
    const cJSON *cell = list_of(document, "cell"), *run = list_of(document, "run"), *diagnosis;
    const cJSON *changes = list_of(document, "changes");

    fputs("## ", stdout);
    md_field(cell, "source");
    fputs(" -\\> ", stdout);
    md_field(cell, "target");
    printf(": %s\n\nRun %s of %s, %lld of %lld endpoints failed.", text_of(cell, "state"),
           text_of(run, "id"), text_of(run, "started"),
           (long long)json_int(cell, "failed", 0, INT32_MAX, 0),
           (long long)json_int(cell, "probes", 0, INT32_MAX, 0));
    if (cJSON_IsObject(list_of(changes, "last_good")))
        printf(" It worked last in run %s (%s).", text_of(list_of(changes, "last_good"), "run"),
               text_of(list_of(changes, "last_good"), "time"));
    puts("\n");
    cJSON_ArrayForEach(diagnosis, list_of(document, "diagnoses"))
    {
        md_diagnosis(document, diagnosis);
    }
    md_changes(changes);
}
