/* alerts: what changed about incidents with each run, into the store's outbox, and out of it to the
 * destinations.
 *
 * A run, the incidents that it changes and what is to be sent of it are one transaction: nothing is
 * told twice, and nothing forgotten, whenever the collector ends. Each destination takes its
 * messages one by one, in order; what it does not take is tried again, later and later, over
 * restarts, for ALERT_GIVE_UP_MS. It holds up neither runs nor other destinations. A message that
 * was taken, and whose answer was lost, comes again with the same id: at least once.
 */
#ifndef COLLECTOR_ALERT_ALERTS_H
#define COLLECTOR_ALERT_ALERTS_H

#include "collector/alert/message.h"
#include "collector/run.h"
#include "common/loop.h"

#define ALERT_DESTINATIONS_MAX 32
#define ALERT_BACKOFF_MS       5000 /* doubled with each try, up to ... */
#define ALERT_BACKOFF_MAX_MS   900000
#define ALERT_GIVE_UP_MS       (7LL * 86400000)
#define ALERT_REFUSED_MAX                                                  \
    10 /* tries of what is refused (4xx): the next one is to have its turn \
        */
#define ALERT_TIMEOUT_MS 15000

struct alert_settings {
    const struct destination *destinations;
    size_t count;
    int64_t remind_ms, backoff_ms;
    const char *url; /* of the page, for people; "": none */
    bool wants_observed, wants_warnings;
    bool takes_manual; /* runs on demand, too */
};

struct aws;
struct alerts;

/* All borrowed. `aws` NULL: none. NULL with `err`. */
struct alerts *alerts_new(struct loop *loop, struct runs *runs, struct aws *aws,
                          const struct alert_settings *settings, void (*commit)(void *ctx),
                          void *ctx, struct error *err);
struct alerts *alerts_free(struct alerts *alerts); /* accepts NULL */

/* A run was judged. */
void alerts_run_judged(struct alerts *alerts);

/* Messages that wait, or were given up, in Prometheus' text format. */
void alerts_put_metrics(const struct alerts *alerts, struct buf *out);
/* {schema, incidents [...], destinations [{name, type, pending, failed, error}]} */
void alerts_view(const struct alerts *alerts, bool only_open, struct buf *out);

#endif
