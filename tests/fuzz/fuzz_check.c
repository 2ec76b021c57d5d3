/* Any bytes from a server give a verdict; what passes at once passes byte by byte; details are
 * printable. The first byte picks the check, the second what it looks for. */
#include "agent/check.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static enum check_result run(const struct check_type *type, const struct check_plan *plan,
                             const char *data, size_t size, size_t step,
                             enum proto_outcome *ret_outcome)
{
    struct exchange exchange = {0};
    enum check_result result = CHECK_MORE;

    exchange_begin(&exchange, type, plan);
    for (size_t at = 0; at < size && result == CHECK_MORE; at += step) {
        if (exchange.out_length) /* as if it had been sent */
            exchange.out += exchange.out_length;
        exchange.out_length = 0;
        result = exchange_feed(&exchange, data + at, size - at < step ? size - at : step);
    }
    if (result == CHECK_MORE)
        result = exchange_end(&exchange);
    if (result == CHECK_MORE)
        abort(); /* after the end nothing more comes */
    for (const char *c = exchange.detail; c && *c; c++)
        if (*c < 0x20 || *c > 0x7e)
            abort();
    *ret_outcome = exchange.outcome;
    exchange_drop(&exchange);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *names[] = {"api.shop.local"};
    static struct arena arena;
    struct proto_target target = {.names = names,
                                  .name_count = 1,
                                  .port = 80,
                                  .path = "/",
                                  .status = "200-299",
                                  .method = "",
                                  .host = "",
                                  .match = "",
                                  .send = "",
                                  .health = ""};
    const struct check_type *type;
    struct check_plan plan;
    enum proto_outcome whole = OUTCOME_OK, parts = OUTCOME_OK;
    enum check_result result;

    if (size < 2)
        return 0;
    type = check_types[data[0] % check_type_count];
    target.match = data[1] & 1 ? "well" : "";
    target.rate_bytes = data[1] & 2 ? 100 : 0;
    check_make_plan(type, &target, names[0], &arena, &plan);
    result = run(type, &plan, (const char *)data + 2, size - 2, size, &whole);
    /* Datagrams are whole by nature; servers' pages are looked at in the head's own segment. */
    if (!type->is_datagram && result == CHECK_PASSED &&
        run(type, &plan, (const char *)data + 2, size - 2, 1, &parts) != result)
        abort();
    arena_deinit(&arena);
    return 0;
}
