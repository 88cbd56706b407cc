"""Strangers: with tokens that nobody signed, and pages that nobody let in. None of them gets further than the door,
by whichever way they come; conftest.py asserts that the bystander, who has a token, is served meanwhile and that
nothing of the attack is left."""

import base64
import contextlib
import json
import time

import pytest
from raw import upgrade_request

from penstock import Closed
from penstock.client import Problem
from penstock.tokens import SECRET, base64url, bearer, sign, token

APP = "https://app.example"
EVERYTHING = {"publish": ["*"], "subscribe": ["*"], "operator": True}
GUARDED = ({"origins": APP}, {"PENSTOCK_AUTH_KEY": SECRET})
BYSTANDER_HEADERS = bearer(token(valid_s=3600, **EVERYTHING))
PUBLISH, PAGES = "/v1/streams/behavior/events", ("/metrics", "/v1/refusals", "/v1/channels/stream:behavior/events")


def unsigned(algorithm):
    """As libraries once took it: no signature is needed, because the token says so."""
    parts = [{"alg": algorithm, "typ": "JWT"}, {"exp": int(time.time()) + 600, **EVERYTHING}]
    return ".".join(base64url(json.dumps(part).encode()) for part in parts) + "."


def guessed(**header):
    """Signed with a secret of one's own, and a header that says where to find it."""
    return token(header={"alg": "HS256", "typ": "JWT", **header}, secret="guessed" * 10, **EVERYTHING)


def exchanged():
    """A good one with other claims between its header and its signature."""
    header, _, signature = token(publish=[]).split(".")
    claims = base64url(json.dumps({"exp": int(time.time()) + 600, **EVERYTHING}).encode())
    return f"{header}.{claims}.{signature}"


TOKENS = {
    "another's signature": guessed(), "an empty secret": token(secret="", **EVERYTHING),
    "no signature": unsigned("none"), "No signature": unsigned("nOnE"), "an empty algorithm": unsigned(""),
    "the signature left out": token(**EVERYTHING).rpartition(".")[0] + ".",
    "exchanged claims": exchanged(),
    "another algorithm": token(header={"alg": "RS256", "typ": "JWT"}, **EVERYTHING),
    "a longer hash": token(header={"alg": "HS512", "typ": "JWT"}, **EVERYTHING),
    "a key of its own": guessed(jwk={"kty": "oct", "k": base64.urlsafe_b64encode(b"guessed" * 10).decode()}),
    "a key elsewhere": guessed(jku="http://127.0.0.1:1/keys"),
    "a key in a file": guessed(kid="../../../../dev/null"),
    "a demand nobody knows": token(header={"alg": "HS256", "crit": ["b64"], "b64": False}, **EVERYTHING),
    "expired": token(valid_s=-3600, **EVERYTHING),
    "not yet": token(nbf=int(time.time()) + 3600, **EVERYTHING),
    "an end in words": sign({"exp": "tomorrow", **EVERYTHING}),
    "not JSON": "e30.bm90IEpTT04.c2ln", "dots": "." * 1000, "one word": "x" * 3000,
}
ORIGINS = ["https://app.example.evil.example", "https://evil.example", "http://app.example", "https://app.example:444",
           "https://APP.example", "https://app.example/", "https://user@app.example", "null", "file://", "*"]


def upgrade(server, headers, path="/v1/ws"):
    """The status of the answer."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with contextlib.closing(server.socket()) as connection:
        connection.sendall(upgrade_request(path)[:-2] + f"{lines}\r\n".encode())
        return int(connection.recv(1 << 16).split(b" ", 2)[1])


def ask(server, headers, path):
    """The same, of a request over HTTP: a publish, or a page."""
    if path != PUBLISH:
        return server.http("GET", path, headers=headers)[0]
    event = {"userId": "00000000-0000-4000-8000-000000000666", "eventType": "strange"}
    return server.http("POST", path, json.dumps(event), {"Content-Type": "application/json", **headers})[0]


@pytest.mark.parametrize("what", TOKENS)
def test_forged_tokens(server, what):
    """In a header, in the query, in `auth`, with a publish, with a page: unauthorized, each time."""
    forged = TOKENS[what]
    assert upgrade(server, bearer(forged)) == 401
    assert upgrade(server, {}, f"/v1/ws?token={forged}") == 401
    assert [ask(server, bearer(forged), path) for path in (PUBLISH, *PAGES)] == [401] * (1 + len(PAGES))
    client = server.connect()
    with pytest.raises((Problem, Closed)) as refused:
        client.request("auth", token=forged)
    assert "unauthorized" in str(refused.value) or "1008" in str(refused.value)
    with pytest.raises((Problem, Closed)):
        client.subscribe("stream:behavior")
    client.abort()


def test_guessing_ends_the_connection(server):
    """Hundreds of tokens tried on as few connections as the server lets one use."""
    tried = connections = 0
    while tried < 200:
        client, connections = server.connect(), connections + 1
        with pytest.raises(Closed) as closed:
            while True:
                tried += 1
                with contextlib.suppress(Problem):
                    client.request("auth", token=guessed(kid=str(tried)))
        assert closed.value.code == 1008
    assert connections >= 200 / 6


def test_foreign_pages(server):
    """With a good token, too: no upgrade, no publish, no page, for an origin that is not listed to the letter."""
    good = bearer(token(**EVERYTHING))
    for origin in ORIGINS:
        for headers in ({"Origin": origin}, {"Origin": origin, **good}):
            assert upgrade(server, headers) == 403, origin
            assert [ask(server, headers, path) for path in (PUBLISH, *PAGES)] == [403] * (1 + len(PAGES)), origin
    assert upgrade(server, {"Origin": APP, **good}) == 101


def test_nothing_of_theirs_is_stored(server, bystander):
    rows = server.database.query('SELECT DISTINCT "userId"::text FROM "BehaviorLog"')
    assert rows == [(bystander.user,)]
