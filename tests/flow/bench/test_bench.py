"""penstock-bench: what it says that it sent is what the server stored, and its clock cannot be fooled."""

import json
import os
import signal
import ssl
import subprocess
import time

import pytest

from penstock import until
from penstock.server import assert_no_sanitizer_report
from penstock.tokens import SECRET, token
from penstock.wait import PATIENCE_S

AN = "00000000-0000-4000-8000-000000000001"
EVENT = json.dumps({"userId": AN, "eventType": "bench"})
PROGRAM = os.path.join(os.environ["PENSTOCK_BUILD_DIR"], "bench", "generator", "penstock-bench")


def start(*arguments, env=None):
    return subprocess.Popen([PROGRAM, *map(str, arguments)], text=True, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(env or {})})


def bench(*arguments, expect=0, env=None):
    """Its JSON, or with `expect` what it says of its failure."""
    out, err = (process := start("--json", *arguments, env=env)).communicate(timeout=4 * PATIENCE_S)
    assert_no_sanitizer_report(err, "penstock-bench")
    assert process.returncode == expect, err
    return err if expect else json.loads(out)


def count(server, kind="bench"):
    return server.database.count("BehaviorLog", '"eventType" = %s', (kind,))


def connections(server):
    return sum(value for name, value in server.metrics().items()
               if name.startswith("penstock_edge_connections") and "limit" not in name)


@pytest.fixture
def events(tmp_path):
    """25 of them, which no two tests have."""
    kind = tmp_path.name[-40:]
    path = tmp_path / "events.ndjson"
    path.write_text("".join(json.dumps({"userId": AN, "eventType": kind, "metadata": {"n": n}}) + "\n"
                            for n in range(25)))
    return path, kind


@pytest.mark.parametrize("ack", ["durable", "committed"])
def test_a_closed_loop_stores_what_it_counts(shared_server, events, encoding, ack):
    """Every event that it counts is a row, and there are no others."""
    path, kind = events
    figures = bench("--file", path, "--events", 500, "--batch", 10, "--connections", 3, "--inflight", 4,
                    "--encoding", encoding, "--ack", ack, shared_server.ws_url)
    assert (figures["events"], figures["messages"], figures["refused"]) == (500, 50, 0)
    assert 0 < figures["p50_us"] <= figures["p99_us"] and figures["seconds"] > 0
    until("all are in the table", lambda: count(shared_server, kind) == 500)


def test_an_open_loop_counts_from_when_a_message_was_due(server):
    """A server that stands still for a second cannot hide it: what became due meanwhile has waited."""
    process = start("--json", "--event", EVENT, "--batch", 1, "--rate", 100, "--seconds", 4, server.ws_url)
    until("it has begun", lambda: count(server) >= 20)
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    server.process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=4 * PATIENCE_S)
    assert process.returncode == 0, err
    figures = json.loads(out)
    assert figures["events"] == 401 == count(server)
    # 150 of 401 were due while it stood still: every tenth of all has waited for a second or more.
    assert figures["p90_us"] > 900_000
    assert figures["seconds"] >= 4


def test_tls_is_checked_unless_told_otherwise(make_server, tmp_path):
    """wss:// works; a certificate that nobody vouches for is taken with --trust-any only."""
    certificate, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", str(key), "-out", str(certificate)],
                   check=True, capture_output=True)
    server = make_server(settings={"tls_certificate": str(certificate), "tls_key": str(key)})
    server.tls = ssl.create_default_context(cafile=certificate)
    server.start()
    arguments = ("--event", EVENT, "--events", 100, "--batch", 20, server.ws_url)
    assert server.ws_url.startswith("wss://")
    assert "certificate" in bench(*arguments, expect=1)
    assert count(server) == 0
    assert bench("--trust-any", *arguments)["events"] == 100 == count(server)


def test_a_token_is_shown(make_server, tmp_path):
    """From the environment or a file; without one, and with a wrong one, it says that it is refused."""
    server = make_server(env={"PENSTOCK_AUTH_KEY": SECRET}).start()
    shown = token(sub=AN, publish=["behavior"])
    file = tmp_path / "token"
    file.write_text(shown + "\n")
    file.chmod(0o600)
    arguments = ("--event", EVENT, "--events", 10, "--batch", 5, server.ws_url)
    assert "needs a token" in bench(*arguments, expect=1)
    assert "401" in bench(*arguments, expect=1, env={"PENSTOCK_TOKEN": token(sub=AN, secret="x" * 40)})
    assert bench(*arguments, env={"PENSTOCK_TOKEN": shown})["events"] == 10
    assert bench("--token-file", file, *arguments)["events"] == 10
    assert count(server) == 20


def test_what_is_refused_is_told_and_not_counted(shared_server):
    """The first reason stands on standard error, and the exit code is 1."""
    said = bench("--event", '{"eventType": "bench"}', "--events", 20, "--batch", 5, shared_server.ws_url,
                 expect=1)
    assert "4 messages were refused" in said and "userId" in said


def test_connections_alone(shared_server):
    """So many stand there, subscribed, until standard input ends."""
    before = connections(shared_server)
    process = start("--json", "--open-only", "--hold", "--connections", 30, "--channel", f"user:{AN}-{{n}}",
                    shared_server.ws_url)
    assert json.loads(process.stdout.readline())["connections"] == 30
    assert connections(shared_server) >= before + 30
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (0, "", "")


def test_alone_it_measures_itself():
    """No server is needed to see what it can do, open and closed."""
    closed = bench("--alone", "--event", EVENT, "--events", 1000, "--batch", 10)
    assert (closed["events"], closed["refused"]) == (1000, 0)
    opened = bench("--alone", "--event", EVENT, "--batch", 1, "--rate", 1000, "--seconds", 0.2)
    assert opened["events"] == 201 and opened["seconds"] >= 0.2


@pytest.mark.parametrize("arguments, said", [
    (["--events", 10], "--file or --event"), (["--event", "{}", "--batch", 0], "--batch"),
    (["--event", "{}", "--encoding", "xml"], "json or msgpack"), (["--event", "{}", "--hold"], "--open-only"),
    (["--event", "{}", "a", "b"], "more than one URL"), (["--sideways"], "--sideways")])
def test_wrong_usage_is_one_sentence(arguments, said):
    process = start(*arguments)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2 and said in err and len(err.strip().splitlines()) == 1


def test_nobody_there_is_a_sentence():
    said = bench("--event", EVENT, "ws://127.0.0.1:9/v1/ws", expect=1)
    assert said.startswith("penstock-bench: ") and len(said.strip().splitlines()) == 1
