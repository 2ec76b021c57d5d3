/* inquiry: what AWS kept of the past of a run that failed: who changed what (CloudTrail), what the
 * VPC's flow logs have of the failing connections, the last lines of unhealthy tasks' logs.
 *
 * All of it is late by nature: CloudTrail by up to 15 minutes, flow logs by 1 to 10 (Amazon VPC
 * User Guide, "Flow log limitations": AWS CloudTrail User Guide, "Viewing events"). What is not
 * there yet proves nothing.
 */
#ifndef COLLECTOR_CLOUD_INQUIRY_H
#define COLLECTOR_CLOUD_INQUIRY_H

#include "collector/cloud/aws.h"
#include "collector/cloud/estate.h"

#define INQUIRY_RESOURCES_MAX  8 /* CloudTrail takes two calls a second */
#define INQUIRY_INTERFACES_MAX 8
#define INQUIRY_TASKS_MAX      4
#define INQUIRY_FLOWS_MS       600000 /* of the flow logs the last ten minutes */
#define INQUIRY_FLOWS_MAX      200
#define INQUIRY_LINES_MAX      10

struct inquiry_task {
    const char *task, *container, *group, *stream;
};

/* Its memory is of the arena. */
struct inquiry_request {
    struct record_list resources;  /* texts: ids that changed */
    struct record_list interfaces; /* texts: ids of both ends of what fails */
    struct record_list tasks;      /* inquiry_task */
    int64_t since_ms, now_ms;      /* wall clock: of the events; of the run */
    struct arena arena;
};

void inquiry_request_deinit(struct inquiry_request *request);
/* There is something to be asked. */
bool inquiry_request_has_any(const struct inquiry_request *request);

struct inquiry;
/* ESTATE_TRAIL, ESTATE_FLOW_LOGS, ESTATE_FLOWS, ESTATE_LOG_LINES, ESTATE_MISSING. The callee's.
 * Never called before inquiry_begin() has returned. */
typedef void (*inquiry_fn)(void *ctx, struct estate *estate);

/* Takes over the request's memory. Answers after `deadline_ms` at the latest. */
struct inquiry *inquiry_begin(struct aws *aws, struct loop *loop, struct inquiry_request *request,
                              int64_t deadline_ms, inquiry_fn fn, void *ctx);
struct inquiry *inquiry_cancel(struct inquiry *inquiry); /* accepts NULL */

/* A line of a flow log in its log's format ("${version} ${account-id} ..."; "": the default one).
 * False: it is none, or has no addresses. */
bool inquiry_read_flow(struct arena *arena, const char *format, const char *line,
                       struct estate_flow *ret_flow);

#endif
