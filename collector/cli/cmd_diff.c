/* canreach diff: what changed between two runs: pairs, and what the cloud says. */
#include "collector/cli/changes.h"
#include "collector/cli/client.h"
#include "collector/cli/cloud.h"
#include "collector/cli/command.h"
#include "collector/cli/print.h"
#include "common/clock.h"
#include "common/json.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define POLL_MS    200
#define READING_MS 65000 /* what the collector may take to read AWS, at most */

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static void print_run(const cJSON *run, const char *before)
{
    printf("%s run %s (%s, %s)", before, json_string(run, "id", "?"),
           json_string(run, "started", "?"), json_string(run, "verdict", "no verdict"));
}

static void print_cells(const cJSON *cells)
{
    const cJSON *cell;

    if (!cJSON_GetArraySize(cells))
        puts("\nNo pair has changed.");
    else
        puts("\nPairs");
    cJSON_ArrayForEach(cell, cells)
    {
        printf("  %s -> %s:%s  %s -> ", json_string(cell, "source", "?"),
               json_string(cell, "target", "?"), json_string(cell, "check", "?"),
               json_string(cell, "then", "?"));
        print_coloured(print_state_colour(json_string(cell, "now", "?")),
                       json_string(cell, "now", "?"), SIZE_MAX);
        putchar('\n');
    }
}

static void print_diff(const cJSON *document)
{
    const cJSON *changes = member(document, "changes");

    print_run(member(document, "from"), "From");
    print_run(member(document, "to"), " to");
    putchar('\n');
    print_cells(member(document, "cells"));
    if (cJSON_IsArray(changes)) {
        puts(cJSON_GetArraySize(changes) ? "\nIn AWS" : "\nIn AWS nothing has changed.");
        changes_print(changes, "  ");
        if (json_bool(document, "more", false))
            puts("  and more");
        changes_print_note(changes, "  ");
    } else if (json_bool(document, "reading", false)) {
        puts("\nWhat AWS says is still being read: ask again.");
    } else {
        puts("\nWhat AWS says is not known of both runs: see 'clusters' in canreach-fleet(5).");
    }
    cloud_print_missing(member(document, "cloud"));
}

static void print_markdown_diff(const cJSON *document)
{
    const cJSON *cell;

    fputs("## ", stdout);
    print_run(member(document, "from"), "From");
    print_run(member(document, "to"), " to");
    puts("\n");
    cJSON_ArrayForEach(cell, member(document, "cells"))
    {
        fputs("- ", stdout);
        print_markdown(json_string(cell, "source", "?"));
        fputs(" -\\> ", stdout);
        print_markdown(json_string(cell, "target", "?"));
        printf(": %s -\\> **%s**\n", json_string(cell, "then", "?"), json_string(cell, "now", "?"));
    }
    changes_print_markdown(member(document, "changes"));
}

/* A run that has just passed: AWS is being read for it, and the answer is worth the wait. */
static int get_diff(const struct common_settings *settings, const char *path,
                    struct cJSON **ret_document)
{
    uint64_t until_us = clock_mono_us() + READING_MS * 1000ULL;
    int status = command_get("diff", settings, path, ret_document);

    while (status < 0 && json_bool(*ret_document, "reading", false) && clock_mono_us() < until_us) {
        print_progress("AWS is being read", 0, 0);
        json_free(*ret_document);
        *ret_document = NULL;
        command_pause_ms(POLL_MS);
        status = command_get("diff", settings, path, ret_document);
    }
    print_progress_end();
    return status;
}

int cmd_diff(int argc, char **argv)
{
    static const struct option_spec specs[] = {COMMON_OPTIONS};
    struct common_settings settings = {0};
    struct options_list words = {0};
    CLEANUP_JSON cJSON *document = NULL;
    char path[2048], from[800] = "", to[800] = "";
    int status = command_parse("diff", specs, sizeof(specs) / sizeof(*specs), &settings, argc, argv,
                               &words, 2);

    if (status < 0) {
        if (words.count)
            client_escape(words.items[0], from, sizeof(from));
        if (words.count > 1)
            client_escape(words.items[1], to, sizeof(to));
        snprintf(path, sizeof(path), "/api/v1/diff?from=%s&to=%s", *from ? from : "last-good",
                 *to ? to : "last");
        status = get_diff(&settings, path, &document);
    }
    if (status < 0 && command_wants_json(&settings))
        print_json(document);
    else if (status < 0 && strcmp(settings.output, "markdown") == 0)
        print_markdown_diff(document);
    else if (status < 0)
        print_diff(document);
    options_list_deinit(&words);
    return status < 0 ? EXIT_PASS : status;
}
