"""Web pages: which may connect, and what their browsers are told."""

import contextlib
import json

from penstock import Refused, run
from penstock.tokens import SECRET, bearer, token

APP = "https://app.example"
AN = "00000000-0000-4000-8000-000000000001"


def status_of_upgrade(server, **headers):
    try:
        server.connect(headers=headers).close()
    except Refused as refused:
        return refused.status
    return 101


def test_pages_of_other_sites(make_server):
    """Without a list only the server's own pages may connect, by WebSocket and by HTTP; and who is no
    page at all. Refused ones are counted."""
    server = make_server().start()
    own = server.url
    assert status_of_upgrade(server) == status_of_upgrade(server, Origin=own) == 101
    for origin in (APP, "null", "http://127.0.0.1", own + ".evil.example", own.upper() + "/", ""):
        if origin:
            assert status_of_upgrade(server, Origin=origin) == 403, origin
            status, headers, body = server.http("GET", "/v1/streams", headers={"Origin": origin})
            assert status == 403 and b"`origins`" in body, origin
            assert "access-control-allow-origin" not in headers
    status, headers, _ = server.http("GET", "/v1/streams")
    assert status == 200 and headers["vary"] == "Origin"
    assert server.metrics()['penstock_edge_origins_refused_total{edge="0"}'] >= 9


def test_pages_whose_names_stand_for_us(make_server):
    """Without tokens, a page that lets its own name stand for our address reads nothing: its browser sends
    no Origin with a GET to what it takes for the page's own server. Probes are answered all the same."""
    server = make_server(settings={"hosts": "gate.example", "origins": APP, "operator_pages": "true"}).start()

    def status_of(path, host, **headers):
        status, _, body = server.http("GET", path, headers={"Host": host, **headers})
        assert status == 200 or b"name the host of this request in `hosts`" in body
        return status

    for path in ("/", "/v1/streams", "/metrics", "/v1/channels", "/v1/refusals",
                 "/v1/channels/stream:behavior/events?last=5"):
        assert status_of(path, "evil.example") == status_of(path, f"evil.example:{server.port}") == 403, path
        assert status_of(path, "penstock:8080") == 403  # a name of this network, which is not said to be trusted
    events = {"Accept": "text/event-stream"}
    assert status_of("/v1/channels/stream:behavior/events", "evil.example", **events) == 403
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "penstock.v1.json"}
    assert status_of("/v1/ws", "evil.example", **upgrade) == 403
    assert server.http("POST", "/v1/streams/behavior/events", "[]", {"Host": "evil.example"})[0] == 403
    for host in ("gate.example:8080", "app.example", f"localhost:{server.port}", "me.localhost", "10.1.2.3"):
        assert status_of("/v1/streams", host) == 200, host
    assert server.http("GET", "/healthz", headers={"Host": "evil.example"})[0] == 200
    assert server.http("GET", "/readyz", headers={"Host": "evil.example"})[0] == 200
    rebound = {"Origin": "http://evil.example", "Host": "evil.example"}
    assert server.http("GET", "/v1/streams", headers=rebound)[0] == 403
    assert "host=evil.example, which `hosts` does not name" in server.log()


def test_names_of_a_trusted_network(make_server):
    """Containers reach a server by the name of its service, Prometheus among them: such names are answered
    where the network is trusted. With tokens any name is."""
    server = make_server(settings={"trusted_network": "true"}).start()
    assert server.http("GET", "/metrics", headers={"Host": "penstock:8080"})[0] == 200
    assert server.http("GET", "/metrics", headers={"Host": "evil.example"})[0] == 403
    server.close()
    server = make_server(env={"PENSTOCK_AUTH_KEY": SECRET}).start()
    assert server.http("GET", "/v1/streams", headers={"Host": "evil.example"})[0] == 401


def test_listed_pages(make_server):
    """A listed origin may connect, and its browser may hand the answers to the page: also refusals, and
    preflights of any path. Tokens are asked for all the same."""
    server = make_server(settings={"origins": f"{APP}, http://localhost:3000"},
                         env={"PENSTOCK_AUTH_KEY": SECRET}).start()
    shown = bearer(token("u", publish=["*"]))
    assert status_of_upgrade(server, Origin=APP, **shown) == 101
    assert status_of_upgrade(server, Origin="http://localhost:3000", **shown) == 101
    assert status_of_upgrade(server, Origin="http://localhost:3001", **shown) == 403
    for path in ("/v1/streams", "/v1/streams/behavior/events", "/nowhere"):
        asked = {"Origin": APP, "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "authorization,content-type"}
        status, headers, body = server.http("OPTIONS", path, headers=asked)
        assert (status, body) == (204, b"")
        assert headers["access-control-allow-origin"] == APP and headers["vary"] == "Origin"
        assert "POST" in headers["access-control-allow-methods"]
        assert "Authorization" in headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in headers
        assert server.http("OPTIONS", path, headers={**asked, "Origin": "null"})[0] == 403
    for headers, expected in ((shown, 200), ({}, 401)):
        status, answered, _ = server.http("GET", "/v1/streams", headers={"Origin": APP, **headers})
        assert status == expected and answered["access-control-allow-origin"] == APP
    assert server.http("OPTIONS", "/v1/streams")[0] == 405  # no page asks


def answered(server, method, path, body=None, **headers):
    """The status, and what the answer's headers let the page of APP do with it; the body is not read."""
    with contextlib.closing(server.http_connection()) as connection:
        connection.request(method, path, body, {"Origin": APP, **headers})
        answer = connection.getresponse()
        vary = [value for name, value in answer.getheaders() if name.lower() == "vary"]
        assert vary == ["Origin"], path
        return answer.status, answer.getheader("Access-Control-Allow-Origin")


def test_every_answer_names_the_page(make_server):
    """What is answered at once, what waits for a receipt or for the log, and a stream that never ends."""
    server = make_server(settings={"origins": APP}).start()
    post, events = "/v1/streams/behavior/events", "/v1/channels/stream:behavior/events"
    body = json.dumps([{"userId": AN, "eventType": "o", "metadata": {}}] * 1100)
    assert answered(server, "POST", post + "?ack=none", body) == (202, APP)
    assert answered(server, "POST", post + "?ack=durable", body) == (200, APP)
    assert answered(server, "POST", post + "?ack=committed", body) == (200, APP)
    assert answered(server, "POST", post, body[:-1]) == (400, APP)
    assert answered(server, "POST", post + "?ack=never", body) == (400, APP)
    assert answered(server, "GET", events) == (200, APP)
    assert answered(server, "GET", events, Accept="text/event-stream") == (200, APP)
    server.restart()  # the last 1000 are in memory
    blocks = server.metrics()["penstock_history_blocks_total"]
    assert answered(server, "GET", events + "?since=0") == (200, APP)
    assert server.metrics()["penstock_history_blocks_total"] > blocks


def test_wrong_lists():
    """A list that no browser's origin could match is refused at the start."""
    for origins in ("*", "app.example", "https://app.example/", "https://app.example:443"):
        code, _, err = run("serve", f"--origins={origins}")
        assert code == 2 and "no origin as browsers send it" in err


