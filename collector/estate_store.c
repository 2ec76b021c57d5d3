#include "collector/estate_store.h"

#include "common/text.h"

#include <string.h>

int estate_store_put(struct store *store, int64_t run, const struct estate *estate)
{
    struct store_estate record = {estate->taken_ms, estate->network_taken_ms, ""};
    struct buf texts[ESTATE_PART_COUNT];
    struct store_part parts[ESTATE_PART_COUNT];
    int r;

    text_copy(record.region, sizeof(record.region), estate->region);
    for (int i = 0; i < ESTATE_PART_COUNT; i++) {
        texts[i] = BUF_INIT(BUF_UNBOUNDED);
        estate_write_part(estate, (enum estate_part)i, &texts[i]);
        parts[i] = (struct store_part){estate_part_name((enum estate_part)i), buf_text(&texts[i]),
                                       texts[i].length};
    }
    r = store_put_estate(store, run, &record, parts, ESTATE_PART_COUNT);
    for (int i = 0; i < ESTATE_PART_COUNT; i++)
        buf_deinit(&texts[i]);
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
