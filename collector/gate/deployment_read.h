/* deployment_read: what ECS and CodeDeploy answer about a deployment, read into one. Pure; texts
 * that are too long are cut, what is not there stays as it was.
 */
#ifndef COLLECTOR_GATE_DEPLOYMENT_READ_H
#define COLLECTOR_GATE_DEPLOYMENT_READ_H

#include "collector/cloud/tree.h"
#include "collector/gate/deployment.h"

/* DescribeServices. False: there is no such service. */
bool deployment_read_service(const struct tree *root, struct deployment *deployment);
/* ListServiceDeployments: the ARN of the newest one of the page, and so of all, made since then;
 * "": none. It is the tree's. */
const char *deployment_newest(const struct tree *root, int64_t after_ms);
/* DescribeServiceDeployments. `is_asked_for`: by its ARN; else it may turn out to be one before the
 * service's present one, which is not listed yet: false then, or where there is none. */
bool deployment_read_described(const struct tree *root, bool is_asked_for,
                               struct deployment *deployment);
/* CodeDeploy's GetDeployment (API Reference, DeploymentInfo). The id of the deployment that rolls
 * it back, which is to be read then with `is_rollback`; "": this one says it all. It is the tree's.
 */
const char *deployment_read_codedeploy(const struct tree *root, bool is_rollback,
                                       struct deployment *deployment);
/* DescribeTasks: the addresses of the new revision's running tasks. */
void deployment_read_addresses(const struct tree *root, struct deployment *deployment);

#endif
