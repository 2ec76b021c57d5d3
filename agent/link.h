/* link: the agent's one connection to a collector, over NNG in raw request mode.
 *
 * Dials the given collectors in turn until one answers, waiting longer after each failure (with
 * jitter), and again when the link is lost. Where a name stops resolving it tries the last good
 * address: the agent must not depend on the DNS that it tests. Requests are not tracked or resent
 * here: each message says itself what it answers.
 *
 * NNG's threads only touch the fields marked as theirs; everything else belongs to the loop.
 */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H

#include "common/error.h"
#include "common/loop.h"
#include "common/options.h"

#include <stdbool.h>
#include <stddef.h>

#define LINK_BACKOFF_MIN_MS 100
#define LINK_BACKOFF_MAX_MS 15000

struct link;

struct link_events {
    void *ctx;
    void (*on_up)(void *ctx, const char *peer);
    void (*on_down)(void *ctx);
    void (*on_message)(void *ctx, const void *data, size_t length);
};

/* `urls` (tcp://HOST:PORT or ipc:///PATH) is borrowed. NULL with `err` set. */
struct link *link_new(struct loop *loop, const struct options_list *urls,
                      const struct link_events *events, struct error *err);
struct link *link_free(struct link *link);

bool link_is_up(const struct link *link);
/* 0, or -EAGAIN when the link is down or busy: the caller sends it again later. */
int link_send(struct link *link, const void *data, size_t length);
/* Gives the link up and dials again, e.g. when the collector has fallen silent. */
void link_reset(struct link *link);

#endif
