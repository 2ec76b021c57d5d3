#include "collector/cli/changes.h"

#include "collector/cli/print.h"
#include "common/buf.h"
#include "common/json.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static void put_line(const cJSON *change, struct buf *out)
{
    const char *kind = json_string(change, "kind", "changed");
    const char *then = json_string(change, "then", ""), *now = json_string(change, "now", "");
    const char *by = json_string(change, "by", ""), *at = json_string(change, "at", "");

    buf_printf(out, "%s %s", json_string(change, "what", "?"), kind);
    if (strcmp(kind, "changed") == 0)
        buf_printf(out, ": %s -> %s", *then ? then : "nothing", *now ? now : "nothing");
    else if (strcmp(*then ? then : now, "there") != 0)
        buf_printf(out, ": %s", *then ? then : now);
    if (*at)
        buf_printf(out, "; by %s at %s (%s)", *by ? by : "somebody unknown", at,
                   json_string(change, "event", "?"));
}

int changes_print(const struct cJSON *list, const char *indent)
{
    const cJSON *change;

    cJSON_ArrayForEach(change, list)
    {
        CLEANUP_BUF struct buf line = BUF_INIT(BUF_UNBOUNDED);
        put_line(change, &line);
        printf("%s%s\n", indent, buf_text(&line));
    }
    return cJSON_GetArraySize(list);
}

void changes_print_note(const struct cJSON *list, const char *indent)
{
    const cJSON *change;

    cJSON_ArrayForEach(change, list)
    {
        if (*json_string(change, "at", ""))
            continue;
        printf("%s(CloudTrail is asked who made a change when a run fails for it, and may be 15 "
               "minutes late.)\n",
               indent);
        return;
    }
}

int changes_print_markdown(const struct cJSON *list)
{
    const cJSON *change;

    cJSON_ArrayForEach(change, list)
    {
        CLEANUP_BUF struct buf line = BUF_INIT(BUF_UNBOUNDED);
        put_line(change, &line);
        fputs("- ", stdout);
        print_markdown(buf_text(&line));
        putchar('\n');
    }
    return cJSON_GetArraySize(list);
}
