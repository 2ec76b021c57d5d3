/* fixture: fleets out of text, for the collector's unit tests. */
#ifndef TESTS_UNIT_COLLECTOR_FIXTURE_H
#define TESTS_UNIT_COLLECTOR_FIXTURE_H

#include "collector/fleet.h"
#include "tests/unit/test.h"

static inline struct fleet *fixture_fleet(const char *text)
{
    struct fleet_messages messages = {0};
    struct fleet *fleet = fleet_parse("test", text, strlen(text), &messages);

    if (!fleet)
        fail_msg("%s", buf_text(&messages.text));
    fleet_messages_deinit(&messages);
    return fleet;
}

#endif
