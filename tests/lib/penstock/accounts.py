"""The accounts of a server (DESIGN section 4), which every flow test checks when it ends:

    received + replayed = committed + duplicates + dead-lettered + pending

for each stream, by the edges' and lanes' counters, and for the sum of all publishers, by the lanes'
own tables. Pending is nothing as soon as nothing is on its way.
"""

from .wait import until

OUTCOMES = ("committed", "duplicates", "dead_lettered")


def labelled(metrics, name):
    """{label's value: number} of one metric family with one label."""
    prefix = f"penstock_{name}{{"
    return {key.split('"')[1]: value for key, value in metrics.items() if key.startswith(prefix)}


def pending(metrics):
    """Events of each stream that were taken in, and of which nothing else is said yet."""
    left = labelled(metrics, "stream_received_total")
    for stream, count in labelled(metrics, "stream_replayed_total").items():
        left[stream] += count
    for outcome in OUTCOMES:
        for stream, count in labelled(metrics, f"stream_{outcome}_total").items():
            left[stream] -= count
    return left


def rings_are_empty(metrics):
    return not any(value for name, value in metrics.items()
                   if name.startswith("penstock_ring_used"))


def is_at_rest(metrics):
    """Nothing is on its way: neither in a ring, nor in a journal, nor in a transaction."""
    return (rings_are_empty(metrics)
            and labelled(metrics, "lane_durable_sequence")
            == labelled(metrics, "lane_committed_sequence")
            and all(labelled(metrics, "lane_database_ready").values()))


def sums_of_streams(metrics):
    sums = {outcome: sum(labelled(metrics, f"stream_{outcome}_total").values())
            for outcome in OUTCOMES}
    sums["received"] = sum(labelled(metrics, "stream_received_total").values()) + sum(
        labelled(metrics, "stream_replayed_total").values())
    sums["pending"] = sum(labelled(metrics, "stream_pending_events").values())
    return sums


def sums_of_publishers(metrics):
    sums = {what: sum(labelled(metrics, f"publisher_{what}_total").values())
            for what in ("received", *OUTCOMES)}
    sums["pending"] = sum(labelled(metrics, "publisher_pending_events").values())
    return sums


def assert_accounts_add_up(server, settles=True):
    """Waits until nothing is on its way; where something will stay (`settles` is false, PostgreSQL
    is away, say), until the edges have handed over all they took in."""
    resting = is_at_rest if settles else rings_are_empty

    def agreed():
        metrics = server.metrics()
        return metrics if (resting(metrics)
                           and sums_of_streams(metrics) == sums_of_publishers(metrics)) else None

    try:
        metrics = until("nothing is on its way, and the accounts agree", agreed)
    except TimeoutError as error:
        metrics = server.metrics()
        raise AssertionError(
            f"{error}: by stream {sums_of_streams(metrics)}, by publisher "
            f"{sums_of_publishers(metrics)}, at rest: {is_at_rest(metrics)}") from None
    left = pending(metrics)
    assert left == labelled(metrics, "stream_pending_events")
    assert not settles or not any(left.values()), f"lost, or counted twice: {left}"
