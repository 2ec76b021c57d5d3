#include "collector/estate_store.h"

#include "common/text.h"

#include <errno.h>
#include <string.h>

struct texts {
    struct buf texts[ESTATE_PART_COUNT];
    struct store_part parts[ESTATE_PART_COUNT];
    size_t count;
};

/* Those parts as JSON. */
static void write_parts(const struct estate *estate, unsigned parts, struct texts *ret_texts)
{
    ret_texts->count = 0;
    for (int i = 0; i < ESTATE_PART_COUNT; i++) {
        struct buf *text = &ret_texts->texts[ret_texts->count];
        if (!(parts & ESTATE_ONLY(i)))
            continue;
        *text = BUF_INIT(BUF_UNBOUNDED);
        estate_write_part(estate, (enum estate_part)i, text);
        ret_texts->parts[ret_texts->count++] = (struct store_part){
            estate_part_name((enum estate_part)i), buf_text(text), text->length};
    }
}

static void texts_deinit(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        buf_deinit(&texts->texts[i]);
}

int estate_store_put(struct store *store, int64_t run, const struct estate *estate)
{
    struct store_estate record = {estate->taken_ms, estate->network_taken_ms, ""};
    struct texts texts;
    int r;

    text_copy(record.region, sizeof(record.region), estate->region);
    write_parts(estate, ESTATE_ALL, &texts);
    r = store_put_estate(store, run, &record, texts.parts, texts.count);
    texts_deinit(&texts);
    return r;
}

int estate_store_add(struct store *store, int64_t run, const struct estate *found)
{
    struct estate *all = estate_store_get(store, run, ESTATE_ONLY(ESTATE_MISSING));
    const struct estate_missing *missing = found->parts[ESTATE_MISSING].items;
    static const enum estate_part parts[] = {ESTATE_TRAIL, ESTATE_FLOW_LOGS, ESTATE_FLOWS,
                                             ESTATE_LOG_LINES};
    unsigned mask = ESTATE_ONLY(ESTATE_MISSING);
    struct texts texts;
    int r;

    if (!all)
        return -ENOENT;
    for (size_t i = 0; i < estate_count(found, ESTATE_MISSING); i++)
        estate_note_missing(all, missing[i].call, missing[i].of, missing[i].code, missing[i].text,
                            missing[i].is_permission);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        estate_copy_part(all, found, parts[i]);
        mask |= ESTATE_ONLY(parts[i]);
    }
    write_parts(all, mask, &texts);
    r = store_put_parts(store, run, texts.parts, texts.count);
    texts_deinit(&texts);
    estate_free(all);
    return r;
}

static void read_part(void *ctx, const struct store_part *part)
{
    for (int i = 0; i < ESTATE_PART_COUNT; i++)
        if (strcmp(part->name, estate_part_name((enum estate_part)i)) == 0)
            estate_read_part(ctx, (enum estate_part)i, part->json, part->length, NULL);
}

struct estate *estate_store_get(struct store *store, int64_t run, unsigned parts)
{
    struct store_estate record;
    struct estate *estate;

    if (store_get_estate(store, run, &record) < 0)
        return NULL;
    estate = estate_new();
    estate->taken_ms = record.taken_ms;
    estate->network_taken_ms = record.network_taken_ms;
    estate->region = arena_strdup(&estate->arena, record.region);
    for (int i = 0; i < ESTATE_PART_COUNT; i++)
        if (parts & ESTATE_ONLY(i))
            store_get_part(store, run, estate_part_name((enum estate_part)i), read_part, estate);
    return estate;
}
