"""Disks that misbehave: a small one that fills up, and one that does not finish what it writes.

SmallDisk mounts a tmpfs, which needs root and a container that allows it; without, it raises
Unavailable with a sentence. `hanging` holds the threads of the epoll engine that write
(loop/epoll.c) with ptrace(2), which a parent may do to its children: to the server, that is a disk
that does not answer. The io_uring engine writes inside the kernel, where nobody can be held.
"""

import contextlib
import ctypes
import errno
import os
import subprocess

DISK_BYTES = 64 << 20
BALLAST = "ballast"  # takes room on the small disk, as somebody else's file would

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207  # linux/ptrace.h
WALL = 0x40000000  # __WALL: wait for threads as well (waitpid(2))
SIGNALS_MOST = 60  # of 64: the writing threads block all that can be blocked, the others a few

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Unavailable(Exception):
    """This machine does not let us; the text says what is missing."""


class SmallDisk:
    """A filesystem of 64 MB at `folder`, which is made and, by `close`, removed again."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            os.rmdir(folder)
            raise Unavailable("a small disk cannot be mounted here (that takes root, and a "
                              f"container that allows it): {done.stderr.strip()}")

    def room(self):
        """Bytes that are free."""
        figures = os.statvfs(self.folder)
        return figures.f_bavail * figures.f_frsize

    def fill(self, leave):
        """Takes all room but so many bytes, and says how many it took."""
        with open(os.path.join(self.folder, BALLAST), "wb") as ballast:
            while (size := self.room() - leave) > 0:
                try:
                    os.posix_fallocate(ballast.fileno(), 0, size)
                    return size
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    # The journal took a segment meanwhile: there is less now.
        return 0

    def empty(self):
        """Gives back what `fill` took."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, BALLAST))

    def close(self):
        subprocess.run(["umount", "--lazy", self.folder], check=True, timeout=30)
        os.rmdir(self.folder)


def writers(pid):
    """The threads of a server that write its journals; none with io_uring."""
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as status:
            blocked = next(line.split()[1] for line in status if line.startswith("SigBlk:"))
        if bin(int(blocked, 16)).count("1") >= SIGNALS_MOST:
            found.append(int(thread))
    return found


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None) == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _hold(thread):
    try:
        _ptrace(PTRACE_SEIZE, thread)
    except PermissionError as error:
        raise Unavailable(f"threads cannot be held here (ptrace): {error}") from None
    _ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)


def _let_go(thread):
    """Of a killed process, too: it only ends when we have seen each of the threads that we hold."""
    try:
        _ptrace(PTRACE_DETACH, thread)
    except ProcessLookupError:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(thread, WALL)


@contextlib.contextmanager
def hanging(pid):
    """Inside, nothing that the server writes to its journals is finished; yields how many writers
    are held. The server may be killed inside, but not waited for."""
    held = []
    try:
        for thread in writers(pid):
            _hold(thread)
            held.append(thread)
        yield len(held)
    finally:
        for thread in held:
            _let_go(thread)
