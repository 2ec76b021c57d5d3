/* Any resolv.conf gives at most the allowed number of resolvers and domains, any hosts file of
 * names. */
#include "agent/host.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct host nothing;
    struct host host = nothing;
    struct host_entries entries;
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    host_parse_resolv_conf(&host, text);
    if (host.resolver_count > HOST_RESOLVER_MAX)
        abort();
    host_parse_entries(&entries, text);
    if (host.search_count > HOST_SEARCH_MAX || entries.count > HOST_ENTRY_MAX)
        abort();
    host_entries_deinit(&entries);
    free(text);
    return 0;
}
