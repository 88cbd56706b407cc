"""HTTP requests that no honest client sends: each gets one clear refusal or the end of the connection,
never a file, never a second answer, never another protocol; with the bystander served all the while."""

import contextlib
import re
import socket

import pytest

from penstock.wait import PATIENCE_S

HOST = "Host: localhost\r\n"
WS = ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
HIDDEN = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"

# Two readings of where a body ends: what hides behind it must not be answered.
SMUGGLED = {
    "two lengths": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 0\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "two lengths in one": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 0, {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a length and chunks": f"POST / HTTP/1.1\r\n{HOST}Content-Length: {len(HIDDEN) + 5}\r\n"
                           f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks and a length": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
                           f"0\r\n\r\n{HIDDEN}",
    "chunks in disguise": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a length with a sign": f"POST / HTTP/1.1\r\n{HOST}Content-Length: +5\r\n\r\nhello{HIDDEN}",
    "a negative length": f"POST / HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\n{HIDDEN}",
    "a length beyond all": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 99999999999999999999\r\n\r\n{HIDDEN}",
    "a length in hexadecimal": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 0x5\r\n\r\nhello{HIDDEN}",
    "a GET with a length twice": f"GET /healthz HTTP/1.1\r\n{HOST}Content-Length: 3\r\nContent-Length: 4\r\n\r\n"
                                 f"abc{HIDDEN}",
    "behind an upgrade": f"GET /v1/ws HTTP/1.1\r\n{HOST}{WS}Content-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
}

HEADERS = {
    "a folded header": f"GET /v1/ws HTTP/1.1\r\n{HOST}{WS}X-Folded: a\r\n b\r\n\r\n",
    "NUL in a value": f"GET /v1/ws HTTP/1.1\r\nHost: local\0host\r\n{WS}\r\n",
    "NUL in a name": f"GET /v1/ws HTTP/1.1\r\n{HOST}Up\0grade: websocket\r\n{WS[20:]}\r\n",
    "a control character": f"GET /v1/ws HTTP/1.1\r\nHost: local\x07host\r\n{WS}\r\n",
    "another request among the headers": f"GET /healthz HTTP/1.1\r\n{HOST}POST /metrics HTTP/1.1\r\n\r\n",
    "the same method among the headers": f"GET /healthz HTTP/1.1\r\n{HOST}GET /metrics HTTP/1.1\r\n\r\n",
    "another request before an upgrade": f"PUT /x HTTP/1.1\r\nGET /v1/ws HTTP/1.1\r\n{HOST}{WS}\r\n",
    "no host": f"GET /v1/ws HTTP/1.1\r\n{WS}\r\n",
    "no host over HTTP": "GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": f"GET /healthz HTTP/1.1\r\n{HOST}Host: example.org\r\n\r\n",
    "a host with a path": "GET /healthz HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
    "a host with a user": "GET /healthz HTTP/1.1\r\nHost: me@localhost\r\n\r\n",
    "a huge header": f"GET /healthz HTTP/1.1\r\n{HOST}X-Huge: {'x' * 100_000}\r\n\r\n",
    "very many headers": f"GET /healthz HTTP/1.1\r\n{HOST}" + "X-A: b\r\n" * 20_000 + "\r\n",
    "a long path": f"GET /{'x' * 50_000} HTTP/1.1\r\n{HOST}\r\n",
    "many arguments": f"GET /v1/ws?{'a=b&' * 20_000} HTTP/1.1\r\n{HOST}{WS}\r\n",
    "a huge host": f"GET /healthz HTTP/1.1\r\nHost: {'x' * 3000}\r\n\r\n",
}

PROTOCOLS = {
    "h2c by upgrade": f"GET / HTTP/1.1\r\n{HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    "h2c at the WebSocket": f"GET /v1/ws HTTP/1.1\r\n{HOST}Connection: Upgrade, HTTP2-Settings\r\n"
                            "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    "h2 with prior knowledge": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "a tunnel": f"CONNECT 127.0.0.1:5432 HTTP/1.1\r\n{HOST}\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\0" * 500,
    "HTTP/0.9": "GET /healthz\r\n\r\n",
    "HTTP/3.0": f"GET /healthz HTTP/3.0\r\n{HOST}\r\n",
    "a PROXY header": f"PROXY TCP4 198.51.100.1 192.0.2.1 1 2\r\n\r\nGET /healthz HTTP/1.1\r\n{HOST}\r\n",
    "bytes": "".join(chr(n) for n in range(256)) * 10 + "\r\n\r\n",
}

PATHS = ["/../../../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..", "/.",
         "/main.js/..%00", "/main.js%00.html", "/main.js%0d%0aX-Injected:%20yes", "//etc/passwd", "/v1/ws/",
         "/v1/ws/../../etc/passwd", "/V1/WS", "/%", "/%zz", "/%c0%ae%c0%ae/etc/passwd",
         "/v1/streams/../../metrics/x", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "*",
         "/\\..\\..\\etc\\passwd", "/;/metrics/x"]


@pytest.fixture
def ask(server):
    """Sends the bytes on a connection of their own, and reads to its end."""
    def ask(request):
        with contextlib.closing(socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)) as sock:
            answer = b""
            with contextlib.suppress(OSError):  # it may have ended before it was all sent
                sock.sendall(request.encode("latin-1"))
                sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while got := sock.recv(1 << 16):
                    answer += got
            return answer
    return ask


def assert_refused(name, answer):
    """One refusal (libwebsockets' own ones say HTTP/1.0), or nothing at all."""
    assert answer.count(b"HTTP/1.") <= 1, f"{name} was answered twice:\n{answer}"
    assert answer == b"" or re.match(rb"HTTP/1\.[01] 4", answer), f"{name} was answered:\n{answer}"
    assert b"penstock_edge" not in answer and b"root:" not in answer and b"X-Injected" not in answer


def test_smuggled_requests_are_not_answered(ask):
    for name, request in SMUGGLED.items():
        assert_refused(name, ask(request))


def test_headers_that_no_client_sends_are_refused(ask):
    for name, request in HEADERS.items():
        assert_refused(name, ask(request))


def test_other_protocols_are_not_spoken(ask):
    for name, request in PROTOCOLS.items():
        answer = ask(request)
        assert b" 101 " not in answer
        assert_refused(name, answer)


def test_paths_lead_nowhere(ask):
    for path in PATHS:
        answer = ask(f"GET {path} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        page = answer.startswith(b"HTTP/1.1 200 ") and b"<title>" in answer
        if not page:  # the console itself, once the dots are gone
            assert_refused(path, answer)
        answer = ask(f"GET {path} HTTP/1.1\r\n{HOST}{WS}\r\n")
        assert not answer.startswith(b"HTTP/1.1 101 "), f"{path} is no WebSocket"


def test_slashes_and_dots_are_folded_before_anything_is_looked_up(ask):
    """libwebsockets does so; what we see, and judge, is the path that is left."""
    for path in ("/v1//ws", "/v1/./ws", "/x/../v1/ws"):
        assert ask(f"GET {path} HTTP/1.1\r\n{HOST}{WS}\r\n").startswith(b"HTTP/1.1 101 ")
        assert ask(f"GET {path} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").startswith(b"HTTP/1.1 426 ")


def test_a_foreign_host_is_answered_to_probes_alone(ask):
    """Without tokens a name that is not known to be the server's may be that of a page elsewhere."""
    for path, status in (("/healthz", b"200"), ("/readyz", b"200"), ("/acceptz", b"200"), ("/metrics", b"403"), ("/nowhere", b"403")):
        answer = ask(f"GET {path} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 " + status + b" "), path
