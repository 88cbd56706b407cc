"""Tokens, end to end: what they allow, what is denied without them, how they end."""

import contextlib
import json
import signal
import time

import pytest

from penstock import Closed, Refused, run, stream, until
from penstock.client import Problem
from penstock.tokens import SECRET, bearer, sign, token
from penstock.wait import PATIENCE_S

AN = "00000000-0000-4000-8000-000000000001"
BINH = "00000000-0000-4000-8000-000000000002"
STREAMS = stream("behavior", "BehaviorLog", "user:{userId}", "stream:behavior") + stream(
    "cost", "ProjectCost", "stream:cost")


def event(user=AN):
    return {"userId": user, "eventType": "click"}


def code_of(call, *arguments, **fields):
    with pytest.raises(Problem) as problem:
        call(*arguments, **fields)
    return problem.value.message["code"]


def refusal_of(server, **options):
    with pytest.raises(Refused) as refused:
        server.connect(**options)
    return refused.value.status


@pytest.fixture
def make_guarded(make_server):
    """A server that asks for tokens; its log never holds a piece of a token or of the secret."""
    made = []

    def make(settings=None, **options):
        env = {"PENSTOCK_AUTH_KEY": SECRET, **options.pop("env", {})}
        server = make_server(streams=STREAMS, settings={"log_level": "debug", **(settings or {})},
                             env=env, **options).start()
        made.append(server)
        return server

    yield make
    for server in made:
        log = server.log()
        assert "eyJ" not in log and SECRET[:20] not in log


def test_each_way_to_bring_a_token(make_guarded, encoding):
    """By header, by query, by `auth`: then publish and subscribe as the claims say, not more."""
    server = make_guarded()
    shown = token(AN, publish=["behavior"], subscribe=["user:{sub}", "stream:beh*"])
    clients = [server.connect(encoding, headers=bearer(shown)),
               server.connect(encoding, path=f"?token={shown}&producer=p"),
               server.connect(encoding)]
    answer = clients[2].request("auth", token=shown)
    assert answer["op"] == "authenticated" and answer["user"] == AN
    assert 0 < answer["expires"] - time.time() <= 600
    for client in clients:
        client.subscribe(f"user:{AN}")
        client.subscribe("stream:behavior")
        for channel in (f"user:{BINH}", "user:*", "user:", "stream:cost", "other", "user:{sub}"):
            assert code_of(client.subscribe, channel) == "forbidden"
        assert client.publish("behavior", [event()], ack="committed")["count"] == 1
        for name in ("cost", "behavior2", "no such stream", "*"):
            assert code_of(client.publish, name, [{}]) == "forbidden"
    assert len(clients[0].events(3, channel=f"user:{AN}")) == 3


def test_nothing_is_done_without_a_token(make_guarded):
    """A session without a token may ping and send `auth`; every other request is `unauthorized`,
    and after the deadline it is closed."""
    server = make_guarded(settings={"auth_deadline_s": 1})
    client = server.connect()
    assert client.request("ping")["op"] == "pong"
    assert code_of(client.publish, "behavior", [event()]) == "unauthorized"
    assert code_of(client.publish, "no such stream", [{}]) == "unauthorized"
    assert code_of(client.subscribe, "stream:behavior") == "unauthorized"
    assert client.wait_closed() == 1008
    strange = server.connect()
    with pytest.raises(Closed) as closed:
        strange.send_raw("x" * 20000)
        strange.receive()
    assert closed.value.code == 1009


def test_wrong_tokens(make_guarded):
    """Every kind of wrong token is refused in all three ways, and says nothing of itself in a log."""
    server = make_guarded(settings={"auth_issuer": "us", "auth_audience": "penstock"})
    good = {"iss": "us", "aud": ["penstock"], "publish": ["*"]}
    wrong = {
        "expired": token(AN, -100, **good),
        "early": token(AN, nbf=int(time.time()) + 300, **good),
        "without exp": sign({"sub": AN, **good}),
        "issuer": token(AN, **{**good, "iss": "them"}),
        "audience": token(AN, **{**good, "aud": "them"}),
        "forged": token(AN, secret="x" * 40, **good),
        "none": token(AN, header={"alg": "none"}, **good),
        "unsigned": token(AN, header={"alg": "none"}, **good).rsplit(".", 1)[0] + ".",
        "no token": "abc",
        "empty": "",
    }
    server.connect(headers=bearer(token(AN, **good))).publish("behavior", [event()])
    for kind, text in wrong.items():
        assert refusal_of(server, path=f"?token={text}") == 401, kind
        if text:
            assert refusal_of(server, headers=bearer(text)) == 401, kind
        assert server.http("GET", f"/v1/streams?token={text}")[0] == 401, kind
        client = server.connect()
        assert code_of(client.request, "auth", token=text) == "unauthorized", kind
        assert code_of(client.publish, "behavior", [event()]) == "unauthorized", kind
        client.close()
    assert refusal_of(server, path="?token=a.b.c", headers=bearer("a.b.c")) == 400
    guesser = server.connect()
    for _ in range(5):
        assert code_of(guesser.request, "auth", token=wrong["forged"]) == "unauthorized"
    assert guesser.wait_closed() == 1008
    assert server.database.count("BehaviorLog") == 1


def test_who_guesses_tokens_over_http_must_connect_again(make_guarded):
    """After five wrong tokens the connection ends, so that limits of connections hold for guessing; a good
    one in between forgives. Each refusal is a line of the log with address and reason, without the token."""
    server = make_guarded(settings={"log_level": "info"})
    wrong, good = token(AN, secret="x" * 40), token(AN)

    def ask(connection, shown):
        connection.request("GET", "/v1/streams", headers=bearer(shown))
        response = connection.getresponse()
        response.read()
        return response.status, response.will_close

    with contextlib.closing(server.http_connection(10)) as connection:
        assert [ask(connection, wrong) for _ in range(4)] == [(401, False)] * 4
        assert ask(connection, good) == (200, False)
        assert [ask(connection, wrong) for _ in range(4)] == [(401, False)] * 4
        assert ask(connection, wrong) == (401, True)
    said = [line for line in server.log().splitlines() if "token refused: " in line]
    assert len(said) == 9 and all("level=info" in line and "from=127.0.0.1" in line for line in said)
    assert all("because=the token's signature is wrong" in line for line in said)


def test_a_set_that_alone_has_changed_is_taken_at_a_reload(make_server):
    """SIGHUP with another `set` and nothing else: the columns are filled from the token from then on."""
    def streams(*sets):
        listed = ", ".join(f'"{each}"' for each in sets)
        return ('stream "behavior" {\n table = "BehaviorLog"\n channels = {"user:{userId}"}\n'
                f' set = {{{listed}}}\n}}\n')

    server = make_server(streams=streams("userId = claim sub"), env={"PENSTOCK_AUTH_KEY": SECRET},
                         settings={"allow_publish": "*"}).start()
    client = server.connect(headers=bearer(token(AN, kind="from the token")))
    client.publish("behavior", [{"eventType": "from the client"}], ack="committed")
    server.streams = streams("userId = claim sub", "eventType = claim kind")
    server.write_config()
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("has other columns set from claims")
    client.publish("behavior", [{}], ack="committed")
    rows = server.database.query('SELECT "eventType" FROM "BehaviorLog"')
    assert sorted(row[0] for row in rows) == ["from the client", "from the token"]


def test_whose_tokens_count_may_change_at_a_reload(make_guarded):
    """SIGHUP with another issuer, audience and leeway: the next token is judged by these, and who is
    connected goes on until his token ends."""
    server = make_guarded(settings={"auth_issuer": "us", "auth_audience": "penstock",
                                    "auth_leeway_s": 0, "auth_grace_s": 0})
    ours = bearer(token(AN, publish=["*"], iss="us", aud="penstock"))
    theirs = bearer(token(AN, publish=["*"], iss="them", aud="others"))
    late = bearer(token(AN, -60, publish=["*"], iss="them", aud="others"))
    client = server.connect(headers=ours)
    assert [refusal_of(server, headers=one) for one in (theirs, late)] == [401, 401]
    server.settings.update(auth_issuer="them", auth_audience="others", auth_leeway_s=300)
    server.write_config()
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("auth_leeway_s 0 → 300")
    assert refusal_of(server, headers=ours) == 401
    for headers in (theirs, late):
        server.connect(headers=headers).publish("behavior", [event()], ack="committed")
    client.publish("behavior", [event()], ack="committed")


def test_rules_of_the_configuration(make_guarded):
    """`allow_publish` and `allow_subscribe` hold for every valid token; values of claims are put in
    as they stand and reach into no other name."""
    server = make_guarded(settings={
        "allow_publish": "beh*", "allow_subscribe": "user:{sub}, group:{groups}, n.{dotted}.x, news:*",
        "auth_publish_claim": "", "auth_subscribe_claim": "https://x.example/channels"})
    client = server.connect(headers=bearer(token(
        AN, groups=["a", 7, "*", "b:c", ""], dotted="1.2", publish=["*"],
        **{"https://x.example/channels": "extra"})))
    for channel in (f"user:{AN}", "group:a", "group:7", "news:", "news:a:b", "extra"):
        assert client.subscribe(channel)["channel"] == channel
    for channel in ("group:*", "group:b:c", "group:", "n.1.2.x", "new", "extra2", f"user:{BINH}"):
        assert code_of(client.subscribe, channel) == "forbidden"
    client.publish("behavior", [event()])
    assert code_of(client.publish, "cost", [{}]) == "forbidden"
    for sub in ("*", f"{AN}:private", "a/b", "a\tb"):
        hostile = server.connect(headers=bearer(token(sub)))
        for channel in (f"user:{sub}", f"user:{AN}", f"user:{AN}:private"):
            with pytest.raises(Problem):
                hostile.subscribe(channel)
    nobody = server.connect(headers=bearer(token()))
    assert code_of(nobody.subscribe, "user:") == "forbidden"
    nobody.subscribe("news:1")


def test_refresh(make_guarded):
    """A fresh token takes the place of the last: what it allows is allowed, what it does not allow
    any more is ended with a reason, and nothing goes on there. Another user's token is refused, and a
    wrong one changes nothing."""
    server = make_guarded()
    client = server.connect(headers=bearer(token(AN, publish=["behavior"],
                                                 subscribe=["user:{sub}", "stream:behavior"])))
    client.subscribe(f"user:{AN}")
    client.subscribe("stream:behavior")
    assert code_of(client.request, "auth", token=token(BINH, subscribe=["*"])) == "forbidden"
    assert code_of(client.request, "auth", token=token(subscribe=["*"])) == "forbidden"
    assert code_of(client.request, "auth", token="a.b.c") == "unauthorized"
    client.publish("behavior", [event()], ack="committed")
    assert client.events(1, channel="stream:behavior") and client.events(1, channel=f"user:{AN}")
    client.request("auth", token=token(AN, publish=["behavior"], subscribe=["user:{sub}", "more"]))
    ended = client.expect("unsubscribed")
    assert ended["channel"] == "stream:behavior" and "token" in ended["reason"]
    client.subscribe("more")
    client.publish("behavior", [event()], ack="committed")
    assert client.events(1, channel=f"user:{AN}")
    client.quiet()
    client.request("auth", token=token(AN))
    assert code_of(client.publish, "behavior", [event()]) == "forbidden"


def test_channels_that_a_reload_forbids(make_guarded):
    """SIGHUP with a channel taken out of `allow_subscribe`: who hears it is told that this is over, a
    stream over HTTP ends and its client is refused when it comes back. Other channels go on."""
    server = make_guarded(settings={"allow_subscribe": "news:*, weather"})
    shown = bearer(token(AN, publish=["*"], subscribe=["stream:behavior"]))
    client = server.connect(headers=shown)
    for channel in ("news:1", "weather", "stream:behavior"):
        client.subscribe(channel)
    streaming = {**shown, "Accept": "text/event-stream"}
    with contextlib.closing(server.http_connection(PATIENCE_S)) as ending, \
            contextlib.closing(server.http_connection(PATIENCE_S)) as staying:
        for connection, channel in ((ending, "news:2"), (staying, "weather")):
            connection.request("GET", f"/v1/channels/{channel}/events", headers=streaming)
        ended, stays = ending.getresponse(), staying.getresponse()
        assert (ended.status, stays.status) == (200, 200)
        server.settings["allow_subscribe"] = "weather"
        server.write_config()
        server.process.send_signal(signal.SIGHUP)
        over = client.expect("unsubscribed")
        assert over["channel"] == "news:1" and "rules" in over["reason"]
        assert b"event: closing\ndata: {\"reason\":\"this channel is not allowed any more\"}" in ended.read()
        client.publish("behavior", [event()], ack="committed")
        assert client.events(1, channel="stream:behavior")
        assert code_of(client.subscribe, "news:1") == "forbidden"
        assert server.http("GET", "/v1/channels/news:2/events", headers=streaming)[0] == 403
        until("the others are there", lambda: server.http("GET", "/metrics", headers=bearer(
            "what-tests-ask-metrics-with"))[2].find(b'penstock_edge_subscriptions{edge="0"} 3\n') >= 0)


def test_expiry(make_guarded):
    """A session whose token has expired is closed with 1008 after the grace period; one that sent a
    fresh token in time goes on."""
    server = make_guarded(settings={"auth_leeway_s": 0, "auth_grace_s": 2})
    short = token(AN, 1, publish=["behavior"])
    late, refreshed = server.connect(headers=bearer(short)), server.connect(headers=bearer(short))
    refreshed.request("auth", token=token(AN, 600, publish=["behavior"]))
    began = time.time()
    with pytest.raises(Closed) as closed:
        late.receive()
    assert closed.value.code == 1008 and closed.value.reason == "the token has expired"
    assert time.time() - began > 1
    refreshed.publish("behavior", [event()])
    assert code_of(refreshed.request, "auth", token=short) == "unauthorized"


def test_pages(make_guarded, tmp_path):
    """/healthz and /readyz are open; /v1/streams shows a token's own streams; /metrics and the pages for
    operators are for who has the password of metrics_token_file, or a token whose claim says so with
    `true` and nothing like it."""
    password = tmp_path / "metrics"
    password.write_text("a password for prometheus\n".replace(" ", "-"))
    server = make_guarded(settings={"metrics_token_file": str(password)})
    operator, user = bearer("a-password-for-prometheus"), bearer(token(AN, publish=["cost"]))
    assert server.http("GET", "/healthz")[0] == server.http("GET", "/readyz")[0] == 200
    pages = ("/metrics", "/v1/publishers", "/v1/refusals", "/v1/channels")
    expired = bearer(token(AN, -100, penstock_operator=True))
    for headers in ({}, expired, bearer("a-password-for-prometheuz"), bearer("a")):
        for page in pages:
            status, answered, _ = server.http("GET", page, headers=headers)
            assert status == 401 and answered["www-authenticate"] == "Bearer"
    for claims in ({}, {"penstock_operator": False}, {"penstock_operator": "true"}, {"operator": True},
                   {"penstock_operator": 1}, {"penstock_operator": [True]}):
        for page in pages:
            assert server.http("GET", page, headers=bearer(token(AN, **claims)))[0] == 403
    for headers in (operator, bearer(token(AN, penstock_operator=True))):
        for page in pages:
            assert server.http("GET", page, headers=headers)[0] == 200
    status, _, body = server.http("GET", "/metrics", headers=operator)
    assert status == 200 and b"penstock_edge_tokens_refused_total" in body
    assert server.metrics()["penstock_operator_pages"] == 1
    assert server.http("GET", "/v1/streams")[0] == 401
    _, _, body = server.http("GET", "/v1/streams", headers=user)
    assert b'"cost"' in body and b"behavior" not in body
    _, _, body = server.http("GET", "/v1/streams", headers=operator)
    assert b'"cost"' in body and b'"behavior"' in body
    password.write_text("short\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("must hold 16 bytes or more")
    assert server.http("GET", "/metrics", headers=operator)[0] == 200  # stays as it was
    password.write_text("another-password-for-prometheus\n")
    server.process.send_signal(signal.SIGHUP)
    until("the new password is asked for", lambda: server.http("GET", "/metrics", headers=operator)[0] == 401)
    assert server.http("GET", "/metrics", headers=bearer("another-password-for-prometheus"))[0] == 200


def test_keys_are_rotated_by_sighup(make_guarded, tmp_path):
    """SIGHUP reads the key file again: new sessions need the new key, those that are there go on. A
    file that cannot be read changes nothing."""
    keys = tmp_path / "key"
    keys.write_text(SECRET)
    server = make_guarded(settings={"auth_key_file": str(keys)}, env={"PENSTOCK_AUTH_KEY": ""})
    other = SECRET[::-1]
    before = server.connect(headers=bearer(token(AN, publish=["behavior"])))
    assert refusal_of(server, headers=bearer(token(AN, secret=other))) == 401
    keys.write_text("too short")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("the configuration stays as it was, with keys and certificates: ")
    server.connect(headers=bearer(token(AN)))
    keys.write_text(other)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("the keys for tokens were read again")
    assert refusal_of(server, headers=bearer(token(AN))) == 401
    server.connect(headers=bearer(token(AN, secret=other)))
    before.publish("behavior", [event()])


def test_a_reload_is_taken_as_a_whole(make_guarded, tmp_path):
    """SIGHUP with one good part and one bad: a new key beside a mistake in the configuration, and new
    settings beside a key that is none, are not taken; each is when the other is mended."""
    keys = tmp_path / "key"
    keys.write_text(SECRET)
    server = make_guarded(settings={"auth_key_file": str(keys)}, env={"PENSTOCK_AUTH_KEY": ""})
    other = SECRET[::-1]

    def hang_up():
        before = len(server.log())
        server.process.send_signal(signal.SIGHUP)
        return until("the outcome", lambda: [line for line in server.log()[before:].splitlines()
                                             if "stays as it was" in line or "reloaded: " in line])[0]

    keys.write_text(other)
    server.settings["channels"] = "none"
    server.write_config()
    assert "stays as it was: " in hang_up()
    server.connect(headers=bearer(token(AN)))
    assert refusal_of(server, headers=bearer(token(AN, secret=other))) == 401
    keys.write_text("too short")
    server.settings["channels"] = 7
    server.write_config()
    assert "with keys and certificates: the key file" in hang_up()
    assert server.connect(headers=bearer(token(AN))).welcome["limits"]["channels"] != 7
    keys.write_text(other)
    known, server.streams = server.streams, server.streams + stream("late", "NotThere")
    server.write_config()
    assert "NotThere" in hang_up()
    server.connect(headers=bearer(token(AN)))  # nor is a good key, beside a table that is not there
    server.streams = known
    server.write_config()
    assert "channels" in hang_up()
    assert server.connect(headers=bearer(token(AN, secret=other))).welcome["limits"]["channels"] == 7
    assert refusal_of(server, headers=bearer(token(AN))) == 401


def test_columns_are_set_from_the_token(make_server, encoding):
    """`set`: the row, the push and the channel have what the token says. An event that says
    something else is refused and names the field; a token without a claim that fits is no reason to
    take the client's word. After a refresh, the new token's claims are set."""
    streams = ('stream "behavior" {\n table = "BehaviorLog"\n channels = {"user:{userId}"}\n'
               ' set = {"userId = claim sub", "eventType = claim kind"}\n}\n')
    server = make_server(streams=streams, env={"PENSTOCK_AUTH_KEY": SECRET},
                         settings={"allow_publish": "*", "allow_subscribe": "user:{sub}"}).start()
    client = server.connect(encoding, headers=bearer(token(AN, kind="k")))
    client.subscribe(f"user:{AN}")
    client.publish("behavior", [{}, {"userId": AN.upper(), "metadata": 1}], ack="committed")
    assert [e["data"]["userId"] for e in client.events(2)] == [AN, AN]
    with pytest.raises(Problem) as problem:
        client.publish("behavior", [{}, {"userId": BINH}])
    answer = problem.value.message
    assert (answer["code"], answer["index"], answer["field"]) == ("invalid_event", 1, "userId")
    client.request("auth", token=token(AN, kind="after the refresh"))
    client.publish("behavior", [{}], ack="committed")
    for claims in ({}, {"kind": 7}, {"kind": None}):
        client.request("auth", token=token(AN, **claims))
        assert code_of(client.publish, "behavior", [event()]) == "forbidden"
    other = server.connect(encoding, headers=bearer(token("no uuid", kind="k")))
    with pytest.raises(Problem) as problem:
        other.publish("behavior", [event()])
    assert problem.value.message["code"] == "forbidden"
    assert "no uuid" not in problem.value.message["message"]
    rows = server.database.query('SELECT "userId"::text, "eventType" FROM "BehaviorLog"')
    assert sorted(map(tuple, rows)) == [(AN, "after the refresh"), (AN, "k"), (AN, "k")]
    server.database.execute('ALTER TABLE "BehaviorLog" ADD COLUMN more int')
    server.process.send_signal(signal.SIGHUP)
    def fields():
        return server.http("GET", f"/v1/streams?token={token(AN)}")[2]

    until("the new column is known", lambda: b'"more"' in fields())
    client.request("auth", token=token(AN, kind="altered"))
    client.publish("behavior", [{"more": 1}], ack="committed")
    assert b'"name":"userId","type":"uuid","required":false,"nullable":false,"set":"token"' in fields()


def test_the_token_command(make_guarded, tmp_path):
    """`penstock token` prints a token that this server takes, with what was asked for in it, and its
    secret comes from the environment or a file, never from an argument."""
    server = make_guarded(settings={"auth_issuer": "us", "auth_audience": "penstock"})
    common = ["--config", server.config_path]
    env = {"PENSTOCK_AUTH_KEY": SECRET}
    code, text, err = run("token", "--sub", AN, "--publish=behavior", "--subscribe", "user:{sub}",
                          "--expires", "5m", *common, env=env)
    assert code == 0, err
    client = server.connect(headers=bearer(text.strip()))
    client.subscribe(f"user:{AN}")
    client.publish("behavior", [event()], ack="committed")
    assert code_of(client.publish, "cost", [{}]) == "forbidden"
    code, text, err = run("token", "--sub", AN, "--expires", "soon", *common, env=env)
    assert code == 2 and text == "" and "--expires" in err
    code, text, err = run("token", f"--auth-key={SECRET}")
    assert code == 2 and text == "" and "secret" in err and SECRET not in err
    code, text, err = run("token", "--sub", AN)
    assert code == 2 and "auth_key_file" in err
    assert SECRET not in open(f"/proc/{server.process.pid}/cmdline", encoding="utf-8").read()


def test_what_serve_refuses(database, tmp_path):
    """No start on an address that others reach without tokens and TLS, with a key that is none, or
    with columns that nobody would fill."""
    def refused(*flags, env=None):
        code, _, err = run("serve", *flags, env={"DATABASE_URL": database.url, **(env or {})})
        assert code == 2, err
        return err

    key = {"PENSTOCK_AUTH_KEY": SECRET}
    assert "clients are not asked who they are" in refused("--listen=0.0.0.0:0")
    assert "would cross the network unprotected" in refused("--listen=0.0.0.0:0", env=key)
    assert "no key that verifies tokens" in refused(env={"PENSTOCK_AUTH_KEY": "short"})
    assert "cannot open the key file" in refused("--auth-key-file=/nowhere/key")
    assert "https://" in refused("--auth-jwks-url=http://issuer.example/keys")
    config = tmp_path / "penstock.conf"
    config.write_text('stream "a" { table = "T" set = {"userId = claim sub"} }\n')
    assert "sets columns from tokens" in refused(f"--config={config}")


def test_http_is_held_to_the_token(make_guarded):
    """POST, pages and event streams ask for the same rights as a WebSocket, for each request anew."""
    server = make_guarded()
    shown = bearer(token(AN, publish=["behavior"], subscribe=["user:{sub}"]))
    body = json.dumps(event())
    json_body = {"Content-Type": "application/json"}

    def post(stream, headers):
        return server.http("POST", f"/v1/streams/{stream}/events?ack=committed", body,
                           {**json_body, **headers})[0]

    def page(channel, headers):
        return server.http("GET", f"/v1/channels/{channel}/events?last=5", headers=headers)

    assert (post("behavior", {}), post("behavior", bearer("x.y.z"))) == (401, 401)
    assert (post("cost", shown), post("behavior", shown)) == (403, 200)
    assert page(f"user:{AN}", {})[0] == 401
    assert page(f"user:{BINH}", shown)[0] == page("stream:behavior", shown)[0] == 403
    status, _, text = page(f"user:{AN}", shown)
    assert status == 200 and len(json.loads(text)["events"]) == 1
    refused = {**shown, "Accept": "text/event-stream"}
    assert server.http("GET", f"/v1/channels/user:{BINH}/events", headers=refused)[0] == 403
    far = f"/v1/channels/user:{AN}/events?since={2**53 - 1}"  # where the log ends is not said before
    for headers, expected in (({}, 401), (bearer("x.y.z"), 401)):
        status, _, text = server.http("GET", far, headers=headers)
        assert status == expected and b"offset" not in text
    assert json.loads(server.http("GET", far, headers=shown)[2])["recovered"] is False
