#include "collector/schedule/schedules.h"

#include "collector/view_internal.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <string.h>

#define SLEEP_MAX_MS 30000 /* the wall clock may be set meanwhile */
#define RETRY_MS     5000  /* a run that could not be started now */
#define LATE_MS      60000 /* later than that a time counts as missed */

struct schedule {
    struct schedules *schedules;
    const struct schedule_settings *settings;
    int64_t due_ms;  /* the next time by the expression; 0: none */
    int64_t fire_ms; /* with its jitter */
    int64_t last_ms; /* the last time that was handled; 0: none */
    int64_t run;     /* that it started last; 0: none */
    uint64_t skipped;
    struct loop_timer timer;
};

struct schedules {
    struct loop *loop;
    struct runs *runs;
    struct schedule_hooks hooks;
    struct schedule *items;
    size_t count;
};

/* A part of the jitter, by name and date (FNV-1a). */
static int64_t jitter_of(const struct schedule_settings *settings, int64_t due_ms)
{
    uint64_t hash = 14695981039346656037ULL;

    if (!settings->jitter_ms)
        return 0;
    for (const char *at = settings->name; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 1099511628211ULL;
    for (int i = 0; i < 8; i++)
        hash = (hash ^ (uint64_t)(due_ms >> i * 8 & 0xff)) * 1099511628211ULL;
    return (int64_t)(hash % (uint64_t)settings->jitter_ms);
}

static void sleep_on(struct schedule *schedule, int64_t ms)
{
    loop_timer_in_ms(schedule->schedules->loop, &schedule->timer,
                     (uint64_t)(ms < 0              ? 0
                                : ms > SLEEP_MAX_MS ? SLEEP_MAX_MS
                                                    : ms));
}

static void plan_next(struct schedule *schedule, int64_t after_ms)
{
    const struct schedule_settings *settings = schedule->settings;

    schedule->due_ms = cron_next(&settings->cron, settings->zone, after_ms / 1000) * 1000;
    schedule->fire_ms = schedule->due_ms + jitter_of(settings, schedule->due_ms);
    if (schedule->due_ms)
        sleep_on(schedule, schedule->fire_ms - clock_wall_ms());
    else
        log_warn("schedule-never", "schedule=%s cron=%s", LOG_QUOTE(settings->name),
                 LOG_QUOTE(settings->text));
}

static void remember(struct schedule *schedule)
{
    struct schedules *schedules = schedule->schedules;

    schedule->last_ms = schedule->due_ms;
    if (store_put_schedule(schedules->runs->store, schedule->settings->name, schedule->last_ms,
                           schedule->run) < 0)
        log_error("schedule-not-stored", "schedule=%s error=%s",
                  LOG_QUOTE(schedule->settings->name),
                  LOG_QUOTE(store_problem(schedules->runs->store)));
}

static void skip(struct schedule *schedule, const char *why)
{
    schedule->skipped++;
    log_warn("schedule-skipped", "schedule=%s why=%s", LOG_QUOTE(schedule->settings->name),
             LOG_QUOTE(why));
    remember(schedule);
    plan_next(schedule, clock_wall_ms());
}

static void copy_list(struct options_list *to, const struct options_list *from)
{
    for (size_t i = 0; i < from->count; i++)
        options_list_add(to, from->items[i], strlen(from->items[i]));
}

static void start(struct schedule *schedule)
{
    struct schedules *schedules = schedule->schedules;
    const struct schedule_settings *settings = schedule->settings;
    struct run_request wanted = {.trigger = "schedule", .deadline_ms = settings->deadline_ms};
    struct run *run = NULL;
    struct error err = {""};
    int r;

    copy_list(&wanted.from, &settings->from);
    copy_list(&wanted.to, &settings->to);
    r = runs_start(schedules->runs, &wanted, clock_mono_us(), &run, &err);
    options_list_deinit(&wanted.from);
    options_list_deinit(&wanted.to);
    if (r < 0) {
        log_error("schedule-failed", "schedule=%s error=%s", LOG_QUOTE(settings->name),
                  LOG_QUOTE(err.text));
        sleep_on(schedule, RETRY_MS); /* its time is not over as long as it may be caught up */
        return;
    }
    schedule->run = run->record.id;
    log_info("schedule-run", "schedule=%s run=%lld late_ms=%lld", LOG_QUOTE(settings->name),
             (long long)schedule->run, (long long)(clock_wall_ms() - schedule->fire_ms));
    remember(schedule);
    plan_next(schedule, schedule->due_ms > clock_wall_ms() ? schedule->due_ms : clock_wall_ms());
    schedules->hooks.on_run_started(schedules->hooks.ctx, run);
}

static void on_time(void *ctx)
{
    struct schedule *schedule = ctx;
    struct schedules *schedules = schedule->schedules;
    int64_t now_ms = clock_wall_ms();

    if (now_ms < schedule->fire_ms) {
        sleep_on(schedule, schedule->fire_ms - now_ms);
        return;
    }
    schedules->hooks.commit(schedules->hooks.ctx);
    if (schedule->run && runs_find(schedules->runs, schedule->run))
        skip(schedule, "its last run is still open");
    else if (now_ms - schedule->fire_ms > LATE_MS && !schedule->settings->catches_up)
        skip(schedule, "its time is long over");
    else
        start(schedule);
}

/* Since the last time that was handled: one that is over already was missed. */
static void begin(struct schedule *schedule)
{
    int64_t now_ms = clock_wall_ms();

    schedule->last_ms = store_get_schedule(schedule->schedules->runs->store,
                                           schedule->settings->name, &schedule->run);
    plan_next(schedule, schedule->last_ms ? schedule->last_ms : now_ms);
    if (schedule->due_ms && schedule->fire_ms < now_ms)
        log_info("schedule-missed", "schedule=%s policy=%s", LOG_QUOTE(schedule->settings->name),
                 schedule->settings->catches_up ? "run" : "skip");
}

struct schedules *schedules_new(struct loop *loop, struct runs *runs,
                                const struct schedule_settings *settings, size_t count,
                                const struct schedule_hooks *hooks)
{
    struct schedules *schedules = mem_alloc(sizeof(*schedules));

    *schedules = (struct schedules){.loop = loop, .runs = runs, .hooks = *hooks, .count = count};
    schedules->items = mem_array(count, sizeof(*schedules->items));
    for (size_t i = 0; i < count; i++) {
        struct schedule *schedule = &schedules->items[i];
        *schedule = (struct schedule){.schedules = schedules, .settings = &settings[i]};
        schedule->timer = (struct loop_timer){.fn = on_time, .ctx = schedule};
        begin(schedule);
    }
    return schedules;
}

struct schedules *schedules_free(struct schedules *schedules)
{
    if (!schedules)
        return NULL;
    for (size_t i = 0; i < schedules->count; i++)
        loop_timer_stop(schedules->loop, &schedules->items[i].timer);
    mem_free(schedules->items);
    mem_free(schedules);
    return NULL;
}

void schedules_view(const struct schedules *schedules, struct buf *out)
{
    buf_puts(out, "{\"schema\":1,\"schedules\":[");
    for (size_t i = 0; i < schedules->count; i++) {
        const struct schedule *schedule = &schedules->items[i];
        buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json(out, schedule->settings->name);
        buf_puts(out, ",\"cron\":");
        buf_put_json(out, schedule->settings->text);
        buf_puts(out, ",\"zone\":");
        buf_put_json(out, schedule->settings->zone->name);
        view_put_time(out, "next", schedule->due_ms ? schedule->fire_ms : 0);
        view_put_time(out, "last", schedule->last_ms);
        buf_puts(out, ",\"run\":");
        if (schedule->run)
            buf_printf(out, "\"%lld\"", (long long)schedule->run);
        else
            buf_puts(out, "null");
        buf_printf(out, ",\"skipped\":%llu}", (unsigned long long)schedule->skipped);
    }
    buf_puts(out, "]}");
}
