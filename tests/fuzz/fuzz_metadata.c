/* Any task metadata document is read or refused. */
#include "agent/identity.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct identity identity = {0};
    struct error err;

    identity_parse_metadata(&identity, (const char *)data, size, &err);
    identity_deinit(&identity);
    return 0;
}
