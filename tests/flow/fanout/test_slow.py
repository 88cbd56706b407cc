"""1,000 subscribers of one channel, of whom 50 read nothing: the others hear everything at once,
memory stays flat, and the 50 miss nothing that retention has not taken (issue 4, item 2)."""

import os
import sys

import pytest

from penstock import until

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "pressure"))

from audience import Audience, read_until, subscriber  # noqa: E402
from memory import ENVIRONMENT, MB, Peak, assert_grown_below  # noqa: E402

AN = "00000000-0000-4000-8000-000000000001"
CHANNEL = "stream:behavior"
WINDOW = MB
SETTINGS = {"lanes": 1, "edge_threads": 1, "connections": 1200, "window_bytes": WINDOW,
            "history_bytes": 4 * MB, "heartbeat_s": 3600}
SLACK = 24 * MB  # of the allocator, and of what 50 sockets did not take of one write
PADDING = "x" * 10_000
EVENTS = 4  # of a message: what the audience's sockets hold anyway


@pytest.fixture
def server(make_server):
    return make_server(settings=SETTINGS, env=ENVIRONMENT).start()


def publish(publisher, messages, audience=None):
    """Each message is committed, and heard by the whole audience, before the next one is sent: who is
    held up by the sleepers would hold this up. Returns the newest offset."""
    for _ in range(messages):
        event = {"userId": AN, "eventType": "slow", "metadata": {"padding": PADDING}}
        newest = publisher.publish("behavior", [event] * EVENTS, ack="committed")["offset"] + EVENTS - 1
        if audience:
            audience.wait_for(newest)
    return newest


def test_fifty_of_a_thousand_read_nothing(server, database):
    publisher = server.connect()
    audience = Audience(server, 950, CHANNEL)
    asleep = [subscriber(server, CHANNEL, receive_bytes=4096) for _ in range(50)]
    publish(publisher, 5, audience)
    with Peak(server) as memory:
        newest = publish(publisher, 35, audience)
    print(f"{memory.grown / MB:.1f} MB more, while 50 of 1,000 leave 1.5 MB each")
    assert_grown_below(memory.grown, WINDOW + SLACK)
    assert audience.heard == [list(range(1, newest + 1))] * 950
    audience.close()
    assert server.metrics()["penstock_window_floor_offset"] > 30, "they must need the log"

    awake, asleep = asleep[:25], asleep[25:]
    for client in awake:
        assert read_until(client, 0, newest) == (newest, [])
    latest = publish(publisher, 100)
    for client in awake:  # so that the pages of the log in memory are these
        assert read_until(client, newest, latest) == (latest - newest, [])

    # Retention takes what the others have not read: a gap, and no cut.
    database.drop_log(newest)
    until("the server knows where the log begins",
          lambda: server.metrics()["penstock_log_floor_offset"] == newest)
    for client in asleep:
        count, ((first, last),) = read_until(client, 0, latest)
        assert count == latest - (last - first + 1)
        assert 1 < first < newest <= last < latest
    last = publish(publisher, 1)
    for client in asleep:
        assert read_until(client, latest, last) == (EVENTS, [])
        client.close()
