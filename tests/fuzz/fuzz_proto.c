/* Any bytes decode or are refused; what decodes encodes again, and then decodes to the same text.
 */
#include "proto/proto.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proto_message message, again;
    struct error err;
    struct buf first = BUF_INIT(PROTO_MESSAGE_MAX), second = BUF_INIT(PROTO_MESSAGE_MAX);

    if (proto_decode(data, size, &message, &err) == 0 && proto_encode(&message, &first) == 0) {
        if (proto_decode(buf_text(&first), first.length, &again, &err) < 0)
            abort();
        if (proto_encode(&again, &second) < 0 || strcmp(buf_text(&first), buf_text(&second)) != 0)
            abort();
        proto_message_deinit(&again);
    }
    proto_message_deinit(&message);
    buf_deinit(&first);
    buf_deinit(&second);
    return 0;
}
