"""The command line's clients, on a server that asks for tokens."""

import json
import signal
import threading

import pytest

from penstock import run, stream, until
from penstock.tokens import SECRET, bearer, token

AN = "00000000-0000-4000-8000-000000000001"
STREAMS = stream("behavior", "BehaviorLog", "user:{userId}")


@pytest.fixture
def guarded(make_server):
    return make_server(streams=STREAMS, env={"PENSTOCK_AUTH_KEY": SECRET}, settings={
        "allow_publish": "behavior", "allow_subscribe": "user:{sub}",
        "auth_leeway_s": 0, "auth_grace_s": 0}).start()


def events(count):
    return "".join(json.dumps({"userId": AN, "eventType": f"e{n}"}) + "\n" for n in range(count))


def test_send_and_tail_show_a_token(guarded, tmp_path):
    """By PENSTOCK_TOKEN or --token-file; without one, or with a wrong one, they say what is missing, and
    a token in an argument is refused without being shown."""
    url = f"--url={guarded.ws_url}"
    file = tmp_path / "token"
    file.write_text(token(AN) + "\n")
    code, _, err = run("send", "behavior", url, stdin=events(3), env={"PENSTOCK_TOKEN": token(AN)})
    assert code == 0, err
    code, _, err = run("send", "behavior", url, f"--token-file={file}", "--encoding=msgpack",
                       stdin=events(3))
    assert code == 0, err
    code, out, err = run("tail", f"user:{AN}", url, f"--token-file={file}", "--last=6", "--count=6")
    assert code == 0 and len(out.splitlines()) == 6, err
    code, _, err = run("tail", "user:other", url, f"--token-file={file}", "--count=1")
    assert code == 1 and "does not allow" in err
    wrong = token(AN, secret="x" * 40)
    code, _, err = run("send", "behavior", url, stdin=events(1), env={"PENSTOCK_TOKEN": wrong})
    assert code == 1 and "--token-file or PENSTOCK_TOKEN" in err and wrong not in err
    code, _, err = run("send", "behavior", url, "--token-file=/nowhere/token", stdin=events(1))
    assert code == 1 and "cannot open the token file" in err
    code, _, err = run("tail", "c", f"--url={guarded.ws_url}?token={wrong}", "--count=1")
    assert code == 2 and "--token-file" in err and wrong not in err
    guarded.database.wait_for_count("BehaviorLog", 6)


def test_tail_goes_on_with_another_token(guarded, tmp_path):
    """When its token has expired, `tail` connects again with the one that its file has by then, and misses
    nothing."""
    file = tmp_path / "token"
    file.write_text(token(AN, 6))  # long enough for a slow machine to connect with it
    result = []
    reader = threading.Thread(target=lambda: result.append(run(
        "tail", f"user:{AN}", f"--url={guarded.ws_url}", f"--token-file={file}", "--last=10",
        "--count=2")))
    client = guarded.connect(headers=bearer(token(AN)))
    client.publish("behavior", [{"userId": AN, "eventType": "first"}], ack="committed")
    reader.start()
    until("tail has subscribed",
          lambda: guarded.metrics()['penstock_edge_subscriptions{edge="0"}'] == 1)
    file.write_text(token(AN, 600))
    guarded.wait_for_log("because=the token has expired")
    client.publish("behavior", [{"userId": AN, "eventType": "second"}], ack="committed")
    reader.join()
    code, out, err = result[0]
    assert code == 0, err
    assert [json.loads(line)["data"]["eventType"] for line in out.splitlines()] == ["first", "second"]


def subscriptions(server):
    return server.metrics()['penstock_edge_subscriptions{edge="0"}']


def test_tail_ends_when_its_channel_is_taken_away(guarded, command):
    """A reload of the rules ends the subscription: `tail` says why, instead of being silent for ever."""
    tail = command("tail", f"user:{AN}", f"--url={guarded.ws_url}", env={"PENSTOCK_TOKEN": token(AN)})
    until("tail has subscribed", lambda: subscriptions(guarded) == 1)
    guarded.settings["allow_subscribe"] = "weather"
    guarded.write_config()
    guarded.process.send_signal(signal.SIGHUP)
    assert tail.wait() == 1
    assert "ended the subscription: the server's rules do not allow this channel any more" in tail.err


@pytest.mark.parametrize("late", ["", "a.wrong.token"])
def test_a_token_file_may_be_late(guarded, command, tmp_path, late):
    """At a reconnect the file may be half-written, or still hold what the server takes no more: `tail` says
    so once, asks again, and misses nothing."""
    file = tmp_path / "token"
    file.write_text(token(AN))
    tail = command("tail", f"user:{AN}", f"--url={guarded.ws_url}", f"--token-file={file}", "--count=1")
    until("tail has subscribed", lambda: subscriptions(guarded) == 1)
    file.write_text(late)
    guarded.restart()
    words = "401" if late else "holds no token"
    until("tail has said so", lambda: words in tail.err or not tail.running)
    assert tail.running, tail.err
    client = guarded.connect(headers=bearer(token(AN)))
    client.publish("behavior", [{"userId": AN, "eventType": "meanwhile"}], ack="committed")
    file.write_text(token(AN))
    assert tail.wait() == 0
    assert b"meanwhile" in tail.out.read()
    assert tail.err.count(words) == 1 and "gave up" not in tail.err


def test_without_a_token_file_the_end_of_a_token_is_final(make_server, command):
    """Nobody could bring another one: `send` says why it ends, and does not try again."""
    server = make_server(streams=STREAMS, env={"PENSTOCK_AUTH_KEY": SECRET},
                         settings={"auth_deadline_s": 1}).start()
    send = command("send", "behavior", f"--url={server.ws_url}", "--wait=0")
    assert send.wait() == 1
    assert "closed with 1008 no token came in time" in send.err and "trying again" not in send.err
