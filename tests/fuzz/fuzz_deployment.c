/* What ECS and CodeDeploy answer about a deployment. The first byte picks the answers that it is
 * read as, one after the other, into the same deployment. */
#include "collector/gate/deployment_read.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum {
    AS_SERVICE = 1,
    AS_LIST = 2,
    AS_DESCRIBED = 4,
    AS_CODEDEPLOY = 8,
    AS_TASKS = 16,
    OTHERWISE = 32
};

/* It has room for what it holds, what waits names its hook, and no time is before 1970. */
static void check(const struct deployment *deployment)
{
    struct buf out = BUF_INIT(BUF_UNBOUNDED);

    if (deployment->address_count > DEPLOYMENT_ADDRESSES_MAX ||
        (deployment->phase == DEPLOYMENT_PAUSED && !*deployment->hook) ||
        deployment->created_ms < 0)
        abort();
    for (int act = ACT_NONE; act <= ACT_COMMAND; act++) {
        struct deployment_order order = {(enum deployment_act)act, deployment,
                                         deployment->definition, "d-1", "e-1"};
        deployment_command(&order, &out);
    }
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct deployment deployment = {0};
    struct arena arena = {0};
    struct error err;
    const struct tree *root;
    bool otherwise;

    if (!size)
        return 0;
    otherwise = data[0] & OTHERWISE;
    root = tree_parse_json(&arena, (const char *)data + 1, size - 1, &err);
    if (root && data[0] & AS_SERVICE)
        deployment_read_service(root, &deployment);
    if (root && data[0] & AS_LIST && !deployment_newest(root, 0))
        abort();
    if (root && data[0] & AS_DESCRIBED)
        deployment_read_described(root, otherwise, &deployment);
    if (root && data[0] & AS_CODEDEPLOY &&
        !deployment_read_codedeploy(root, otherwise, &deployment))
        abort();
    if (root && data[0] & AS_TASKS)
        deployment_read_addresses(root, &deployment);
    check(&deployment);
    deployment_deinit(&deployment);
    arena_deinit(&arena);
    return 0;
}
