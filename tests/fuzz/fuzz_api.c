/* Any body of POST /api/v1/runs is a request or is refused. */
#include "collector/api.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run_request request;
    struct error err;

    api_parse_run_request((const char *)data, size, &request, &err);
    run_request_deinit(&request);
    return 0;
}
