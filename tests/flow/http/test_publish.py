"""POST /v1/streams/{stream}/events: every kind of body, every answer, and what an outage does to it."""

import json
import os
import subprocess
import sys

import msgpack

from penstock import until
from penstock.recorded import add_users, needs_recorded, recorded_lines

sys.path.insert(0, os.path.dirname(__file__))

from requests import AN, NOBODY, POST, TYPES, Connection, event  # noqa: E402

# The least that the settings allow: the quota is reached after some 16 MB.
SMALL = {"lanes": 1, "edge_threads": 1, "journal_segment_bytes": "8MB", "journal_bytes": "16MB",
         "ring_bytes": "4MB", "lane_memory_bytes": "8MB", "http_wait_ms": 1000}


def bodies(lines, kind, size=100):
    for first in range(0, len(lines), size):
        part = lines[first:first + size]
        if kind == "ndjson" or kind == "text":
            yield "\n".join(part).encode()
        elif kind == "json":
            yield ("[" + ",".join(part) + "]").encode()
        else:
            yield msgpack.packb([json.loads(line) for line in part], use_bin_type=True)


@needs_recorded
def test_recorded_events_in_every_kind_of_body(server, database):
    """The same events in four kinds of body, over one connection: stored once, the others are
    duplicates, and what is stored is what was sent."""
    lines = recorded_lines("behavior", 1000)
    events = [json.loads(line) for line in lines]
    for number, sent in enumerate(events):
        sent["id"] = f"0190b3b8-0000-7000-8000-{number:012d}"
    add_users(database, events)
    lines = [json.dumps(sent) for sent in events]
    with Connection(server) as connection:
        for turn, kind in enumerate(TYPES):
            answers = [connection.post(body, "?ack=committed&producer=one", kind)
                       for body in bodies(lines, kind)]
            assert [status for status, _, _ in answers] == [200] * len(answers), answers[0]
            assert sum(answer["count"] for _, _, answer in answers) == len(events)
            duplicates = sum(answer["duplicates"] for _, _, answer in answers)
            assert duplicates == (len(events) if turn > 0 else 0)
    rows = database.query('SELECT id::text, "userId"::text, metadata FROM "BehaviorLog"')
    stored = {row[0]: row[1:] for row in rows}
    assert len(rows) == len(events)
    for sent in events:
        assert stored[sent["id"]][0] == sent["userId"]


def test_every_answer_on_one_connection(server, database):
    """Levels, refusals and rejections, one after another on one connection that is kept, until a refusal comes
    before the body."""
    with Connection(server) as connection:
        assert connection.post(event(1))[2] == {"level": "durable", "count": 1, "duplicates": 0}
        status, _, answer = connection.post([event(2), event(3)], "?ack=committed")
        assert (status, answer) == (200, {"level": "committed", "count": 2, "duplicates": 0,
                                          "offset": answer["offset"]})
        assert connection.post(event(4), "?ack=none")[::2] == (202, {"level": "none", "count": 1})
        status, _, answer = connection.post([event(5), {"userId": AN}])
        assert status == 422 and answer["code"] == "invalid_event" and answer["index"] == 1
        assert "eventType" in answer["message"] and answer["field"] == "eventType"
        status, _, answer = connection.post([event(6), event(7, userId=NOBODY)], "?ack=committed")
        assert status == 422 and answer["code"] == "rejected_by_database" and answer["rejected"] == 1
        assert [error["index"] for error in answer["errors"]] == [1]
        assert answer["stored"]["count"] == 1
        many = [event(n, userId=NOBODY) for n in range(50)]
        status, _, answer = connection.post(many, "?ack=committed")
        assert status == 422 and answer["rejected"] == 50 and 0 < len(answer["errors"]) <= 20
        assert connection.post(b"{", kind="json")[0] == 400
        assert connection.post(event(8), path="/v1/streams/nothing/events")[0] == 404
        assert connection.post(b"x" * (1 << 20) + b"x")[0] == 413  # on another one: the 404 ended the first
    database.wait_for_count("BehaviorLog", 5)


def test_a_large_body_in_pieces(server, database):
    """Bytes that come in small pieces, and a megabyte of them, make whole events."""
    events = [event(n, metadata={"n": n, "text": "x" * 900}) for n in range(1000)]
    body = "\n".join(json.dumps(sent) for sent in events).encode()
    assert 900_000 < len(body) < (1 << 20)
    with server.socket() as plain:
        plain.sendall(b"POST " + POST.encode() + b"?ack=committed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                      b"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(body))
        for first in range(0, len(body), 7777):
            plain.sendall(body[first:first + 7777])
        answer = b"".join(iter(lambda: plain.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ") and b'"count":1000' in answer
    assert database.count("BehaviorLog") == 1000


def test_curl_as_the_documentation_has_it(server, database, tmp_path):
    """curl with a JSON text, with a file of lines, and with a large file, for which it expects a
    100 Continue."""
    url = server.url + POST
    lines = tmp_path / "events.ndjson"
    lines.write_text("".join(json.dumps(event(n)) + "\n" for n in range(3)))
    large = tmp_path / "large.json"
    large.write_text(json.dumps([event(n, metadata={"text": "x" * 500}) for n in range(1500)]))

    def curl(*arguments):
        done = subprocess.run(["curl", "-sS", "--fail-with-body", "--max-time", "60", *arguments],
                              capture_output=True, check=True, text=True)
        return json.loads(done.stdout)

    json_type, lines_type = (f"Content-Type: {TYPES[kind]}" for kind in ("json", "ndjson"))
    assert curl(url + "?ack=committed", "-H", json_type, "-d", json.dumps(event(1)))["count"] == 1
    assert curl(url, "-H", lines_type, "--data-binary", f"@{lines}")["count"] == 3
    assert curl(url, "-H", json_type, "-H", "Expect: 100-continue", "-T", str(large),
                "-X", "POST")["count"] == 1500
    database.wait_for_count("BehaviorLog", 1504)


def test_postgres_away_and_the_journal_full(make_server, database, postgres):
    """While PostgreSQL is away, `durable` goes on, and `committed` is told after a while that its
    events are durable. With the journal full it is 503 with Retry-After; back, all is stored once."""
    server = make_server(settings=SMALL).start()
    with Connection(server) as connection:
        assert connection.post(event(0), "?ack=committed")[0] == 200
        postgres.stop("immediate")
        assert connection.post(event(1))[0] == 200
        status, _, answer = connection.post(event(2), "?ack=committed")
        assert (status, answer) == (202, {"level": "durable", "count": 1, "duplicates": 0})
        stored, refused = 3, None
        while refused is None:
            numbered = [event(stored + n, id=f"0190b3b8-0000-7000-8000-{stored + n:012d}",
                              metadata={"text": "x" * 4000}) for n in range(100)]
            status, headers, answer = connection.post(numbered)
            if status == 200:
                stored += 100
            else:
                assert status == 503 and answer["code"] in ("overloaded", "unavailable"), answer
                refused = numbered
            assert stored < 10000, "the journal is never full"
        assert stored > 1000
        assert int(headers["retry-after"]) >= 1 and answer["retry_after_ms"] > 0
        postgres.start()
        answers = []
        until("what was refused is taken",
              lambda: answers.append(connection.post(refused)) or answers[-1][0] == 200, 60)
    database.wait_for_count("BehaviorLog", stored + 100)
