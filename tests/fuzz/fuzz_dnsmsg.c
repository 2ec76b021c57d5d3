/* Any bytes are an answer or are refused; the first byte picks the type. */
#include "agent/dnsmsg.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_SRV};
    static struct dns_record records[DNSMSG_ANSWERS_MAX];
    static char names[DNSMSG_CHAIN_MAX][DNSMSG_NAME_MAX];
    struct dns_answer answer = {.records = records, .chain = names};

    if (!size)
        return 0;
    if (dnsmsg_parse(data + 1, size - 1, types[data[0] % 3], &answer) == 0)
        for (size_t i = 0; i < answer.count; i++)
            if (strnlen(answer.records[i].name, DNSMSG_NAME_MAX) == DNSMSG_NAME_MAX)
                abort();
    if (answer.count > DNSMSG_ANSWERS_MAX)
        abort();
    return 0;
}
