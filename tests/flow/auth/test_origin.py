"""Web pages: which may connect, and what their browsers are told."""

from penstock import Refused, run
from penstock.tokens import SECRET, bearer, token

APP = "https://app.example"


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
    rebound = {"Origin": "http://evil.example", "Host": "evil.example"}
    assert server.http("GET", "/v1/streams", headers=rebound)[0] == 403
    status, headers, _ = server.http("GET", "/v1/streams")
    assert status == 200 and headers["vary"] == "Origin"
    assert server.metrics()['penstock_edge_origins_refused_total{edge="0"}'] >= 9


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


def test_wrong_lists():
    """A list that no browser's origin could match is refused at the start."""
    for origins in ("*", "app.example", "https://app.example/", "https://app.example:443"):
        code, _, err = run("serve", f"--origins={origins}")
        assert code == 2 and "no origin as browsers send it" in err


