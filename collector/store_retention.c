/* What is not kept. */
#include "collector/store_internal.h"

/* What hangs on the assignments goes before them. */
static const enum statement forget[] = {FORGET_PROBES,      FORGET_RESOLUTIONS, FORGET_BATCHES,
                                        FORGET_ASSIGNMENTS, FORGET_SOURCES,     FORGET_CELLS,
                                        FORGET_WITNESSES,   FORGET_OWNERS,      FORGET_DIAGNOSES,
                                        FORGET_PARTS,       FORGET_ESTATE,      FORGET_RUN};

int store_forget_run(struct store *store, int64_t run)
{
    int r = store_begin_own(store);

    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof(forget) / sizeof(forget[0]) && r == 0; i++)
        r = store_finish(store, store_bind(store, forget[i], "i", run));
    return store_end_own(store, r);
}
