/* The body of POST /api/v1/gates; and a gate's document, as the store has it. */
#include "collector/gate/gate.h"
#include "common/mem.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gate_request request;
    struct gate gate = {.verdict = -1};
    struct error err;
    char *text = mem_alloc(size + 1);

    memcpy(text, data, size);
    gate_request_parse(text, size, &request, &err);
    gate_request_deinit(&request);
    if (gate_read(&gate, text, size) == 0) {
        CLEANUP_BUF struct buf out = BUF_INIT(GATE_DOCUMENT_MAX);
        gate_write(&gate, &out);
    }
    gate_deinit(&gate);
    mem_free(text);
    return 0;
}
