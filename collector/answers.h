/* answers: what the names resolved to, over all tasks of one run. Pure.
 *
 * Most tasks hear the same: an answer is kept once, and a row says who got it, with which TTL.
 */
#ifndef COLLECTOR_ANSWERS_H
#define COLLECTOR_ANSWERS_H

#include "proto/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answer {
    const char *name;     /* that was asked of the resolver */
    const char *asked;    /* the discovery name that led there */
    const char *type;     /* A, AAAA, SRV */
    const char *resolver; /* "hosts": /etc/hosts */
    enum proto_outcome outcome;
    const char **records; /* in order */
    size_t count;
    bool is_truncated, is_tcp;
};

/* One task's hearing of it. */
struct answer_row {
    uint32_t source; /* index into the run's sources */
    uint32_t answer; /* index into `answers` */
    int32_t ttl_s;   /* -1 unknown */
    uint32_t time_us;
    uint16_t tries;     /* queries sent for it */
    bool is_superseded; /* another server, or TCP, was asked after it */
};

struct answers {
    struct answer *answers;
    size_t count, capacity;
    struct answer_row *rows;
    size_t row_count, row_capacity;
    struct answers_key *keys; /* answers by what they say */
    struct arena arena;
};

void answers_add(struct answers *answers, size_t source, const struct proto_resolution *row);
void answers_deinit(struct answers *answers);

/* What was said of each discovery name, to be found by it. */
struct answers_index {
    const struct answers *answers;
    uint32_t *rank;  /* per answer: its place in `order` */
    uint32_t *order; /* answers by the name that led to them */
    int32_t *ttl_s;  /* per answer: the longest that anybody heard; -1 unknown */
};

void answers_index_init(struct answers_index *index, const struct answers *answers);
void answers_index_deinit(struct answers_index *index);
/* The answers about a name: numbers of `answers`, `*ret_count` of them, in the order they came. */
const uint32_t *answers_find(const struct answers_index *index, const char *name,
                             size_t *ret_count);

bool answer_is_from_hosts(const struct answer *answer);
/* It names at least one record. */
bool answer_is_good(const struct answer *answer);
/* An answer of the server that says so: not there, or not of that type. */
bool answer_is_negative(const struct answer *answer);

#endif
