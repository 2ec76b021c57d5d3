/* agent: ties the parts together: says hello, pulls, runs sweeps, bears witness, delivers reports,
 * leaves.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "agent/host.h"
#include "agent/identity.h"
#include "agent/policy.h"
#include "agent/tls.h"
#include "common/error.h"
#include "common/loop.h"
#include "common/options.h"

#define AGENT_SWEEPS_MAX     16    /* assignments under way; further ones wait at the collector */
#define AGENT_WATCHES_MAX    16    /* watches under way; further ones are not answered */
#define AGENT_ANSWER_MS      10000 /* a hello is sent again after this without an answer */
#define AGENT_RESEND_MS      3000  /* a report, e.g. while the collector's disk is full */
#define AGENT_PULL_SILENT_MS 60000 /* a pull unanswered for so long: the link is given up */
#define AGENT_BUSY_MS        10    /* before another try, when the link takes nothing more */
#define AGENT_FLUSH_MS       100   /* rows wait at most so long for their batch to fill */
#define AGENT_LEAVE_MS       1000  /* at most, from SIGTERM to the end */
#define AGENT_REFUSED_MS     60000 /* before another hello, once refused for good */

struct agent;

/* All borrowed. */
struct agent_settings {
    const struct identity *identity;
    const struct host *host;
    const struct policy *policy;
    const struct options_list *collectors;
    struct tls *tls;
    int64_t dns_rate;         /* queries a second, at most BUDGET_DNS_MAX */
    const char *vpc_resolver; /* asked too where it is not configured; NULL or "": not */
    int64_t throughput_bytes; /* what a throughput check may read; 0: none */
};

/* NULL with `err` set. */
struct agent *agent_new(struct loop *loop, const struct agent_settings *settings,
                        struct error *err);
struct agent *agent_free(struct agent *agent);

/* Says leaving, delivers what it can, and stops the loop within AGENT_LEAVE_MS. */
void agent_leave(struct agent *agent);

#endif
