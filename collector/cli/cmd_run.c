/* canreach run: starts a run, waits for its verdict, prints the matrix. */
#include "collector/cli/command.h"
#include "collector/cli/print.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define POLL_MIN_MS 10
#define POLL_MAX_MS 200
#define LOST_MS     15000 /* without an answer from the collector: give up */

struct settings {
    struct common_settings common;
    struct options_list from, to;
    int64_t deadline_ms;
};

static const struct option_spec specs[] = {
    {"from", NULL, OPTION_LIST, offsetof(struct settings, from), "SERVICE...", NULL, 0, 0,
     "only from these services"},
    {"to", NULL, OPTION_LIST, offsetof(struct settings, to), "SERVICE[:CHECK]...", NULL, 0, 0,
     "only to these services or checks"},
    {"deadline", NULL, OPTION_DURATION, offsetof(struct settings, deadline_ms), "TIME", NULL, 1000,
     3600000, "judge after this time at the latest; default: what the checks need"},
    COMMON_OPTIONS,
};

static void put_list(struct buf *out, const char *key, const struct options_list *list)
{
    buf_printf(out, ",\"%s\":", key);
    buf_put_json_list(out, (const char *const *)list->items, list->count);
}

static int start(struct client *client, const struct settings *settings, char *id, size_t size)
{
    CLEANUP_BUF struct buf body = BUF_INIT(65536);
    CLEANUP_JSON cJSON *answer = NULL;
    struct error err;
    int r;

    buf_puts(&body, "{\"trigger\":\"manual\"");
    put_list(&body, "from", &settings->from);
    put_list(&body, "to", &settings->to);
    if (settings->deadline_ms)
        buf_printf(&body, ",\"deadline\":%lld", (long long)settings->deadline_ms);
    buf_putc(&body, '}');
    r = client_call(client, "/api/v1/runs", buf_text(&body), &answer, &err);
    if (r < 0)
        return command_error("run", r == -EINVAL ? EXIT_USAGE : EXIT_NO_VERDICT, "%s", err.text);
    text_copy(id, size, json_string(answer, "id", ""));
    return -1;
}

static void show_progress(const cJSON *run)
{
    const cJSON *progress = cJSON_GetObjectItemCaseSensitive(run, "progress");
    const char *provisional = json_string(run, "provisional", NULL);
    int64_t done = json_int(progress, "tasks_done", 0, INT32_MAX, 0);
    int64_t total = json_int(progress, "tasks", 0, INT32_MAX, 0);
    double left_s = (double)json_int(progress, "deadline_in", 0, INT32_MAX, 0) / 1000;
    char line[128];

    if (provisional) {
        done = json_int(progress, "confirmed", 0, INT32_MAX, 0);
        total = json_int(progress, "confirming", 0, INT32_MAX, 0);
        snprintf(line, sizeof(line), "provisional: %s; tried again %lld/%lld  at most %.1f s left",
                 provisional, (long long)done, (long long)total, left_s);
    } else {
        snprintf(line, sizeof(line), "agents %lld/%lld  probes %lld  at most %.1f s left",
                 (long long)done, (long long)total,
                 (long long)json_int(progress, "probes", 0, INT32_MAX, 0), left_s);
    }
    print_progress(line, (size_t)done, (size_t)total);
}

/* Until the run is judged. A collector that is away for a moment (a restart) is waited for. */
static int wait_for_verdict(struct client *client, const char *id)
{
    int64_t poll_ms = POLL_MIN_MS;
    uint64_t began_us = clock_mono_us(), answered_us = began_us;
    char path[96];
    struct error err;

    snprintf(path, sizeof(path), "/api/v1/runs/%s", id);
    for (;;) {
        CLEANUP_JSON cJSON *answer = NULL;
        const cJSON *run;
        int r = client_call(client, path, NULL, &answer, &err);
        if (r == 0) {
            answered_us = clock_mono_us();
            run = cJSON_GetObjectItemCaseSensitive(answer, "run");
            if (strcmp(json_string(run, "state", ""), "judged") == 0)
                return -1;
            show_progress(run);
        } else if (r != -EIO || clock_mono_us() - answered_us > LOST_MS * 1000ULL) {
            print_progress_end();
            return command_error("run", EXIT_NO_VERDICT, "%s; run %s has no verdict that I know of",
                                 err.text, id);
        }
        command_pause_ms(poll_ms);
        /* The answer is late by a tenth of its time at most. */
        poll_ms = (int64_t)(clock_mono_us() - began_us) / 10000;
        poll_ms = poll_ms < POLL_MIN_MS   ? POLL_MIN_MS
                  : poll_ms > POLL_MAX_MS ? POLL_MAX_MS
                                          : poll_ms;
    }
}

static int print_result(struct client *client, const struct settings *settings, const char *id)
{
    CLEANUP_JSON cJSON *document = NULL;
    struct error err;
    char path[96];

    snprintf(path, sizeof(path), "/api/v1/runs/%s/matrix", id);
    if (client_call(client, path, NULL, &document, &err) < 0)
        return command_error("run", EXIT_NO_VERDICT, "%s", err.text);
    return matrix_report(document, settings->common.output);
}

int cmd_run(int argc, char **argv)
{
    struct settings settings = {0};
    struct client *client = NULL;
    struct error err;
    char id[32] = "";
    int status = command_parse("run", specs, ARRAY_SIZE(specs), &settings, argc, argv, NULL, 0);

    if (status < 0) {
        client = client_new(settings.common.url, &err);
        status = client ? start(client, &settings, id, sizeof(id))
                        : command_error("run", EXIT_USAGE, "%s", err.text);
    }
    if (status < 0)
        status = wait_for_verdict(client, id);
    print_progress_end();
    if (status < 0)
        status = print_result(client, &settings, id);
    client_free(client);
    options_deinit(specs, ARRAY_SIZE(specs), &settings);
    return status;
}
