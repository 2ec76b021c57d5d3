/* canreach watch: looks at the pairs again and again; who is away, and for how long. */
#include "collector/cli/command.h"
#include "collector/cli/print.h"
#include "collector/gate/gaps.h"
#include "collector/matrix.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 20
#define LOST_MS 60000 /* without an answer from the collector: give up */

struct settings {
    struct common_settings common;
    struct options_list from, to, about;
    int64_t every_ms, for_ms;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct option_spec specs[] = {
    {"about", NULL, OPTION_LIST, FIELD(about), "SERVICE...", NULL, 0, 0,
     "only pairs with one of these as either end"},
    {"from", NULL, OPTION_LIST, FIELD(from), "SERVICE...", NULL, 0, 0, "only from these services"},
    {"to", NULL, OPTION_LIST, FIELD(to), "SERVICE[:CHECK]...", NULL, 0, 0,
     "only to these services or checks"},
    {"every", NULL, OPTION_DURATION, FIELD(every_ms), "TIME", "1s", 500, 3600000,
     "between two looks"},
    {"for", NULL, OPTION_DURATION, FIELD(for_ms), "TIME", NULL, 1000, 86400000,
     "and then end [until Ctrl-C]"},
    COMMON_OPTIONS,
};

static volatile sig_atomic_t is_over;

static void on_signal(int number)
{
    (void)number;
    is_over = 1;
}

/* ---- one look ---- */

static void put_list(struct buf *out, const char *key, const struct options_list *list)
{
    buf_printf(out, ",\"%s\":", key);
    buf_put_json_list(out, (const char *const *)list->items, list->count);
}

struct watch {
    struct client *client;
    const struct settings *settings;
    struct gaps gaps;
    size_t bad, unknown, pairs; /* of the last look */
    size_t lines;               /* on the terminal */
    uint64_t answered_us;
};

static bool is_left_out(enum cell_state state)
{
    return state == CELL_NA || state == CELL_NOT_PROBED || state == CELL_SKIPPED ||
           state == CELL_GONE;
}

static const char *time_text(int64_t ms, char text[CLOCK_RFC3339_MAX])
{
    clock_rfc3339(ms, text);
    text[19] = '\0';
    return text + 11;
}

/* A line when a pair goes, and when it is back: what a log keeps. */
static void tell_change(const cJSON *cell, const struct gaps_pair *pair, bool was_open,
                        int64_t at_ms)
{
    char text[CLOCK_RFC3339_MAX];
    const struct gap *gap = gaps_last(pair);

    if (pair->is_open == was_open)
        return;
    printf("%s  %s -> %s:%s  ", time_text(at_ms, text), pair->source, pair->target, pair->check);
    if (pair->is_open) {
        print_coloured(RED, json_string(cell, "state", "?"), SIZE_MAX);
        putchar('\n');
    } else {
        print_coloured(GREEN, "works again", SIZE_MAX);
        printf(", after %.1f s\n", (double)(gap->until_ms - gap->from_ms) / 1000);
    }
}

static void note_cell(struct watch *watch, const cJSON *cell, int64_t at_ms, bool is_quiet)
{
    enum cell_state state = cell_state_from_name(json_string(cell, "state", ""));
    const char *source = json_string(cell, "source", ""), *target = json_string(cell, "target", ""),
               *check = json_string(cell, "check", "");
    const struct gaps_pair *pair;
    bool is_good = cell_state_is_good(state), is_bad = cell_state_is_bad(state), was_open;

    if (strcmp(json_string(cell, "expected", ""), "observe") == 0 || is_left_out(state))
        return;
    watch->pairs++;
    watch->bad += is_bad;
    watch->unknown += !is_good && !is_bad;
    if (!is_good && !is_bad)
        return;
    pair = gaps_find(&watch->gaps, source, target, check);
    was_open = pair && pair->is_open;
    gaps_note(&watch->gaps, source, target, check, is_good, at_ms);
    pair = gaps_find(&watch->gaps, source, target, check);
    if (pair && !is_quiet)
        tell_change(cell, pair, was_open, at_ms);
}

static int look(struct watch *watch, struct error *err)
{
    CLEANUP_BUF struct buf body = BUF_INIT(65536);
    CLEANUP_JSON cJSON *started = NULL, *document = NULL;
    const cJSON *cell, *run = NULL;
    int64_t at_ms = clock_wall_ms();
    char path[96];
    int r;

    buf_puts(&body, "{\"trigger\":\"watch\"");
    put_list(&body, "from", &watch->settings->from);
    put_list(&body, "to", &watch->settings->to);
    put_list(&body, "about", &watch->settings->about);
    buf_putc(&body, '}');
    r = client_call(watch->client, "/api/v1/runs", buf_text(&body), &started, err);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "/api/v1/runs/%.20s/matrix", json_string(started, "id", ""));
    do {
        command_pause_ms(POLL_MS);
        json_free_pointer(&document);
        r = client_call(watch->client, path, NULL, &document, err);
        if (r < 0)
            return r;
        run = cJSON_GetObjectItemCaseSensitive(document, "run");
    } while (strcmp(json_string(run, "state", ""), "judged") != 0);
    watch->pairs = watch->bad = watch->unknown = 0;
    cJSON_ArrayForEach(cell, cJSON_GetObjectItemCaseSensitive(document, "cells"))
    {
        note_cell(watch, cell, at_ms, command_wants_json(&watch->settings->common));
    }
    return 0;
}

/* ---- what is shown ---- */

static void show_status(const struct watch *watch, size_t looks)
{
    char line[128];

    snprintf(line, sizeof(line), "%zu of %zu pairs work, %zu do not, %zu not known; %zu looks",
             watch->pairs - watch->bad - watch->unknown, watch->pairs, watch->bad, watch->unknown,
             looks);
    fflush(stdout);
    print_progress(line, watch->pairs - watch->bad, watch->pairs);
}

static void print_summary(const struct watch *watch)
{
    int64_t now_ms = clock_wall_ms();
    size_t count = 0;

    for (size_t i = 0; i < watch->gaps.count; i++) {
        const struct gaps_pair *pair = &watch->gaps.pairs[i];
        char name[512];
        if (!pair->count)
            continue;
        if (!count++)
            puts("\nGaps, in seconds");
        snprintf(name, sizeof(name), "%.160s -> %.160s:%.160s", pair->source, pair->target,
                 pair->check);
        printf("  %-36s %7.1f in %zu gap%s, the longest %.1f%s\n", name,
               (double)gaps_total_ms(pair, now_ms) / 1000, pair->count, pair->count == 1 ? "" : "s",
               (double)(pair->is_open && now_ms - gaps_last(pair)->from_ms > pair->longest_ms
                            ? now_ms - gaps_last(pair)->from_ms
                            : pair->longest_ms) /
                   1000,
               pair->is_open ? "; it goes on" : "");
    }
    if (!count)
        puts("No pair was away.");
}

static void print_result(const struct watch *watch, size_t looks)
{
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);
    CLEANUP_JSON cJSON *document = NULL;

    if (!command_wants_json(&watch->settings->common)) {
        print_summary(watch);
        return;
    }
    buf_printf(&out, "{\"schema\":1,\"looks\":%zu,\"pairs\":%zu,\"gaps\":", looks, watch->pairs);
    gaps_write(&watch->gaps, clock_wall_ms(), &out);
    buf_putc(&out, '}');
    document = json_parse(buf_text(&out), out.length, 8, NULL);
    print_json(document);
}

/* Green only where something was seen, and no pair is away, or not known, at the end. */
static int status_of(const struct watch *watch)
{
    return watch->bad ? EXIT_FAIL : watch->unknown || !watch->pairs ? EXIT_NO_VERDICT : EXIT_PASS;
}

static int watch_pairs(struct watch *watch)
{
    const struct settings *settings = watch->settings;
    uint64_t began_us = clock_mono_us(), next_us = began_us;
    size_t looks = 0;

    watch->answered_us = began_us;
    while (!is_over &&
           (!settings->for_ms || clock_mono_us() - began_us < (uint64_t)settings->for_ms * 1000)) {
        struct error err;
        int r = look(watch, &err);
        if (r == 0) {
            watch->answered_us = clock_mono_us();
            looks++;
            show_status(watch, looks);
        } else if (r != -EIO || clock_mono_us() - watch->answered_us > LOST_MS * 1000ULL) {
            print_progress_end();
            return command_error("watch", r == -EINVAL ? EXIT_USAGE : EXIT_NO_VERDICT, "%s",
                                 err.text);
        }
        next_us += (uint64_t)settings->every_ms * 1000;
        if (next_us < clock_mono_us())
            next_us = clock_mono_us();
        while (!is_over && clock_mono_us() < next_us)
            command_pause_ms((int64_t)(next_us - clock_mono_us()) / 1000 < 50
                                 ? (int64_t)(next_us - clock_mono_us()) / 1000
                                 : 50);
    }
    print_progress_end();
    print_result(watch, looks);
    return status_of(watch);
}

int cmd_watch(int argc, char **argv)
{
    struct settings settings = {0};
    struct watch watch = {.settings = &settings};
    struct error err;
    int status = command_parse("watch", specs, ARRAY_SIZE(specs), &settings, argc, argv, NULL, 0);

    if (status < 0) {
        watch.client = client_new(settings.common.url, &err);
        if (!watch.client)
            status = command_error("watch", EXIT_USAGE, "%s", err.text);
    }
    if (status < 0) {
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        status = watch_pairs(&watch);
    }
    gaps_deinit(&watch.gaps);
    client_free(watch.client);
    options_deinit(specs, ARRAY_SIZE(specs), &settings);
    return status;
}
