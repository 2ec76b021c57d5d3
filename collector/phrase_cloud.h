/* phrase_cloud: what phrases say out of the cloud's view: ids, events, rules. What is not known is
 * said in <angle brackets>. Part of diagnose. */
#ifndef COLLECTOR_PHRASE_CLOUD_H
#define COLLECTOR_PHRASE_CLOUD_H

#include "collector/phrase.h"

/* False: there is no such placeholder. */
bool phrase_put_cloud(const struct phrase *phrase, const char *name, size_t length,
                      struct buf *out);

#endif
