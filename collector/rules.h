/* rules: which cause explains which facts. A table; to add a cause is to add a row here and one in
 * causes.c.
 *
 * A rule is for the symptoms that it names (`seen`). Its conditions say what has to be so:
 *   IS, ISNT     has to be known to be so (not so); not known: the rule does not apply
 *   NOT          is not to be so; not known does no harm
 *   OUGHT        has to be so; not known makes it much less likely
 *   OUGHTNT      the same, not so
 *   LIKES        more likely if so, less if not
 *   DISLIKES     the other way round
 *   FAINT        less likely if so; that it is not says nothing
 *   FAINTNT      the same, if it is not so
 *   CLOSED       the configuration is to say so: then it is proven; else it speaks against it, and
 *                is shown
 * `weight` is how likely the cause is beside others that explain the same, from experience.
 */
#ifndef COLLECTOR_RULES_H
#define COLLECTOR_RULES_H

#include "collector/fact.h"
#include "collector/symptom.h"

#define RULE_SEEN_MAX       8
#define RULE_CONDITIONS_MAX 10

enum need { NEED_NONE, NEED_MUST, NEED_NEVER, NEED_OUGHT, NEED_LIKES, NEED_UNLESS, NEED_PROOF };

struct condition {
    enum need need;
    enum fact fact;
    bool yes;
};

struct rule {
    const char *cause;
    uint32_t scopes;      /* a bit for each enum scope_kind */
    unsigned weight;      /* 1 to 100; more where the cloud's view says it plainly */
    bool is_intermittent; /* what passes now and then is no contradiction */
    enum fact seen[RULE_SEEN_MAX];
    struct condition conditions[RULE_CONDITIONS_MAX];
};

extern const struct rule rules[];
extern const size_t rule_count;

/* How well the rule fits: 0 when it does not apply; else its weight times what the facts add.
 * `*ret_contradiction` is the condition that ruled it out, or all but did; NULL when none. */
double rule_score(const struct rule *rule, const struct symptom *symptom,
                  const struct condition **ret_contradiction);

/* The scopes of all rules for what was seen. */
uint32_t rule_scopes(enum fact what);

/* What a cause is called, says and advises (causes.c). */
struct cause {
    const char *code;
    enum diagnosis_stage stage;
    const char *sentence; /* with the placeholders of phrase.h */
    const char *fix;
    const char *command; /* the vendor's; NULL: there is none */
    const char *proven;  /* the sentence where the configuration says so; NULL: the same */
};

/* The configuration says what the rule needs of it. */
bool rule_is_proven(const struct rule *rule, const struct symptom *symptom);

/* Never NULL: an unknown code is the last one, "unknown". */
const struct cause *cause_find(const char *code);
extern const struct cause causes[];
extern const size_t cause_count;

#endif
