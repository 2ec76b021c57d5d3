/* Any task metadata document is read or refused. */
#include "agent/identity.h"
#include "agent/metadata.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct identity identity = {0};
    struct proto_witness witness = {0};
    struct arena arena = {0};
    struct error err;

    identity_parse_metadata(&identity, (const char *)data, size, &err);
    identity_deinit(&identity);
    metadata_read_containers((const char *)data, size, 1800000000, &arena, &witness);
    arena_deinit(&arena);
    return 0;
}
