/* estate_fixture: the estate of diagnose/estate.json, with texts of it replaced. */
#ifndef TESTS_UNIT_COLLECTOR_ESTATE_FIXTURE_H
#define TESTS_UNIT_COLLECTOR_ESTATE_FIXTURE_H

#include "collector/cloud/estate.h"
#include "tests/unit/test.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#define ESTATE_FIXTURE_BYTES (1 << 16)

/* Of the arena. */
static inline char *estate_fixture_text(struct arena *arena)
{
    FILE *file = fopen(TESTS_DIR "/unit/collector/diagnose/estate.json", "r");
    char *text = arena_alloc(arena, 1, ESTATE_FIXTURE_BYTES);

    assert_non_null(file);
    assert_true(fread(text, 1, ESTATE_FIXTURE_BYTES - 1, file) > 0);
    fclose(file);
    return text;
}

/* Every `old` in it is `new`; NULL: there is none. Of the arena. */
static inline char *estate_fixture_swap(struct arena *arena, const char *text, const char *old,
                                        const char *new)
{
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);
    const char *hit;
    bool has_hit = false;

    for (; (hit = strstr(text, old)); text = hit + strlen(old)) {
        buf_append(&out, text, (size_t)(hit - text));
        buf_puts(&out, new);
        has_hit = true;
    }
    buf_puts(&out, text);
    return has_hit ? arena_strdup(arena, buf_text(&out)) : NULL;
}

static inline struct estate *estate_fixture_read(const char *text)
{
    struct estate *estate = estate_new();
    cJSON *root = cJSON_Parse(text), *list;

    assert_non_null(root);
    estate->taken_ms = estate->network_taken_ms = INT64_C(1767229210000); /* 2026-01-01T01:00:10Z */
    estate->region = "eu-west-1";
    cJSON_ArrayForEach(list, root)
    {
        char *json = cJSON_PrintUnformatted(list);
        for (int part = 0; part < ESTATE_PART_COUNT; part++)
            if (strcmp(list->string, estate_part_name((enum estate_part)part)) == 0)
                assert_int_equal(
                    estate_read_part(estate, (enum estate_part)part, json, strlen(json), NULL), 0);
        cJSON_free(json);
    }
    cJSON_Delete(root);
    return estate;
}

#endif
