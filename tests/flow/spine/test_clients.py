"""`penstock send` and `penstock tail` when things go wrong: what they wait for, and what ends them."""

import json

from penstock import until

AN = "00000000-0000-4000-8000-000000000001"
CHANNEL = "stream:behavior"


def event(name):
    return {"userId": AN, "eventType": name}


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
