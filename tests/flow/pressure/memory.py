"""How much memory a server takes, and whether that says anything about it."""

import threading

from penstock import binary

KB = 1 << 10
MB = 1 << 20

# Under AddressSanitizer freed memory is reused at once, so that growth can be told, and no thread has a second
# stack of some megabytes (for which the default differs between compilers).
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:quarantine_size_mb=1:"
                               "thread_local_quarantine_size_kb=64:detect_stack_use_after_return=0"}


def sanitizer():
    """What the binary was built with: "address", "thread" or None."""
    with open(binary(), "rb") as file:
        content = file.read()
    return "address" if b"__asan_init" in content else "thread" if b"__tsan_init" in content else None


def assert_grown_below(grown, most):
    """ThreadSanitizer keeps several bytes for each that was ever touched: there it says nothing."""
    assert grown < most or sanitizer() == "thread", f"{grown / MB:.0f} MB more, {most / MB:.0f} allowed"


def assert_growth_below(server, started_with, most):
    assert_grown_below(server.memory_bytes() - started_with, most)


class Peak:
    """The most that a server's resident memory grows inside a `with` block.

        with Peak(server) as memory:
            …
        assert_grown_below(memory.grown, 16 * MB)
    """

    def __init__(self, server):
        self.server, self.started_with = server, server.memory_bytes()
        self._highest, self._over = self.started_with, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._over.wait(0.05):
            self._look()

    def _look(self):
        self._highest = max(self._highest, self.server.memory_bytes())

    @property
    def grown(self):
        return self._highest - self.started_with

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._look()
