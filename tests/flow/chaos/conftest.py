"""The modules of this folder (load, checker, proxy, world …) are imported by name."""

import os
import random
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

SEED = int(os.environ.get("PENSTOCK_CHAOS_SEED", random.SystemRandom().randrange(10**9)))


def pytest_report_header():
    return f"PENSTOCK_CHAOS_SEED={SEED}"


@pytest.fixture
def seed():
    """A new one for each run; a failed test shows it, and PENSTOCK_CHAOS_SEED gives it again."""
    print(f"PENSTOCK_CHAOS_SEED={SEED}")
    return SEED
