/* udp: a payload, and an answer: any, or one that holds a text. Silence is no answer. */
#include "agent/check.h"

#include <string.h>

static void begin(struct exchange *exchange)
{
    exchange->out = exchange->plan->request;
    exchange->out_length = exchange->plan->request_length;
}

static enum check_result feed(struct exchange *exchange, const char *data, size_t length)
{
    const char *match = exchange->plan->match;

    if (*match && !memmem(data, length, match, strlen(match)))
        return exchange_fail(exchange, OUTCOME_BAD_CONTENT, "no '%.60s' in an answer of %zu bytes",
                             match, length);
    return CHECK_PASSED;
}

const struct check_type check_udp = {
    .name = "udp", .is_datagram = true, .begin = begin, .feed = feed};
