/* status: a set of HTTP statuses as text, "200-299,404"; the fleet file and the wire use it. */
#ifndef PROTO_STATUS_H
#define PROTO_STATUS_H

#include <stdbool.h>

#define STATUS_SET_DEFAULT "200-299"

bool status_set_is_valid(const char *set); /* statuses 100 to 599, ranges ascending, not empty */
bool status_set_contains(const char *set, int status);

#endif
