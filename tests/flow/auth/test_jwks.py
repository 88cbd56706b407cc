"""Keys from an issuer: fetched, cached, rotated, and kept while the issuer is away."""

import contextlib
import http.server
import json
import ssl
import threading
import time

import pytest
from test_tls import make_certificate

from penstock import Refused, run, until
from penstock.tokens import base64url, bearer, token

FIRST, SECOND = "the first secret of an issuer, of 32 bytes or more", "its second secret, as long as the first one"


def jwks(**secrets):
    return json.dumps({"keys": [{"kty": "oct", "kid": kid, "alg": "HS256",
                                 "k": base64url(secret.encode())} for kid, secret in secrets.items()]})


class Issuer:
    """Answers every request with `answer` (status, body), and counts them."""

    def __init__(self, certificate=None, key=None):
        issuer = self
        self.answer, self.requests = (200, jwks(a=FIRST)), 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.requests += 1
                status, body = issuer.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body.encode())))  # over TLS an end is not enough
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://localhost:{self.server.server_port}/keys"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def issuer():
    with contextlib.closing(Issuer()) as issuer:
        yield issuer


def signed(kid, secret):
    return bearer(token("u", secret=secret, header={"alg": "HS256", "kid": kid}))


def is_taken(server, headers):
    try:
        server.connect(headers=headers).close()
        return True
    except Refused as refused:
        assert refused.status == 401
        return False


def test_keys_of_an_issuer(make_server, issuer):
    """The issuer's keys verify tokens. One that it has just begun to use is refused once and fetched for;
    a storm of invented ones is not passed on. Whatever else the issuer answers, or that it is away,
    takes no key away; a key that it withdraws ends."""
    server = make_server(settings={"auth_jwks_url": issuer.url, "auth_jwks_refresh_s": 86400}).start()
    first, second = signed("a", FIRST), signed("b", SECOND)
    until("the first keys", lambda: is_taken(server, first))
    assert issuer.requests == 1
    issuer.answer = (200, jwks(a=FIRST, b=SECOND))
    until("the rotated key", lambda: is_taken(server, second))
    assert is_taken(server, first)
    assert issuer.requests == 2
    began = time.monotonic()
    for number in range(50):
        assert not is_taken(server, signed(f"invented {number}", FIRST))
    assert issuer.requests <= 3 + (time.monotonic() - began) / 2
    for answer in ((500, "trouble"), (302, ""), (200, "no JSON"),
                   (200, jwks(a=FIRST) + " " * (300 << 10))):
        issuer.answer, before = answer, issuer.requests
        until("another request", lambda: not is_taken(server, signed("x", FIRST))
              and issuer.requests > before)
        assert is_taken(server, first) and is_taken(server, second)
    assert "the keys cannot be fetched" in server.log()
    issuer.answer = (200, jwks(b=SECOND))
    until("the withdrawal", lambda: not is_taken(server, signed("x", FIRST)) and
          not is_taken(server, first))
    assert is_taken(server, second)
    assert "the keys are fetched again" in server.log()
    assert "eyJ" not in server.log() and FIRST[:12] not in server.log()


def test_an_issuer_that_is_away(make_server):
    """A start does not wait for the issuer: without its keys, tokens are refused, and the server is up."""
    server = make_server(settings={"auth_jwks_url": "http://127.0.0.1:9/keys"}).start()
    server.wait_for_log("the keys cannot be fetched")
    assert not is_taken(server, signed("a", FIRST))
    assert server.metrics()["penstock_jwks_failing"] == 1


def test_an_issuer_behind_tls(make_server, tmp_path):
    """Keys come over TLS from a server that our authority vouches for, under the name in the URL. From
    any other they do not come, and the log says why."""
    certificate, key = make_certificate(tmp_path, "issuer")
    with contextlib.closing(Issuer(certificate, key)) as issuer:
        ours = {"auth_jwks_url": issuer.url, "auth_jwks_authority": str(certificate)}
        server = make_server(settings=ours).start()
        until("the keys", lambda: is_taken(server, signed("a", FIRST)))
        assert server.metrics()["penstock_jwks_failing"] == 0
        answered = issuer.requests
        other, _ = make_certificate(tmp_path, "other")
        for changes in ({"auth_jwks_authority": ""}, {"auth_jwks_authority": str(other)},
                        {"auth_jwks_url": issuer.url.replace("localhost", "127.0.0.1")}):
            stranger = make_server(settings={**ours, **changes}).start()
            stranger.wait_for_log("the keys cannot be fetched: ")
            assert "certificate" in stranger.log()
            assert not is_taken(stranger, signed("a", FIRST))
        assert issuer.requests == answered


def test_an_authority_that_cannot_be_read(database):
    code, _, err = run("serve", "--listen=127.0.0.1:0", "--auth-jwks-url=https://issuer.example/keys",
                       "--auth-jwks-authority=/nowhere/ca.pem", env={"DATABASE_URL": database.url})
    assert code == 2 and "auth_jwks_authority /nowhere/ca.pem: No such file" in err
