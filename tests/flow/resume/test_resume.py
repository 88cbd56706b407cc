"""Resume: what a subscriber missed comes from the window, from the log, or from both, without a seam.

The window is as small as it may be (1 MB), and events are large, so that some hundred of them fill
it and the rest is in PostgreSQL only.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading

import pytest

from penstock import binary, until
from penstock.client import Problem

sys.path.insert(0, os.path.dirname(__file__))

from slow import SlowReader  # noqa: E402

AN = "00000000-0000-4000-8000-000000000001"
BINH = "00000000-0000-4000-8000-000000000002"
CHANNEL = "stream:behavior"
SMALL = {"window_bytes": "1MB", "history_bytes": "4MB", "heartbeat_s": 3600}
TEXT = "x" * 2000
OTHER_EPOCH = "11111111-1111-1111-1111-111111111111"


def event(number, user=AN):
    return {"userId": user, "eventType": "resume", "metadata": {"n": number, "text": TEXT}}


def publish(client, first, count, user=AN, size=50):
    """Events n = first … in messages of `size`; offsets follow n where nobody else publishes."""
    for n in range(first, first + count, size):
        many = min(size, first + count - n)
        client.publish("behavior", [event(n + i, user) for i in range(many)], ack="committed")


def floor(server):
    return int(server.metrics()["penstock_window_floor_offset"])


def wait_for_window(server, least, head):
    """An ack may come before the window has the event: waits until it ends at `head`."""
    until(f"the window reaches {head}",
          lambda: server.metrics()["penstock_window_head_offset"] == head)
    assert floor(server) >= least, "the window is larger than this test needs"


def collect(client, channel, last, timeout=60):
    """Everything up to the event with offset `last`: [("events", offset) | ("gap", from, to)]."""
    got = []
    while not got or got[-1][-1] < last:
        message = client.receive(timeout)
        assert message["channel"] == channel, message
        if message["op"] == "gap":
            got.append(("gap", message["from"], message["to"]))
        else:
            assert message["op"] == "events", message
            got.extend(("event", e["offset"]) for e in message["events"])
    return got


def events_between(first, last):
    return [("event", offset) for offset in range(first, last + 1)]


def drop_log(server, database, through):
    """Retention takes the batches up to this offset, and the server knows."""
    database.drop_log(through)
    until("the server knows where the log begins",
          lambda: server.metrics()["penstock_log_floor_offset"] == through)


@pytest.fixture
def small(make_server):
    return make_server(settings=SMALL).start()


@pytest.fixture
def filled(small):
    """1200 events, of which the window holds the last few hundred."""
    publisher = small.connect()
    publish(publisher, 1, 1200)
    wait_for_window(small, 400, 1200)
    small.publisher = publisher
    return small


# ---- the start ----------------------------------------------------------------------------------


def is_alive(server):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return server.http("GET", "/healthz")[0] == 200
    return False


def test_before_the_log_is_found_events_are_taken_and_nobody_subscribes(
        make_server, database, postgres, tmp_path):
    """A server starts again, and listen_url does not answer: publishing goes on, and who subscribes is
    told to wait. When the way is open, each gets what comes behind its offset, and nothing else."""
    server = make_server(settings=SMALL).start()
    publish(server.connect(), 1, 1200)
    server.close_clients()
    server.stop()
    server.settings["listen_url"] = database.url.replace(postgres.folder, str(tmp_path))
    server.launch()
    until("it answers", lambda: is_alive(server))
    client = server.connect()
    epoch = client.welcome["epoch"]
    assert client.publish("behavior", [event(1201)])["level"] == "durable"
    for fields in ({}, {"last": 3}, {"since": 1190, "epoch": epoch}, {"since": 20000000, "epoch": epoch}):
        with pytest.raises(Problem) as refused:
            client.subscribe(CHANNEL, **fields)
        assert refused.value.message["code"] == "unavailable"
        assert refused.value.message["retry_after_ms"] > 0
    for query in ("", "?since=1190", "?since=20000000"):
        status, headers, _ = server.http("GET", f"/v1/channels/{CHANNEL}/events{query}")
        assert status == 503 and int(headers["retry-after"]) > 0
    assert server.http("GET", "/readyz")[0] == 503
    tail = subprocess.Popen(
        [binary(), "tail", CHANNEL, "--url", server.ws_url, "--since", "1190", "--epoch", epoch,
         "--count", "11"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "unavailable" in tail.stderr.readline()
    os.symlink(f"{postgres.folder}/.s.PGSQL.5432", tmp_path / ".s.PGSQL.5432")
    server.wait_ready()
    live = server.connect()
    until("the window has all", lambda: server.metrics()["penstock_window_head_offset"] == 1201)
    assert live.subscribe(CHANNEL)["offset"] == 1201
    assert client.subscribe(CHANNEL, since=5, epoch=epoch)["recovered"] is True
    assert collect(client, CHANNEL, 1201) == events_between(6, 1201)
    publish(client, 1202, 1)
    assert collect(live, CHANNEL, 1202) == [("event", 1202)]
    out, err = tail.communicate(timeout=60)
    assert tail.returncode == 0, err
    assert [json.loads(line)["offset"] for line in out.splitlines()] == list(range(1191, 1202))


# ---- since --------------------------------------------------------------------------------------


def test_every_seam_is_without_gap_and_repeat_while_events_come(filled, encoding):
    """In memory, in the log, half in each, and just at the window's floor; publishing goes on."""
    at = floor(filled)
    stop, count = threading.Event(), [1200]

    def go_on():
        while not stop.is_set():
            publish(filled.publisher, count[0] + 1, 10)
            count[0] += 10

    thread = threading.Thread(target=go_on)
    thread.start()
    places = [1190, 1, 0, at - 1, at, at + 1, at - 300, at + 100, 599]
    clients = [filled.connect(encoding) for _ in places]
    try:
        for client, since in zip(clients, places):
            answer = client.subscribe(CHANNEL, since=since, epoch=client.welcome["epoch"])
            assert answer["recovered"] is True and "reason" not in answer
            assert answer["offset"] == since
    finally:
        stop.set()
        thread.join()
    for client, since in zip(clients, places):
        assert collect(client, CHANNEL, count[0]) == events_between(since + 1, count[0])
    for client in clients:
        client.quiet(0.05)
    assert filled.metrics()["penstock_history_blocks_total"] > 0


def test_data_from_the_log_is_what_it_was_live(filled, encoding):
    client = filled.connect(encoding)
    client.subscribe(CHANNEL, since=41, epoch=client.welcome["epoch"])
    message = client.receive()
    first = message["events"][0]
    assert (first["offset"], first["stream"]) == (42, "behavior")
    assert first["data"]["metadata"] == {"n": 42, "text": TEXT}
    assert first["data"]["userId"] == AN and first["data"]["timestamp"]


def test_only_the_channel_that_was_asked_for_comes_from_the_log(small):
    publisher, client = small.connect(), small.connect()
    mine = []
    for n in range(1, 1201, 100):
        publish(publisher, n, 99)
        publish(publisher, n + 99, 1, user=BINH)
        mine.append(n + 99)
    wait_for_window(small, 400, 1200)
    client.subscribe(f"user:{BINH}", since=0, epoch=client.welcome["epoch"])
    assert collect(client, f"user:{BINH}", 1200) == [("event", offset) for offset in mine]
    nobody = "user:00000000-0000-4000-8000-00000000beef"
    assert client.subscribe(nobody, since=0, epoch=client.welcome["epoch"])["recovered"] is True
    publish(publisher, 1201, 1, user=BINH)
    assert collect(client, f"user:{BINH}", 1201) == [("event", 1201)]
    client.quiet()


def test_an_event_larger_than_a_block_comes_from_the_log(small):
    publisher, client = small.connect(), small.connect()
    large = "y" * 600_000
    publisher.publish("behavior", [{"userId": AN, "eventType": "large", "metadata": {"text": large}}],
                      ack="committed")
    publish(publisher, 2, 1000)
    wait_for_window(small, 100, 1001)
    client.subscribe(CHANNEL, since=0, epoch=client.welcome["epoch"])
    first = client.receive()["events"]
    assert first[0]["data"]["metadata"]["text"] == large
    got = [("event", e["offset"]) for e in first] + collect(client, CHANNEL, 1001)
    assert got == events_between(1, 1001)


def test_another_epoch_is_not_recovered(filled, encoding):
    client = filled.connect(encoding)
    answer = client.subscribe(CHANNEL, since=10, epoch=OTHER_EPOCH)
    assert answer["recovered"] is False and "epoch" in answer["reason"]
    assert answer["offset"] == 1200
    client.quiet()
    publish(filled.publisher, 1201, 1)
    assert collect(client, CHANNEL, 1201) == [("event", 1201)]


# ---- retention ----------------------------------------------------------------------------------


def test_past_retention_is_a_gap_with_its_range_and_then_the_rest(filled, database, encoding):
    drop_log(filled, database, 300)
    client = filled.connect(encoding)
    answer = client.subscribe(CHANNEL, since=17, epoch=client.welcome["epoch"])
    assert answer["recovered"] is False and "retention" in answer["reason"]
    assert collect(client, CHANNEL, 1200) == [("gap", 18, 300), *events_between(301, 1200)]
    at_the_edge = filled.connect(encoding)
    answer = at_the_edge.subscribe(CHANNEL, since=300, epoch=client.welcome["epoch"])
    assert answer["recovered"] is True
    assert collect(at_the_edge, CHANNEL, 1200) == events_between(301, 1200)


def test_a_log_that_is_all_gone_is_a_gap_up_to_the_window(filled, database):
    drop_log(filled, database, 1200)
    client = filled.connect()
    at = floor(filled)
    answer = client.subscribe(CHANNEL, since=17, epoch=client.welcome["epoch"])
    assert answer["recovered"] is False
    assert collect(client, CHANNEL, 1200) == [("gap", 18, at), *events_between(at + 1, 1200)]


def test_retention_under_a_reader_is_a_gap_with_its_range(small, database):
    """The reader has stopped in the middle of the log; when it goes on, what it had ahead is gone."""
    publisher = small.connect()
    publish(publisher, 1, 3000)
    wait_for_window(small, 2000, 3000)
    reader = SlowReader(small, CHANNEL, since=0, epoch=publisher.welcome["epoch"])
    assert reader.subscribed["recovered"] is True
    got, gaps = [e["offset"] for e in reader.next_frame()["events"]], []
    drop_log(small, database, 2000)
    publish(publisher, 3001, 10)
    while got[-1] < 3010:
        message = reader.next_frame()
        if message["op"] == "gap":
            gaps.append((got[-1], message["from"], message["to"]))
        else:
            got.extend(e["offset"] for e in message["events"])
    reader.close()
    ((before, first, last),) = gaps
    assert first == before + 1
    assert got == [*range(1, first), *range(last + 1, 3011)]
    assert last >= 2000  # a page of the log that is still in memory may serve some that are gone


def test_the_log_lies_in_several_slots(small, database):
    """Half in slots, half in memory; the ring is turned while events come, and a slot leaves."""
    publisher = small.connect()
    for n in range(1, 1201, 200):
        publish(publisher, n, 200)
        until("the log is turned",  # not while a server's own retention, or a commit, is in the way
              lambda: database.value("SELECT penstock.lock_retention() AND penstock.turn_log()"))
    wait_for_window(small, 400, 1200)
    assert database.value("SELECT count(DISTINCT slot) FROM penstock.batch") == 6
    clients = [small.connect() for _ in range(4)]
    epoch = clients[0].welcome["epoch"]
    for client, since in zip(clients, (0, 199, 200, 201)):
        assert client.subscribe(CHANNEL, since=since, epoch=epoch)["recovered"] is True
        assert collect(client, CHANNEL, 1200) == events_between(since + 1, 1200)
    database.execute("SELECT penstock.drop_slot(penstock.oldest_slot())")
    until("the server knows where the log begins",
          lambda: small.metrics()["penstock_log_floor_offset"] == 200)
    late, newest = small.connect(), small.connect()
    assert late.subscribe(CHANNEL, since=17, epoch=epoch)["recovered"] is False
    assert collect(late, CHANNEL, 1200) == [("gap", 18, 200), *events_between(201, 1200)]
    newest.subscribe(CHANNEL, last=1100)  # there are 1,000
    assert collect(newest, CHANNEL, 1200) == events_between(201, 1200)


# ---- last ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 200, 700, 1000, 1200, 5000])
def test_last_reaches_over_the_seam(filled, encoding, count):
    client = filled.connect(encoding)
    answer = client.subscribe(CHANNEL, last=count)
    first = max(1, 1201 - count)
    assert answer["recovered"] is True and answer["offset"] < first
    assert collect(client, CHANNEL, 1200) == events_between(first, 1200)
    publish(filled.publisher, 1201, 1)
    assert collect(client, CHANNEL, 1201) == [("event", 1201)]


def test_last_of_a_quiet_channel_comes_from_the_log_alone(small):
    publisher, client = small.connect(), small.connect()
    publish(publisher, 1, 10, user=BINH)
    publish(publisher, 11, 1000)
    wait_for_window(small, 100, 1010)
    client.subscribe(f"user:{BINH}", last=4)
    publish(publisher, 1011, 1, user=BINH)
    got = collect(client, f"user:{BINH}", 1011)
    assert got == [*events_between(7, 10), ("event", 1011)]
    assert client.subscribe("user:nobody", last=4)["op"] == "subscribed"
    client.quiet()


# ---- slow, restarted, away ----------------------------------------------------------------------


def test_two_hundred_slow_readers_catch_up_in_bounded_memory(make_server):
    """They stop reading, fall out of the window, and get everything when they read again."""
    settings = {**SMALL, "connections": 500}
    quarantine = "detect_leaks=1:abort_on_error=0:exitcode=99:quarantine_size_mb=4"
    server = make_server(settings=settings, env={"ASAN_OPTIONS": quarantine}).start()
    publisher, lively = server.connect(), server.connect()
    lively.subscribe(CHANNEL)
    publish(publisher, 1, 50)
    wait_for_window(server, 0, 50)
    readers = [SlowReader(server, CHANNEL) for _ in range(200)]
    before = server.memory_bytes()
    publish(publisher, 51, 1000)
    wait_for_window(server, 500, 1050)
    assert collect(lively, CHANNEL, 1050) == events_between(1, 1050)
    most = {"memory": server.memory_bytes(), "history": 0}
    done, failures = threading.Event(), []

    def catch_up(some):
        try:
            for reader in some:
                assert reader.offsets_until(1050) == list(range(51, 1051))
        except Exception as error:  # told by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=catch_up, args=(readers[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        figures = server.metrics()
        held = int(figures["penstock_history_page_bytes"] + figures["penstock_history_block_bytes"])
        most["history"] = max(most["history"], held)
        most["memory"] = max(most["memory"], server.memory_bytes())
        done.wait(0.05)
    for reader in readers:
        reader.close()
    assert not failures, failures[0]
    assert server.metrics()["penstock_edge_gaps_sent_total{edge=\"0\"}"] == 0
    assert most["history"] <= 5 << 20
    # 200 backlogs of 2 MB would be 400 MB.
    print(f"history {most['history'] >> 10} KB, memory grew by {most['memory'] - before >> 10} KB")
    assert most["memory"] - before < 150 << 20, most


def test_a_subscriber_resumes_over_a_restart(filled, encoding):
    before = filled.connect(encoding)
    before.subscribe(CHANNEL, since=0, epoch=before.welcome["epoch"])
    seen = before.receive()["events"][-1]["offset"]
    filled.restart(with_kill=True)
    wait_for_window(filled, 400, 1200)
    after = filled.connect(encoding)
    answer = after.subscribe(CHANNEL, since=seen, epoch=before.welcome["epoch"])
    assert answer["recovered"] is True
    assert collect(after, CHANNEL, 1200) == events_between(seen + 1, 1200)
    publish(filled.connect(), 1201, 5)
    assert collect(after, CHANNEL, 1205) == events_between(1201, 1205)


def test_a_cursor_waits_while_postgresql_is_away(filled, postgres):
    """`subscribe` is answered at once; the history comes when PostgreSQL does, nothing is lost."""
    postgres.stop("immediate")
    until("/readyz says that PostgreSQL is away", lambda: filled.http("GET", "/readyz")[0] == 503)
    client, in_window = filled.connect(), filled.connect()
    epoch = client.welcome["epoch"]
    assert client.subscribe(CHANNEL, since=5, epoch=epoch)["recovered"] is True
    assert in_window.subscribe(CHANNEL, since=1150, epoch=epoch)["recovered"] is True
    assert collect(in_window, CHANNEL, 1200) == events_between(1151, 1200)
    filled.publisher.publish("behavior", [event(1201)], ack="durable")
    client.quiet()
    postgres.start()
    assert collect(client, CHANNEL, 1201) == events_between(6, 1201)
    assert collect(in_window, CHANNEL, 1201) == [("event", 1201)]


def test_a_postgresql_that_is_stopped_in_the_middle_of_the_history(filled, postgres):
    clients = [filled.connect() for _ in range(20)]
    for client in clients:
        client.subscribe(CHANNEL, since=0, epoch=client.welcome["epoch"])
    postgres.restart()
    publish(filled.publisher, 1201, 20)
    for client in clients:
        assert collect(client, CHANNEL, 1220) == events_between(1, 1220)


def test_unsubscribing_and_leaving_in_the_middle_of_the_history_harms_nobody(filled):
    stays = filled.connect()
    for round_ in range(5):
        leaves, turns = filled.connect(), filled.connect()
        for client in (leaves, turns):
            client.subscribe(CHANNEL, since=round_, epoch=client.welcome["epoch"])
        leaves.abort()
        turns.unsubscribe(CHANNEL)
        turns.close()
    stays.subscribe(CHANNEL, since=0, epoch=stays.welcome["epoch"])
    assert collect(stays, CHANNEL, 1200) == events_between(1, 1200)
    until("no block is held", lambda: filled.metrics()["penstock_history_block_bytes"] == 0)


def test_a_subscription_is_replaced_while_it_waits_for_the_log(filled):
    client = filled.connect()
    epoch = client.welcome["epoch"]
    for since in (0, 100, 200):
        client.send("subscribe", id=since, channel=CHANNEL, since=since, epoch=epoch)
    for since in (0, 100):
        client.answer(since)
    answered = client.answer(200)
    assert answered["offset"] == 200
    offsets = []
    while not offsets or offsets[-1] < 1200:
        offsets.extend(e["offset"] for e in client.expect("events")["events"])
    last_part = offsets[len(offsets) - 1000:]
    assert last_part == list(range(201, 1201))
