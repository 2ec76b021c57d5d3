#include "collector/gate/gaps.h"

#include "collector/view_internal.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"

#include <cjson/cJSON.h>
#include <string.h>

void gaps_deinit(struct gaps *gaps)
{
    for (size_t i = 0; i < gaps->count; i++) {
        mem_free(gaps->pairs[i].source);
        mem_free(gaps->pairs[i].target);
        mem_free(gaps->pairs[i].check);
    }
    mem_free(gaps->pairs);
    *gaps = (struct gaps){0};
}

const struct gaps_pair *gaps_find(const struct gaps *gaps, const char *source, const char *target,
                                  const char *check)
{
    for (size_t i = 0; i < gaps->count; i++) {
        const struct gaps_pair *pair = &gaps->pairs[i];
        if (strcmp(pair->source, source) == 0 && strcmp(pair->target, target) == 0 &&
            strcmp(pair->check, check) == 0)
            return pair;
    }
    return NULL;
}

static struct gaps_pair *find_or_add(struct gaps *gaps, const char *source, const char *target,
                                     const char *check)
{
    const struct gaps_pair *pair = gaps_find(gaps, source, target, check);

    if (pair)
        return &gaps->pairs[pair - gaps->pairs];
    if (gaps->count == GAPS_PAIRS_MAX)
        return NULL;
    mem_grow(&gaps->pairs, gaps->count, &gaps->capacity, sizeof(*gaps->pairs));
    gaps->pairs[gaps->count] = (struct gaps_pair){
        .source = mem_strdup(source), .target = mem_strdup(target), .check = mem_strdup(check)};
    return &gaps->pairs[gaps->count++];
}

static struct gap *last_of(struct gaps_pair *pair)
{
    size_t kept = pair->count < GAPS_KEPT_MAX ? pair->count : GAPS_KEPT_MAX;

    return kept ? &pair->kept[kept - 1] : NULL;
}

const struct gap *gaps_last(const struct gaps_pair *pair)
{
    size_t kept = pair->count < GAPS_KEPT_MAX ? pair->count : GAPS_KEPT_MAX;

    return kept ? &pair->kept[kept - 1] : NULL;
}

static void begin(struct gaps_pair *pair, int64_t at_ms)
{
    pair->is_open = true;
    pair->count++;
    /* The last one is always kept: it may be open. */
    *last_of(pair) = (struct gap){pair->last_good_ms, at_ms, at_ms, 0};
}

static void end(struct gaps_pair *pair, int64_t at_ms)
{
    struct gap *gap = last_of(pair);
    int64_t ms = at_ms - gap->from_ms;

    pair->is_open = false;
    gap->until_ms = at_ms;
    pair->total_ms += ms;
    if (ms > pair->longest_ms)
        pair->longest_ms = ms;
}

void gaps_note(struct gaps *gaps, const char *source, const char *target, const char *check,
               bool is_good, int64_t at_ms)
{
    struct gaps_pair *pair = find_or_add(gaps, source, target, check);

    if (!pair)
        return;
    if (is_good && pair->is_open)
        end(pair, at_ms);
    else if (!is_good && pair->is_open)
        last_of(pair)->to_ms = at_ms;
    else if (!is_good)
        begin(pair, at_ms);
    if (is_good)
        pair->last_good_ms = at_ms;
}

int64_t gaps_total_ms(const struct gaps_pair *pair, int64_t now_ms)
{
    return pair->total_ms + (pair->is_open ? now_ms - gaps_last(pair)->from_ms : 0);
}

/* ---- JSON ---- */

static void put_gap(struct buf *out, const struct gap *gap, int64_t now_ms)
{
    int64_t end_ms = gap->until_ms ? gap->until_ms : now_ms;

    buf_printf(out, "{\"seconds\":%.1f", (double)(end_ms - gap->from_ms) / 1000);
    buf_printf(out, ",\"at_least\":%.1f", (double)(gap->to_ms - gap->from_ms) / 1000);
    view_put_time(out, "after", gap->after_ms);
    view_put_time(out, "from", gap->from_ms);
    view_put_time(out, "to", gap->to_ms);
    view_put_time(out, "until", gap->until_ms);
    buf_putc(out, '}');
}

void gaps_write(const struct gaps *gaps, int64_t now_ms, struct buf *out)
{
    const char *separator = "";

    buf_putc(out, '[');
    for (size_t i = 0; i < gaps->count; i++) {
        const struct gaps_pair *pair = &gaps->pairs[i];
        if (!pair->count)
            continue;
        buf_printf(out, "%s{\"source\":", separator);
        buf_put_json(out, pair->source);
        buf_puts(out, ",\"target\":");
        buf_put_json(out, pair->target);
        buf_puts(out, ",\"check\":");
        buf_put_json(out, pair->check);
        buf_printf(out, ",\"count\":%zu,\"seconds\":%.1f,\"longest\":%.1f,\"open\":%s,\"gaps\":[",
                   pair->count, (double)gaps_total_ms(pair, now_ms) / 1000,
                   (double)pair->longest_ms / 1000, pair->is_open ? "true" : "false");
        for (size_t k = 0; k < pair->count && k < GAPS_KEPT_MAX; k++) {
            buf_puts(out, k ? "," : "");
            put_gap(out, &pair->kept[k], now_ms);
        }
        buf_puts(out, "]}");
        separator = ",";
    }
    buf_putc(out, ']');
}

static int64_t time_of(const cJSON *object, const char *key)
{
    int64_t ms = 0;

    return clock_from_rfc3339(json_string(object, key, ""), &ms) ? ms : 0;
}

static void read_pair(struct gaps *gaps, const cJSON *object)
{
    struct gaps_pair *pair =
        find_or_add(gaps, json_string(object, "source", ""), json_string(object, "target", ""),
                    json_string(object, "check", ""));
    const cJSON *item;

    if (!pair)
        return;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(object, "gaps"))
    {
        if (pair->count == GAPS_KEPT_MAX)
            break;
        pair->kept[pair->count] = (struct gap){time_of(item, "after"), time_of(item, "from"),
                                               time_of(item, "to"), time_of(item, "until")};
        pair->is_open = !pair->kept[pair->count].until_ms;
        if (!pair->is_open) {
            int64_t ms = pair->kept[pair->count].until_ms - pair->kept[pair->count].from_ms;
            pair->total_ms += ms;
            pair->longest_ms = ms > pair->longest_ms ? ms : pair->longest_ms;
        }
        pair->count++;
    }
}

void gaps_read(struct gaps *gaps, const cJSON *list)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        read_pair(gaps, item);
    }
}
