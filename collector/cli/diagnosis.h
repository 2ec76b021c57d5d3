/* diagnosis: what the collector says is the cause, for a person: as text, and as Markdown.
 */
#ifndef COLLECTOR_CLI_DIAGNOSIS_H
#define COLLECTOR_CLI_DIAGNOSIS_H

#include <stdbool.h>

struct cJSON;

/* All diagnoses of a run (`document` is its matrix), most cells first; nothing when there is none.
 */
void diagnosis_print_all(const struct cJSON *document);
/* Whether a diagnosis explains the cell, so that it need not be told by itself. */
bool diagnosis_explains(const struct cJSON *document, const struct cJSON *cell);

/* Of one pair (`document` is the pair's): cause, how sure, where it broke, evidence, fix, what was
 * ruled out, what changed. */
void diagnosis_print_pair(const struct cJSON *document);
/* The same as a Markdown page, headed by the pair. */
void diagnosis_print_markdown(const struct cJSON *document);

#endif
