/* Whatever an estate says: the fleet file that comes out of it is one. The input is an estate's
 * parts as JSON: {"services": [...], ...}. */
#include "collector/cloud/discover.h"
#include "collector/fleet.h"
#include "collector/fleet_merge.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check(const struct estate *estate, bool is_explicit)
{
    struct discover_settings settings = {"fuzz", is_explicit ? "" : "a heading", is_explicit};
    struct buf text = BUF_INIT(BUF_UNBOUNDED), merged = BUF_INIT(FLEET_BYTES_MAX);
    struct fleet_messages messages = {0};
    size_t count = discover_fleet(estate, &settings, &text);
    struct fleet *fleet = NULL;
    struct error err;

    if (count && text.length < FLEET_BYTES_MAX) {
        fleet = fleet_parse("fuzz", buf_text(&text), text.length, &messages);
        if (!fleet || fleet->service_count != count)
            abort();
        if (fleet_merge("source: ecs", 11, buf_text(&text), text.length, &merged, &err) < 0 &&
            !buf_is_full(&merged))
            abort();
    }
    fleet_unref(fleet);
    fleet_messages_deinit(&messages);
    buf_deinit(&text);
    buf_deinit(&merged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    const struct tree *root = tree_parse_json(&arena, (const char *)data, size, NULL);
    struct estate *estate = estate_new();

    for (int part = 0; root && part < ESTATE_PART_COUNT; part++)
        record_read_list(&estate->arena, estate_type((enum estate_part)part), &estate->parts[part],
                         tree_items(root, estate_part_name((enum estate_part)part)), RECORD_OURS);
    check(estate, false);
    check(estate, true);
    estate_free(estate);
    arena_deinit(&arena);
    return 0;
}
