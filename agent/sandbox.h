/* sandbox: gives up, for good, what the agent never needs: root, new privileges, and every system
 * call but those of a program that reads files, connects, and waits (seccomp(2)).
 *
 * Opening a port, writing a file, starting a program: none of it is possible afterwards, whatever a
 * bug or a hostile answer may bring about.
 */
#ifndef AGENT_SANDBOX_H
#define AGENT_SANDBOX_H

#include "common/error.h"

#include <stdbool.h>

#define SANDBOX_USER 65534 /* nobody */

/* If started as root: becomes nobody, without groups and capabilities. `*ret_dropped`: whether. */
int sandbox_drop_root(bool *ret_dropped, struct error *err);

/* No new privileges, and the filter, for this and every later thread. What is not on the list fails
 * with ENOSYS; execve, ptrace, listen and their like end the process. -ENOSYS where the kernel (or
 * a sanitizer's build) does not allow a filter: the caller may go on. */
int sandbox_enter(struct error *err);

#endif
