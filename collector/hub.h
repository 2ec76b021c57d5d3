/* hub: where agents come in: one NNG reply socket in raw mode.
 *
 * A raw socket hands each request over as a plain message whose header leads the answer back, so
 * that thousands of unanswered pulls cost nothing but their headers. An answer to an agent that is
 * gone is dropped by NNG.
 */
#ifndef COLLECTOR_HUB_H
#define COLLECTOR_HUB_H

#include "common/error.h"
#include "common/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HUB_HEADER_MAX 64

struct hub;

/* The way back for one answer. */
struct hub_ticket {
    uint8_t header[HUB_HEADER_MAX];
    size_t length; /* 0: none, or used up */
    uint32_t link; /* the connection it came over */
};

struct hub_events {
    void *ctx;
    void (*on_message)(void *ctx, const struct hub_ticket *ticket, const void *data, size_t length);
    void (*on_link_down)(void *ctx, uint32_t link);
};

/* Listens on `url` (tcp://ADDRESS:PORT or ipc:///PATH). NULL with `err` set. */
struct hub *hub_new(struct loop *loop, const char *url, const struct hub_events *events,
                    struct error *err);
struct hub *hub_free(struct hub *hub);

/* Answers once; the ticket is used up. */
void hub_answer(struct hub *hub, struct hub_ticket *ticket, const void *data, size_t length);

#endif
