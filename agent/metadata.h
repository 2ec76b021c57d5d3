/* metadata: the ECS task metadata endpoint, version 4: ${ECS_CONTAINER_METADATA_URI_V4}/task
 * (Amazon ECS Developer Guide, "task metadata endpoint version 4").
 *
 * A link-local HTTP server: plain http, a numeric address. Asked once at the start, when there is
 * nothing else to do (metadata_fetch), and for each witness from the loop (metadata_ask).
 */
#ifndef AGENT_METADATA_H
#define AGENT_METADATA_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/error.h"
#include "common/loop.h"
#include "proto/proto.h"

#define METADATA_ENV            "ECS_CONTAINER_METADATA_URI_V4"
#define METADATA_MAX            (256 * 1024) /* bytes of the answer */
#define METADATA_MS             2000         /* for the whole exchange */
#define METADATA_CONTAINERS_MAX 32

/* The document's text; blocks for METADATA_MS at most. `url` is what METADATA_ENV holds. 0 or a
 * negative errno with `err` set. */
int metadata_fetch(const char *url, struct buf *ret_document, struct error *err);

/* The containers of a document and the task's "family:revision" ("" if it does not say); of the
 * arena. Damage reads as no containers. */
void metadata_read_containers(const char *json, size_t length, int64_t now_s, struct arena *arena,
                              struct proto_witness *witness);

struct metadata_request;
/* Called once; NULL: no answer that can be read. */
typedef void (*metadata_fn)(void *ctx, const struct buf *document);

/* NULL when there is no such endpoint; else `fn` is called from the loop. */
struct metadata_request *metadata_ask(struct loop *loop, metadata_fn fn, void *ctx);
/* Also before the answer: then `fn` is not called any more. */
struct metadata_request *metadata_free(struct metadata_request *request);

#endif
