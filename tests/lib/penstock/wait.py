"""Bounded waiting, and child processes that cannot outlive the test run."""

import ctypes
import os
import pwd
import signal
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

# Sanitized binaries on a loaded machine are slow; a failure may take long, a success never does.
PATIENCE_S = float(os.environ.get("PENSTOCK_TEST_PATIENCE", "30"))


def until(what, condition, timeout=None, every=0.02):
    """Polls `condition` until it answers something true, and returns that."""
    limit = PATIENCE_S if timeout is None else timeout
    end = time.monotonic() + limit
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {limit:g} s")
        time.sleep(every)


def dies_with_us(death_signal=signal.SIGKILL, user=None):
    """A preexec_fn: the child gets `death_signal` when this process is gone, however it went.

    With `user`, the child becomes that user first: the kernel forgets the death signal at a change
    of user (prctl(2), PR_SET_PDEATHSIG), hence the order.
    """
    account = pwd.getpwnam(user) if user else None

    def prepare():
        os.setsid()  # the terminal's Ctrl-C is for the test run, which stops its children itself
        if account:
            os.initgroups(account.pw_name, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)

    return prepare
