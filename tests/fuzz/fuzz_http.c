/* A head gives the same result at once and byte by byte. */
#include "agent/http.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_answer whole = {0}, bytes = {0};
    size_t used = 0, one;
    enum http_result result = http_feed(&whole, (const char *)data, size, &used), last = HTTP_MORE;

    for (size_t i = 0; i < size && last == HTTP_MORE; i++)
        last = http_feed(&bytes, (const char *)data + i, 1, &one);
    if (used > size || result != last || whole.status != bytes.status)
        abort();
    return 0;
}
