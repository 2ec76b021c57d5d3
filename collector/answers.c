#include "collector/answers.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct answers_key {
    uint32_t answer;
    const char *text;
    UT_hash_handle hh;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* 0x1f cannot be in a text: control characters do not arrive. */
static void put_key(struct buf *key, const struct proto_resolution *row, const char **records)
{
    buf_printf(key, "%s\x1f%s\x1f%s\x1f%s\x1f%d\x1f%d%d", row->name, row->asked, row->type,
               row->resolver, (int)row->outcome, row->is_truncated, row->is_tcp);
    for (size_t i = 0; i < row->answer_count; i++)
        buf_printf(key, "\x1f%s", records[i]);
}

static uint32_t add_new(struct answers *answers, const struct proto_resolution *row,
                        const char **records, const char *text)
{
    struct arena *arena = &answers->arena;
    struct answers_key *key = arena_alloc(arena, 1, sizeof(*key));
    struct answer *answer;

    mem_grow(&answers->answers, answers->count, &answers->capacity, sizeof(*answers->answers));
    answer = &answers->answers[answers->count];
    *answer = (struct answer){
        .name = arena_strdup(arena, row->name),
        .asked = arena_strdup(arena, *row->asked ? row->asked : row->name),
        .type = arena_strdup(arena, row->type),
        .resolver = arena_strdup(arena, row->resolver),
        .outcome = row->outcome,
        .records = arena_alloc(arena, row->answer_count, sizeof(*answer->records)),
        .count = row->answer_count,
        .is_truncated = row->is_truncated,
        .is_tcp = row->is_tcp,
    };
    for (size_t i = 0; i < row->answer_count; i++)
        answer->records[i] = arena_strdup(arena, records[i]);
    key->answer = (uint32_t)answers->count++;
    key->text = arena_strdup(arena, text);
    HASH_ADD_KEYPTR(hh, answers->keys, key->text, strlen(key->text), key);
    return key->answer;
}

static uint32_t find_or_add(struct answers *answers, const struct proto_resolution *row)
{
    CLEANUP_BUF struct buf text = BUF_INIT(BUF_UNBOUNDED);
    const char *records[PROTO_ANSWERS_MAX];
    struct answers_key *key;

    memcpy(records, row->answers, row->answer_count * sizeof(*records));
    qsort(records, row->answer_count, sizeof(*records), by_text);
    put_key(&text, row, records);
    HASH_FIND_STR(answers->keys, buf_text(&text), key);
    return key ? key->answer : add_new(answers, row, records, buf_text(&text));
}

void answers_add(struct answers *answers, size_t source, const struct proto_resolution *row)
{
    /* Asked only to be compared: no app sees it. */
    if (row->is_reference)
        return;
    mem_grow(&answers->rows, answers->row_count, &answers->row_capacity, sizeof(*answers->rows));
    answers->rows[answers->row_count++] = (struct answer_row){
        .source = (uint32_t)source,
        .answer = find_or_add(answers, row),
        .ttl_s = row->ttl_s > INT32_MAX ? INT32_MAX : (int32_t)row->ttl_s,
        .time_us = row->time_us > UINT32_MAX ? UINT32_MAX : (uint32_t)row->time_us,
        .tries = row->tries > UINT16_MAX ? UINT16_MAX : (uint16_t)row->tries,
        .is_superseded = row->is_superseded,
    };
}

void answers_deinit(struct answers *answers)
{
    HASH_CLEAR(hh, answers->keys);
    mem_free(answers->answers);
    mem_free(answers->rows);
    arena_deinit(&answers->arena);
    *answers = (struct answers){0};
}

bool answer_is_from_hosts(const struct answer *answer)
{
    return strcmp(answer->resolver, "hosts") == 0;
}

bool answer_is_good(const struct answer *answer)
{
    return answer->outcome == OUTCOME_OK && answer->count > 0;
}

bool answer_is_negative(const struct answer *answer)
{
    return answer->outcome == OUTCOME_NXDOMAIN || answer->outcome == OUTCOME_NODATA;
}

/* ---- by name ---- */

struct by_asked {
    const char *asked;
    uint32_t answer;
};

static int compare_asked(const void *a, const void *b)
{
    const struct by_asked *x = a, *y = b;
    int order = strcasecmp(x->asked, y->asked);

    return order ? order : x->answer < y->answer ? -1 : x->answer > y->answer;
}

void answers_index_init(struct answers_index *index, const struct answers *answers)
{
    struct by_asked *all = mem_array(answers->count, sizeof(*all));

    *index = (struct answers_index){.answers = answers,
                                    .order = mem_array(answers->count, sizeof(*index->order)),
                                    .rank = mem_array(answers->count, sizeof(*index->rank)),
                                    .ttl_s = mem_array(answers->count, sizeof(*index->ttl_s))};
    for (uint32_t i = 0; i < answers->count; i++) {
        all[i] = (struct by_asked){answers->answers[i].asked, i};
        index->ttl_s[i] = -1;
    }
    qsort(all, answers->count, sizeof(*all), compare_asked);
    for (uint32_t i = 0; i < answers->count; i++) {
        index->order[i] = all[i].answer;
        index->rank[all[i].answer] = i;
    }
    mem_free(all);
    for (size_t i = 0; i < answers->row_count; i++)
        if (answers->rows[i].ttl_s > index->ttl_s[answers->rows[i].answer])
            index->ttl_s[answers->rows[i].answer] = answers->rows[i].ttl_s;
}

void answers_index_deinit(struct answers_index *index)
{
    mem_free(index->order);
    mem_free(index->rank);
    mem_free(index->ttl_s);
}

/* How many come before `name`; or, with `is_after`, before what comes after it. */
static size_t count_before(const struct answers_index *index, const char *name, bool is_after)
{
    size_t low = 0, high = index->answers->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcasecmp(index->answers->answers[index->order[middle]].asked, name);
        if (order < 0 || (is_after && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const uint32_t *answers_find(const struct answers_index *index, const char *name, size_t *ret_count)
{
    size_t first = count_before(index, name, false);

    *ret_count = count_before(index, name, true) - first;
    return index->order + first;
}
