"""The short form of chaos.py: some rounds of each kind of fault under load, and the checker.

The same in full, with the same seed: tests/flow/chaos/chaos.py --seed N
"""

import pytest

from disk import Unavailable
from faults import KINDS, run_kind


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_acknowledged_is_lost_and_nothing_is_stored_twice(postgres, seed, tmp_path, kind):
    """Whatever befalls server, database, network or disk: acked ⊆ stored ⊆ sent, each event once,
    in its publisher's order, pushed to whom it concerns, and accounted for."""
    try:
        rounds, figures = run_kind(postgres, kind, seed, str(tmp_path), is_full=False, say=print)
    except Unavailable as reason:
        pytest.skip(str(reason))
    print(figures)
    assert rounds > 0 and figures["acked"] > 0
    assert kind != "fanout" or (figures["pushed"] > 0 and figures["gaps"] == 0)
