#include "agent/sandbox.h"

#include "common/text.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

/* By what needs them. Names, since not every architecture has all of them. */
static const char *const allowed[] = {
    /* memory and threads: the C library, NNG's pools */
    "brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise", "futex", "futex_time64",
    "futex_waitv", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "membarrier",
    "prctl", "arch_prctl", "gettid", "getpid", "set_tid_address",
    /* files, for reading: resolv.conf, hosts, certificates, /proc */
    "read", "readv", "pread64", "write", "writev", "close", "lseek", "_llseek", "fstat", "fstat64",
    "newfstatat", "fstatat64", "statx", "stat", "stat64", "access", "faccessat", "faccessat2",
    "fcntl", "fcntl64", "getdents64", "readlink", "readlinkat", "getcwd", "dup",
    /* sockets, but no port of our own */
    "connect", "getsockname", "getpeername", "getsockopt", "setsockopt", "sendto", "sendmsg",
    "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown", "socketpair", "ioctl",
    /* waiting */
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
    "ppoll_time64", "select", "pselect6", "pselect6_time64", "eventfd2", "pipe2", "signalfd4",
    "timerfd_create", "timerfd_settime", "nanosleep", "clock_nanosleep", "clock_nanosleep_time64",
    "alarm", "setitimer", "restart_syscall",
    /* time, chance, signals, the end */
    "clock_gettime", "clock_gettime64", "clock_getres", "gettimeofday", "time", "getrandom",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "tgkill", "exit", "exit_group",
    /* who and where we are */
    "getuid", "geteuid", "getgid", "getegid", "uname", "sysinfo", "getrlimit", "prlimit64",
    "getrusage"};

/* What would only ever be called by somebody who has taken over. */
static const char *const deadly[] = {
    /* clang-format off */
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "listen", "accept",
    "accept4", "fork", "vfork", "setuid", "setgid", "setresuid", "setns", "unshare", "mount",
    "umount2", "pivot_root", "chroot", "init_module", "finit_module", "bpf", "keyctl",
    /* clang-format on */
};

int sandbox_drop_root(bool *ret_dropped, struct error *err)
{
    *ret_dropped = false;
    if (geteuid() != 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(SANDBOX_USER, SANDBOX_USER, SANDBOX_USER) < 0 ||
        setresuid(SANDBOX_USER, SANDBOX_USER, SANDBOX_USER) < 0)
        return error_set(err, -errno, "cannot become user %d: %s", SANDBOX_USER, strerror(errno));
    *ret_dropped = true;
    return 0;
}

static int add_names(scmp_filter_ctx filter, uint32_t action, const char *const *names,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        int r = number == __NR_SCMP_ERROR || number < 0
                    ? 0 /* this architecture has none such */
                    : seccomp_rule_add(filter, action, number, 0);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_rules(scmp_filter_ctx filter)
{
    const uint64_t writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
    int r = add_names(filter, SCMP_ACT_ALLOW, allowed, ARRAY_SIZE(allowed));

    if (r == 0)
        r = add_names(filter, SCMP_ACT_KILL_PROCESS, deadly, ARRAY_SIZE(deadly));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, writing, 0));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, writing, 0));
    /* Threads, not processes. clone3 hides its flags from a filter: the C library falls back. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    for (size_t i = 0; i < 3 && r == 0; i++) {
        const int families[] = {AF_UNIX, AF_INET, AF_INET6};
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
    }
    /* The witness asks the kernel for the task's sockets; no other netlink. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                             SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0),
                             SCMP_A2(SCMP_CMP_EQ, NETLINK_SOCK_DIAG, 0));
    return r;
}

int sandbox_enter(struct error *err)
{
    scmp_filter_ctx filter;
    int r;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(err, -errno, "no_new_privs: %s", strerror(errno));
    if (IS_SANITIZED)
        return error_set(err, -ENOSYS, "built with a sanitizer, which needs more system calls");
    filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!filter)
        return error_set(err, -ENOMEM, "seccomp: no memory");
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list: each call pays */
    r = add_rules(filter);
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r < 0 ? error_set(err, r == -EINVAL || r == -ECANCELED ? -ENOSYS : r, "seccomp: %s",
                             strerror(-r))
                 : 0;
}
