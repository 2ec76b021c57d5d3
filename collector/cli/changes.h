/* changes: what changed between two runs, as lines: what, from what to what, by whom and when. */
#ifndef COLLECTOR_CLI_CHANGES_H
#define COLLECTOR_CLI_CHANGES_H

struct cJSON;

/* A line for each: "security group sg-1 (db), ingress rule sgr-1 removed: tcp 5432 from sg-2 (web);
 * by alice at 09:41:03 (RevokeSecurityGroupIngress)". How many. */
int changes_print(const struct cJSON *list, const char *indent);
/* Where it is not known who made some of them: why that may be. */
void changes_print_note(const struct cJSON *list, const char *indent);
/* Likewise as a list of Markdown. */
int changes_print_markdown(const struct cJSON *list);

#endif
