/* The collector's configuration file: any bytes. */
#include "collector/config.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fleet_messages messages = {0};
    struct config config;

    if (size > CONFIG_BYTES_MAX)
        return 0;
    config_init(&config);
    config_parse(&config, "fuzz", (const char *)data, size, &messages);
    config_deinit(&config);
    fleet_messages_deinit(&messages);
    return 0;
}
