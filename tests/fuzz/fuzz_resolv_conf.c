/* Any resolv.conf gives at most the allowed number of resolvers. */
#include "agent/host.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct host nothing;
    struct host host = nothing;
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    host_parse_resolv_conf(&host, text);
    if (host.resolver_count > HOST_RESOLVER_MAX)
        abort();
    free(text);
    return 0;
}
