/* report: a run, or a gate over one, in the forms that pipelines read: JUnit XML, CSV, Markdown,
 * GitHub's annotations. */
#ifndef COLLECTOR_CLI_REPORT_H
#define COLLECTOR_CLI_REPORT_H

#include <stdbool.h>

#define REPORT_SUMMARY_MAX (1000 * 1000) /* bytes of a step's summary: GitHub takes 1 MiB */
#define REPORT_NOTES_MAX   10            /* annotations of one kind that GitHub shows of a step */

struct cJSON;

struct report {
    const struct cJSON *matrix; /* a run's document; NULL: a gate that had no run */
    const struct cJSON *gate;   /* NULL: a run by itself */
};

/* Prints it as `format` (junit, csv, markdown, github) to stdout; false: it is none of these.
 * github: annotations, one a cause, and the Markdown into the file that GITHUB_STEP_SUMMARY names.
 */
bool report_print(const struct report *report, const char *format);

#endif
