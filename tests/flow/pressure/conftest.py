"""Every test of this folder ends with its servers' accounts (accounts.py)."""

import pytest
from accounts import assert_accounts


@pytest.fixture
def make_server(request, make_server, database):
    """As everywhere; servers that still run when the test ends must account for every event."""
    made = []

    def make(**options):
        made.append(make_server(**options))
        return made[-1]

    yield make
    if getattr(request.node, "failed", False):
        return
    for server in made:
        if server.running:
            assert_accounts(server, database)
