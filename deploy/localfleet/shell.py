"""Running commands: as they are, inside a task, as the task's user."""

import os
import shutil
import subprocess

NOBODY = 65534
SYSTEM_PYTHON = "/usr/bin/python3"  # the one that Debian's modules are for

# A task sees its own resolv.conf and hosts file, as a container does.
ENTER = """
mount --bind "$1/resolv.conf" /etc/resolv.conf && mount --bind "$1/hosts" /etc/hosts || exit 126
[ "$2" = rw ] || mount -o remount,bind,ro / || exit 126
shift 2; exec "$@"
"""


def run(command, text=None):
    """Runs to the end; raises with what it said when it fails."""
    result = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:6])}: {result.stderr.strip() or result.returncode}")
    return result.stdout


def is_real_root():
    """Root of the machine, not only of an own user namespace (which maps one single id)."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return int(file.read().split()[2]) > 1


def as_nobody():
    """What has to stand before a command so that it is not root: databases insist, agents should."""
    if is_real_root():
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    return ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]


def give_to_nobody(path):
    """In a user namespace of our own the files are nobody's already."""
    if is_real_root():
        os.chown(path, NOBODY, NOBODY)


def in_host(state, host, command, privileged=False, read_only=False):
    """`command` inside a task's (or the collector's ...) namespaces. It execs all the way: the pid
    that is started is the command's own."""
    folder = os.path.join(state, "hosts", host)
    return ["nsenter", f"--net=/run/netns/{host}", "unshare", "--mount", "sh", "-c", ENTER, "sh", folder,
            "ro" if read_only else "rw", *([] if privileged else as_nobody()), *command]


def need(program, package, *places):
    """The path of a program, or an error that names its package."""
    path = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", *places]))
    if not path:
        raise RuntimeError(f"{program} is not installed: apt-get install {package}")
    return path
