"""`penstock send` and `penstock tail` when things go wrong: what they wait for, and what ends them."""

import array
import fcntl
import json
import os
import signal
import subprocess
import termios

import pytest

from penstock import binary, until
from penstock.server import environment
from penstock.wait import PATIENCE_S

AN = "00000000-0000-4000-8000-000000000001"
CHANNEL = "stream:behavior"


def event(name):
    return {"userId": AN, "eventType": name}


def line(name):
    return json.dumps(event(name)) + "\n"


def subscriptions(server):
    return server.metrics()['penstock_edge_subscriptions{edge="0"}']


# ---- tail ---------------------------------------------------------------------------------------


def test_tail_goes_on_from_where_the_server_puts_it(server, command):
    """An offset that nobody can have seen is said to be none, and what comes from now on is printed."""
    tail = command("tail", CHANNEL, "--url", server.ws_url, "--since", str(1 << 50), "--count", "2")
    until("tail has subscribed", lambda: subscriptions(server) == 1)
    server.connect().publish("behavior", [event("first"), event("second")])
    assert tail.wait() == 0
    printed = [json.loads(text)["data"]["eventType"] for text in tail.out]
    assert printed == ["first", "second"]
    assert f"behind offset {1 << 50} is not all there" in tail.err


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_tail_says_that_it_cannot_write(server, flags):
    """A full disk is no success, even when the event was the last one to print."""
    server.connect().publish("behavior", [event("lost")], ack="committed")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([binary(), "tail", CHANNEL, "--url", server.ws_url, "--last", "1", "--count",
                               "1", *flags], stdout=full, stderr=subprocess.PIPE, env=environment(),
                              timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert done.stderr.decode() == "penstock: cannot write: No space left on device\n"


def test_tail_ends_when_its_reader_has_left(server, command):
    """`penstock tail … | head -1`: the next event ends it, without a word."""
    client = server.connect()
    tail = command("tail", CHANNEL, "--url", server.ws_url)
    until("tail has subscribed", lambda: subscriptions(server) == 1)
    client.publish("behavior", [event("read")])
    assert b"read" in tail.out.readline()
    tail.out.close()
    client.publish("behavior", [event("unread")])
    assert tail.wait() == 1
    assert tail.err == ""


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["tail", "--help"], ["reference"],
                                       ["migrate", "--print"]])
def test_a_command_says_that_it_cannot_write(arguments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([binary(), *arguments], stdout=full, stderr=subprocess.PIPE, env=environment(),
                              timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert "penstock: cannot write: No space left on device\n" in done.stderr.decode()


# ---- send ---------------------------------------------------------------------------------------


def test_send_comes_back_when_it_was_idle_for_too_long(make_server, command):
    """A pipe may be quiet for longer than the server's idle_s."""
    server = make_server(settings={"idle_s": 1}).start()
    send = command("send", "behavior", "--url", server.ws_url)
    send.write(line("before"))
    server.database.wait_for_count("BehaviorLog", 1)
    server.wait_for_log("nothing was sent or subscribed to for idle_s")
    until("send has noticed", lambda: "trying again" in send.err or not send.running)
    assert "closed with 1008 nothing was sent or subscribed to for idle_s; trying again" in send.err
    send.write(line("after"))
    send.stdin.close()
    assert send.wait() == 0, send.err
    server.database.wait_for_count("BehaviorLog", 2)


def bytes_waiting(pipe):
    """What is written and not yet read."""
    size = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, size)
    return size[0]


@pytest.mark.parametrize("reason", ["choose a smaller --batch", "cannot write the state file"])
def test_send_ends_when_it_cannot_go_on_at_a_later_welcome(make_server, command, tmp_path, reason):
    """A server that comes back with smaller messages, or a state that cannot be kept any more, ends it at
    once, whatever is under way, and although it would wait for ever for a server that is away."""
    server = make_server().start()
    state = tmp_path / "kept" / "state"
    state.parent.mkdir()
    send = command("send", "behavior", "--url", server.ws_url, "--wait", "0", "--batch", "100000", "--state",
                   str(state))
    send.write(line("first"))
    until("the state has the first line", lambda: state.exists() and '"line":1,' in state.read_text())
    server.process.send_signal(signal.SIGSTOP)  # what is sent now gets no answer
    os.waitpid(server.process.pid, os.WUNTRACED)
    send.write(line("second"))
    until("the second line is under way", lambda: bytes_waiting(send.stdin) == 0)
    server.kill()
    if "batch" in reason:
        server.settings["message_bytes"] = "64kB"
    else:
        os.rename(state.parent, tmp_path / "away")
    server.start()
    assert send.wait() == 1
    assert reason in send.err
