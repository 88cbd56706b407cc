"""The accounts of a server (DESIGN section 4), which every flow test checks when it ends:

    received + replayed = committed + duplicates + dead-lettered + pending

for each stream, by the edges' and lanes' counters, and for the publishers, by the lanes' own tables.
Pending is nothing as soon as nothing is on its way. What was committed, a duplicate or dead-lettered,
penstock.account says, too, for each publisher.
"""

import collections

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
        """A lane says how far it is once a turn, behind its acks, so it may seem to rest with an event in
        hand that streams and publishers have counted. What is lost, or counted twice, stays so."""
        metrics = server.metrics()
        return metrics if (resting(metrics)
                           and sums_of_streams(metrics) == sums_of_publishers(metrics)
                           and not (settles and any(pending(metrics).values()))) else None

    try:
        metrics = until("nothing is on its way, and the accounts agree", agreed)
    except TimeoutError as error:
        metrics = server.metrics()
        raise AssertionError(
            f"{error}: by stream {sums_of_streams(metrics)}, by publisher "
            f"{sums_of_publishers(metrics)}, at rest: {is_at_rest(metrics)}; on its way, or lost, or "
            f"counted twice: {pending(metrics)}") from None
    assert pending(metrics) == labelled(metrics, "stream_pending_events")


def is_named(publisher):
    """It came with `?producer=` (record.h): penstock.account has a row for it."""
    return publisher >= "8"


def by_publisher(pages):
    """What servers say of each publisher since they began, as penstock.account says it: {publisher:
    (stored, duplicates, rejected)}. None: they do not say it of each."""
    sums = collections.defaultdict(lambda: (0, 0, 0))
    for page in pages:
        for row in page["publishers"]:
            name = row["publisher"] if is_named(row["publisher"]) else ""
            sums[name] = tuple(a + row[b] for a, b in zip(sums[name], OUTCOMES))
            assert row["received"] == sum(row[b] for b in OUTCOMES) + row["pending"], row
        if page["other"]["received"]:
            return None
    return {name: counts for name, counts in sums.items() if name or any(counts)}


def account_of(database):
    """{publisher: (stored, duplicates, rejected)}, all streams together."""
    return {publisher: tuple(int(count) for count in counts)
            for publisher, *counts in database.query(
                "SELECT publisher, sum(stored), sum(duplicates), sum(rejected)"
                " FROM penstock.account GROUP BY publisher")}


def assert_log_counts_agree(database):
    """By publisher or without: penstock.account counts the same. And the offsets count the stored. (In one
    statement: retention takes from the one and adds to the other meanwhile.)"""
    log = """SELECT s.key, coalesce(sum((s.value ->> 'stored')::bigint), 0)
        FROM penstock.batch b, jsonb_each(b.streams) s GROUP BY 1"""
    before = "SELECT stream, sum(stored) FROM penstock.account_before GROUP BY 1"
    stored = collections.Counter()
    for stream, count in database.query(f"{log} UNION ALL {before}"):
        stored[stream] += int(count)
    assert dict(database.query("SELECT stream, stored FROM penstock.stream_account")) == stored
    assert sum(stored.values()) == database.value("SELECT penstock.head()")


def assert_database_agrees(database, servers):
    """penstock.account against the tables of the servers of this database, which are at rest if they
    run. Those count from their start: behind a restart, the account has no less."""
    assert_log_counts_agree(database)
    launches = sum(server.launches for server in servers)
    pages = [server.publishers() for server in servers if server.running]
    if None in pages:
        return
    said = by_publisher(pages)
    nodes = {name for name, in database.query(
        "SELECT node FROM penstock.batch UNION SELECT node FROM penstock.checkpoint")}
    if said is None or not nodes <= {page["node"] for page in pages}:
        return  # others have written, too: rows from SQL, retried letters, servers that are gone
    account = account_of(database)
    if launches == len(pages):
        assert account == said
    for name, counts in said.items():
        known = account.get(name, (0, 0, 0))
        assert all(ours <= theirs for ours, theirs in zip(counts, known)), (name, counts, known)
