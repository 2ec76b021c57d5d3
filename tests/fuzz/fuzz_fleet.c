/* Any text is a fleet or gives messages; a fleet can be walked and shown. */
#include "collector/fleet.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fleet_messages messages = {0};
    struct fleet *fleet = fleet_parse("fuzz", (const char *)data, size, &messages);
    struct buf json = BUF_INIT(BUF_UNBOUNDED);

    if (!fleet && !messages.errors)
        abort();
    if (fleet)
        fleet_to_json(fleet, &json);
    fleet_unref(fleet);
    buf_deinit(&json);
    fleet_messages_deinit(&messages);
    return 0;
}
