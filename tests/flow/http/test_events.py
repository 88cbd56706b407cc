"""GET /v1/channels/{channel}/events: pages that join without a seam, and streams that resume."""

import os
import sys
import time

import pytest

from penstock import until

sys.path.insert(0, os.path.dirname(__file__))

from requests import CHANNEL, Connection, Stream, event  # noqa: E402

BINH = "00000000-0000-4000-8000-000000000002"
SMALL = {"window_bytes": "1MB", "history_bytes": "4MB", "http_wait_ms": 2000}
TEXT = "x" * 2000


@pytest.fixture
def filled(make_server):
    """1000 events, of which the window holds the last few hundred."""
    server = make_server(settings=SMALL).start()
    client = server.connect()  # it waits for as long as a commit takes, and not http_wait_ms
    for first in range(0, 1000, 100):
        client.publish("behavior", [event(first + n, metadata={"text": TEXT}) for n in range(100)], ack="committed")
    client.close()
    until("the window reaches the end",
          lambda: server.metrics()["penstock_window_head_offset"] == 1000)
    assert server.metrics()["penstock_window_floor_offset"] > 400
    return server


def test_pages_join_without_a_seam(filled):
    """From the first event to the last, page by page on one connection, through log and window."""
    with Connection(filled) as connection:
        got, since, pages = [], 0, 0
        while True:
            page = connection.page(f"?since={since}&limit=90")
            assert page["recovered"] is True and "gap" not in page
            assert len(page["events"]) <= 90
            got += [each["offset"] for each in page["events"]]
            since, pages = page["offset"], pages + 1
            if not page["more"]:
                break
        assert got == list(range(1, 1001)) and since == 1000 and pages > 10
        newest = connection.page()
        assert [each["offset"] for each in newest["events"]] == list(range(901, 1001))
        assert connection.page("?last=3")["events"] == newest["events"][-3:]
        deep = connection.page("?last=700&limit=5")
        assert [each["offset"] for each in deep["events"]] == list(range(301, 306)) and deep["more"]
        assert newest["events"][0]["data"]["metadata"] == {"text": TEXT}
        other = connection.page("?since=5&epoch=another")
        assert other["recovered"] is False and other["events"] == [] and other["reason"]


def test_a_page_is_bounded_in_bytes(filled):
    """A page of large events ends early, and says that there is more."""
    with Connection(filled) as connection:
        page = connection.page("?since=0&limit=1000")
        assert page["more"] is True and 50 < len(page["events"]) < 200
        assert page["offset"] == page["events"][-1]["offset"] == len(page["events"])


def test_retention_is_told(filled, database):
    """What retention took is named by `gap`; what is left follows."""
    database.drop_log(200)
    until("the server knows where the log begins",
          lambda: filled.metrics()["penstock_log_floor_offset"] >= 100)
    floor = int(filled.metrics()["penstock_log_floor_offset"])
    with Connection(filled) as connection:
        page = connection.page("?since=10&limit=5")
        assert page["recovered"] is False and page["gap"] == {"from": 11, "to": floor}
        assert [each["offset"] for each in page["events"]] == list(range(floor + 1, floor + 6))
    stream = Stream(filled, "?since=10")
    assert stream.next()[2]["recovered"] is False
    name, identity, gap = stream.next()
    assert (name, gap["from"], gap["to"]) == ("gap", 11, floor) and identity.endswith(f":{floor}")
    assert stream.offsets(1000 - floor) == list(range(floor + 1, 1001))
    stream.close()


def test_without_postgres_the_window_still_serves(filled, postgres):
    """What is in memory is answered; what only the log has is 503 with Retry-After."""
    postgres.stop("immediate")
    with Connection(filled) as connection:
        assert connection.page("?last=5")["more"] is False
        status, headers, answer = connection.ask("GET", CHANNEL + "?since=0")
        assert status == 503 and answer["code"] == "unavailable" and int(headers["retry-after"]) > 0
        assert connection.page("?last=5")["events"]


def test_a_stream_is_live_and_resumes_where_it_was(make_server):
    """Events come as they commit; after kill -9 the stream goes on behind the last id, none lost."""
    server = make_server(settings={"heartbeat_s": 1}).start()
    with Connection(server) as connection:
        stream = Stream(server)
        name, _, first = stream.next()
        assert name == "subscribed" and first["recovered"] is True and stream.retry > 0
        for n in range(20):
            assert connection.post(event(n), "?ack=committed")[0] == 200
        assert stream.offsets(20) == list(range(1, 21))
        assert stream.id == f"{first['epoch']}:20"

        def comment_after_silence():
            time.sleep(2.5)
            assert connection.post(event(0), "?ack=committed")[0] == 200
            return stream.offsets(1) and stream.comments

        until("a comment keeps it alive", comment_after_silence)
        last = stream.id
    server.kill()
    stream.close()
    server.start()
    with Connection(server) as connection:
        seen = int(last.split(":")[1])
        assert connection.post([event(n) for n in range(50)], "?ack=committed")[0] == 200
        stream = Stream(server, last_event_id=last)
        assert stream.next()[2] == {"channel": "stream:behavior", "epoch": first["epoch"],
                                    "offset": seen, "recovered": True}
        assert stream.offsets(50) == list(range(seen + 1, seen + 51))
        stream.close()
        foreign = Stream(server, last_event_id="11111111-1111-1111-1111-111111111111:5000000000")
        assert foreign.next()[2]["recovered"] is False
        server.stop()
        name, _, goodbye = foreign.next()
        assert name == "closing" and goodbye["reason"] and foreign.retry >= 2000
        assert foreign.next() is None


def test_a_quiet_stream_resumes_above_what_retention_took(make_server, database):
    """Its only event has left the log when it comes back, and much that it had no part in was there: it has missed
    nothing, and is told of no gap. The comments that keep it alive say how far it is."""
    server = make_server(settings={"heartbeat_s": 1}).start()
    quiet = f"/v1/channels/user:{BINH}/events"
    with Connection(server) as connection:
        stream = Stream(server, channel=quiet)
        epoch = stream.next()[2]["epoch"]
        assert connection.post(event(0, userId=BINH), "?ack=committed")[0] == 200
        assert stream.offsets(1) == [1]
        for first in range(1, 200, 20):
            assert connection.post([event(first + n) for n in range(20)], "?ack=committed")[0] == 200
        until("a comment says how far it is", lambda: stream.comment() == f"{epoch}:201")
    stream.close()
    server.stop()
    database.drop_log(101)
    server.start()
    with Connection(server) as connection:
        page = connection.page("?since=1")
        assert page["recovered"] is False and page["gap"] == {"from": 2, "to": 101}
        stream = Stream(server, last_event_id=stream.id, channel=quiet)
        assert stream.next()[2] == {"channel": f"user:{BINH}", "epoch": epoch, "offset": 201, "recovered": True}
        assert connection.post(event(201, userId=BINH), "?ack=committed")[0] == 200
        assert stream.offsets(1) == [202]
    stream.close()


def test_a_stream_that_is_not_read_costs_nothing_and_misses_nothing(filled):
    """A client that stops reading falls behind into the log, and gets all of it when it reads."""
    stream = Stream(filled, "?since=0")
    assert stream.next()[0] == "subscribed"
    with Connection(filled) as connection:
        for first in range(1000, 4000, 100):
            events = [event(first + n, metadata={"text": TEXT}) for n in range(100)]
            assert connection.post(events, "?ack=committed")[0] == 200
    assert stream.offsets(4000) == list(range(1, 4001))
    stream.close()
