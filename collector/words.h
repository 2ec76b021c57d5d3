/* words: what was observed, as a person says it. */
#ifndef COLLECTOR_WORDS_H
#define COLLECTOR_WORDS_H

#include "common/buf.h"
#include "proto/outcome.h"

#include <stdint.h>

/* "no answer to the connection attempt (time-out)", "HTTP 503", ... */
void words_put(enum proto_phase phase, enum proto_outcome outcome, int64_t error, int64_t status,
               struct buf *out);
/* "ECONNREFUSED"; "" for none. */
const char *words_errno(int64_t error);

#endif
