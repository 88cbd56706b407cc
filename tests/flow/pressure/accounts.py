"""The accounts: received = committed + duplicates + dead-lettered + pending (DESIGN section 4)."""

from penstock import until

OUTCOMES = ("committed", "duplicates", "dead_lettered")


def labelled(metrics, name):
    """{label's value: number} of one metric family with one label."""
    prefix = f"penstock_{name}{{"
    return {key.split('"')[1]: value for key, value in metrics.items() if key.startswith(prefix)}


def pending(metrics):
    """Events of each stream that were taken in, and of which nothing else is said yet."""
    received = labelled(metrics, "stream_received_total")
    for outcome in OUTCOMES:
        for stream, count in labelled(metrics, f"stream_{outcome}_total").items():
            received[stream] -= count
    return received


def is_at_rest(metrics):
    """Nothing is on its way: neither in a ring, nor in a journal, nor in a transaction."""
    return (not any(value for name, value in metrics.items() if name.startswith("penstock_ring_used"))
            and labelled(metrics, "lane_durable_sequence")
            == labelled(metrics, "lane_committed_sequence")
            and all(labelled(metrics, "lane_database_ready").values()))


def assert_accounts(server, database):
    """Every event that this server took in had one outcome, and table, log and account agree.

    What a replay brought in was received by a process that is no more: there the metrics of this one
    have outcomes to spare.
    """
    until("nothing is on its way", lambda: is_at_rest(server.metrics()))
    metrics, log = server.metrics(), server.log()
    left = pending(metrics)
    replayed = "replays frames" in log
    assert all(count == 0 or (replayed and count < 0) for count in left.values()), left

    account = dict(database.query("SELECT stream, stored FROM penstock.account"))
    stored = account.get("behavior", 0)
    assert stored == database.count("BehaviorLog")
    if log.count("ready on ") == 1:
        assert stored == labelled(metrics, "stream_committed_total")["behavior"]
    head = database.value("SELECT coalesce(max(last), 0) FROM penstock.batch WHERE last >= first")
    assert head == sum(account.values()), "an offset without its event, or the other way round"
