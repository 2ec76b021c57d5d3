/* The small readers: addresses, durations, host names, status sets. */
#include "common/cidr.h"
#include "common/text.h"
#include "proto/status.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const words[] = {"services", "defaults", "namespace"};
    char *text = malloc(size + 1);
    struct cidr cidr;
    int64_t ms;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    cidr_parse(text, &cidr);
    if (text_to_duration_ms(text, &ms) && ms < 0)
        abort();
    text_is_hostname(text);
    text_closest(text, words, 3);
    if (status_set_is_valid(text) && status_set_contains(text, 99))
        abort();
    status_set_contains(text, 200);
    text_has_domain_suffix(text, "shop.local");
    free(text);
    return 0;
}
