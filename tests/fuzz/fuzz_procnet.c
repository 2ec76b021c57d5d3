/* Any text in place of /proc/net/tcp and /proc/net/netstat, and any endpoint as text. */
#include "agent/netstat.h"
#include "agent/sockets.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct netstat netstat = {0};
    struct sockets_entry entry;
    union kernel_address address;
    char out[KERNEL_TEXT_MAX];

    memcpy(text, data, size);
    text[size] = '\0';
    netstat_parse(&netstat, text);
    if (sockets_parse_line(text, &entry))
        kernel_endpoint_text(&entry.remote, out);
    if (kernel_parse_endpoint(text, &address))
        kernel_endpoint_text(&address, out);
    free(text);
    return 0;
}
