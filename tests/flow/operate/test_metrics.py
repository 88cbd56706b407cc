"""/metrics: what Prometheus reads is well-formed, and says what happened."""

import shutil
import subprocess

import pytest
from penstock import until
from penstock.accounts import labelled

AN = "00000000-0000-4000-8000-000000000001"
NOBODY = "00000000-0000-4000-8000-00000000dead"


def event(number, user=AN, **fields):
    return {"userId": user, "eventType": "metric", "metadata": {"n": number}, **fields}


def histogram(metrics, name):
    """([(bound, count up to it)] ascending, sum, count)."""
    prefix = f'penstock_{name}_bucket{{le="'
    buckets = [(float(key[len(prefix):-2]), value) for key, value in metrics.items()
               if key.startswith(prefix)]
    return buckets, metrics[f"penstock_{name}_sum"], metrics[f"penstock_{name}_count"]


def test_promtool_finds_nothing_to_complain_about(server):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: it comes with the package prometheus")
    client = server.connect()
    client.subscribe("stream:behavior")
    client.publish("behavior", [event(1)], ack="committed")
    client.events(1)
    page = server.http("GET", "/metrics")[2]
    check = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True)
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")


def test_latencies_and_batches_are_counted_where_they_belong(server):
    """One observation a message, a frame, a write and a batch; bounds ascend, and the last bucket
    holds all."""
    publisher, subscriber = server.connect(), server.connect()
    subscriber.subscribe("stream:behavior")
    for n in range(20):
        publisher.publish("behavior", [event(n), event(n)], ack="committed")
    assert len(subscriber.events(40)) == 40
    metrics = server.metrics()
    batches = sum(labelled(metrics, "lane_batches_total").values())
    for name, least, most in (("receive_to_journal_seconds", 20, 20),
                              ("journal_to_commit_seconds", batches, 20),
                              ("commit_to_push_seconds", 1, 20),
                              ("batch_rows", batches, batches), ("batch_bytes", batches, batches)):
        buckets, total, count = histogram(metrics, name)
        bounds, counts = zip(*buckets)
        assert list(bounds) == sorted(bounds) and list(counts) == sorted(counts), name
        assert bounds[-1] == float("inf") and counts[-1] == count, name
        assert least <= count <= most and total > 0, (name, count)
    assert histogram(metrics, "batch_rows")[1] == 40


def test_messages_events_and_bytes_are_counted_by_stream_and_result(server, encoding):
    client = server.connect(encoding)
    client.subscribe("stream:behavior")
    client.publish("behavior", [event(1), event(2)], ack="durable")
    client.publish("behavior", [event(3)], ack="committed")
    client.events(3)
    client.send("publish", id=7, stream="behavior", events=[{"userId": AN}])
    assert client.expect("error", id=7)["code"] == "invalid_event"
    client.send("publish", id=8, stream="nothing", events=[event(1)])
    assert client.expect("error", id=8)["code"] == "unknown_stream"
    metrics = server.metrics()

    def of_behavior(name):
        return labelled(metrics, name)["behavior"]

    assert of_behavior("stream_received_total") == of_behavior("stream_pushed_total") == 3
    assert of_behavior("stream_refused_total") == of_behavior("stream_messages_refused_total") == 1
    assert of_behavior("stream_messages_total") == 2
    assert of_behavior("stream_bytes_total") > 100 and of_behavior("stream_pushed_bytes_total") > 100
    acks = {level: sum(value for key, value in metrics.items()
                       if key.startswith("penstock_edge_acks_total") and level in key)
            for level in ("durable", "committed")}
    assert acks == {"durable": 1, "committed": 1}
    errors = labelled(metrics, "errors_sent_total")
    assert (errors["invalid_event"], errors["unknown_stream"], errors["overloaded"]) == (1, 1, 0)


def test_what_waits_for_postgresql_is_lag(make_server, database):
    """In events and in seconds, from its arrival until it is committed."""
    server = make_server(settings={"lanes": 1}).start()
    client = server.connect()
    client.publish("behavior", [event(0)], ack="committed")
    until("no lag at rest", lambda: labelled(server.metrics(), "lane_lag_seconds") == {"0": 0})
    held = database.connect(autocommit=False)
    held.cursor().execute('LOCK TABLE "BehaviorLog" IN ACCESS EXCLUSIVE MODE')
    client.publish("behavior", [event(1), event(2)], ack="durable")
    first = until("lag", lambda: labelled(server.metrics(), "lane_lag_seconds")["0"])
    until("more lag", lambda: labelled(server.metrics(), "lane_lag_seconds")["0"] > first)
    assert labelled(server.metrics(), "publisher_pending_events") == {"0": 2}
    held.rollback()
    held.close()
    until("no lag again", lambda: labelled(server.metrics(), "lane_lag_seconds")["0"] == 0)


def test_lost_connections_are_seen_and_counted(server, postgres):
    """Of lanes, of LISTEN, and of the thread that reads the log."""
    def states(metrics):
        return (set(labelled(metrics, "lane_database_ready").values()),
                metrics["penstock_listening"], metrics["penstock_history_connected"])

    assert states(server.metrics()) == ({1}, 1, 1)
    postgres.stop("immediate")
    until("all are down", lambda: states(server.metrics()) == ({0}, 0, 0))
    postgres.start()
    until("all are up", lambda: states(server.metrics()) == ({1}, 1, 1))
    metrics = server.metrics()
    assert all(labelled(metrics, "lane_reconnects_total").values())
    assert metrics["penstock_listen_reconnects_total"] > 0
    assert metrics["penstock_history_reconnects_total"] > 0


def test_rollbacks_and_deadlocks_are_counted(make_server, database):
    """A deadlock ends an attempt, not the batch."""
    database.execute("CREATE TABLE once (n int); INSERT INTO once VALUES (1)")
    database.execute("""
        CREATE FUNCTION lose_once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM public.once) THEN
                RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER lose AFTER INSERT ON "BehaviorLog" EXECUTE FUNCTION lose_once()""")
    server = make_server(settings={"lanes": 1}).start()
    client = server.connect()
    client.send("publish", id=1, stream="behavior", ack="committed", events=[event(1)])
    until("a deadlock", lambda: labelled(server.metrics(), "lane_deadlocks_total")["0"] > 0)
    database.execute("DELETE FROM once")
    client.expect("ack", id=1)
    metrics = server.metrics()
    assert labelled(metrics, "lane_rollbacks_total")["0"] >= 1
    assert labelled(metrics, "lane_retries_total")["0"] >= 1
    assert labelled(metrics, "stream_committed_total")["behavior"] == 1


def test_who_reads_from_the_log_is_a_slow_subscription(make_server, postgres):
    """Counted while it does, and not any more when it has caught up. History is no late push."""
    server = make_server(settings={"window_bytes": 1 << 20, "edge_threads": 1}).start()
    publisher, late = server.connect(), server.connect()
    for n in range(60):
        publisher.publish("behavior", [event(n, metadata={"text": "x" * 800, "n": n})] * 30,
                          ack="committed")
    assert server.metrics()["penstock_window_floor_offset"] > 0
    postgres.stop()
    late.send("subscribe", id=1, channel="stream:behavior", since=0, epoch=late.welcome["epoch"])
    late.expect("subscribed", id=1)
    until("it is behind",
          lambda: labelled(server.metrics(), "edge_subscriptions_behind") == {"0": 1})
    postgres.start()
    assert len(late.events(1800)) == 1800
    until("caught up",
          lambda: labelled(server.metrics(), "edge_subscriptions_behind") == {"0": 0})
    metrics = server.metrics()
    assert metrics["penstock_history_readings_total"] > 0
    assert histogram(metrics, "commit_to_push_seconds")[2] == 0
