/* AWS's configuration files. */
#include "collector/cloud/ini.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ini ini = {0};
    struct error err;

    if (ini_parse(&ini, "fuzz", (const char *)data, size, &err) == 0)
        for (const struct ini_entry *entry = ini.first; entry; entry = entry->next)
            if (!ini_get(&ini, entry->section, entry->key))
                abort();
    ini_deinit(&ini);
    return 0;
}
