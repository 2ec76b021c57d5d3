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
