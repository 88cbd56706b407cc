"""The accounts of this folder's tests: their one table, the log and the server's counters agree."""

from penstock.accounts import is_at_rest, labelled, pending  # noqa: F401
from penstock import until


def assert_accounts(server, database):
    """Every event that this server took in had one outcome, and table, log and account agree."""
    until("nothing is on its way", lambda: is_at_rest(server.metrics()))
    metrics, log = server.metrics(), server.log()
    left = pending(metrics)
    assert not any(left.values()), left

    account = dict(database.query("SELECT stream, stored FROM penstock.stream_account"))
    stored = account.get("behavior", 0)
    assert stored == database.count("BehaviorLog")
    if log.count("ready on ") == 1:
        assert stored == labelled(metrics, "stream_committed_total")["behavior"]
    head = database.value("SELECT coalesce(max(last), 0) FROM penstock.batch WHERE last >= first")
    assert head == sum(account.values()), "an offset without its event, or the other way round"
