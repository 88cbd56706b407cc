"""The browser client in headless Chromium, while servers die, networks are cut and pages go.

Recorded events are published by pages with ids of the client's own making. Whatever happens, each is in the table
exactly once, and a subscriber has heard every one of them: complete, ascending, nothing twice.
"""

import contextlib
import json
import os
import sys
import time

import pytest

from penstock import source_dir, until
from penstock.recorded import add_users, as_json, needs_recorded, recorded
from penstock.tokens import SECRET, token

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "http"))

from cut import Cut  # noqa: E402
from requests import Stream  # noqa: E402

BLANK = "/healthz"  # of the server's origin, without a client of its own and without a policy of where it may connect
CUT_S = 5
AN = "00000000-0000-4000-8000-000000000001"
BINH = "00000000-0000-4000-8000-000000000002"

pytestmark = needs_recorded


def here(name):
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


def event(user):
    return {"userId": user, "eventType": "browser", "metadata": {}}


def assert_stored_once(database, events):
    """The table has these events, each once, and nothing else."""
    database.wait_for_count("BehaviorLog", len(events), timeout=60)
    stored = database.query(
        'SELECT "userId"::text, "eventType", metadata::text, '
        "to_char(\"timestamp\", 'YYYY-MM-DD\"T\"HH24:MI:SS.MSZ') FROM \"BehaviorLog\"")
    sent = [(e["userId"], e["eventType"], as_json(json.dumps(e["metadata"])), e["timestamp"]) for e in events]
    assert sorted((u, kind, as_json(data), at) for u, kind, data, at in stored) == sorted(sent)


def log_of(database):
    """What a subscriber of everything has to have heard, as [offset, id]."""
    return [list(row) for row in database.query(
        "SELECT \"offset\", data->>'id' FROM penstock.events(0, 1000000) ORDER BY 1")]


class Tab:
    """A page of the server's origin with the client in it."""

    def __init__(self, driver, server):
        self.driver, self.server = driver, server
        driver.set_script_timeout(60)

    def open(self):
        self.driver.get(self.server.url + BLANK)
        return self.load()

    def load(self):
        """Puts the client into the page that is there."""
        self.wait_for(here("page.js"))
        return self

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait_for(self, script, *arguments):
        """Runs `script`, which may await, to its end."""
        failed = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "(async (...arguments) => {" + script + "})(...arguments).then(() => done(null), (e) => done(String(e)));",
            *arguments)
        assert failed is None, failed

    def connect(self, **options):
        self.run("penstock.connect(arguments[0], arguments[1])", options.pop("url", None), options)
        return self

    def publish(self, events, size=5, ms=4):
        """Begins to publish; it goes on while the test does other things."""
        self.run("penstock.publish(...arguments)", events, size, ms)

    def wait_heard(self, database, count):
        """All is acknowledged and heard, and what was heard is what is in the log."""
        until("everything is heard", lambda: self.run("return penstock.got.length") >= count, 90)
        assert self.run("return penstock.got") == log_of(database)
        assert self.run("return penstock.errors") == []

    def wait_acked(self, count):
        until("everything is acknowledged", lambda: self.run("return penstock.acked") >= count, 90)
        assert self.run("return [penstock.acked, penstock.client.pending]") == [count, 0]

    def close(self):
        """Ends its clients: the next test has another server."""
        with contextlib.suppress(Exception):
            self.run("penstock.client.close(); sessionStorage.clear();")
            self.driver.get("about:blank")


@pytest.fixture
def proxied(make_server):
    """A server that notices dead connections soon, and the proxy that cuts it off; pages come from the server itself."""
    server = make_server(settings={"heartbeat_s": 1})
    server.settings["origins"] = server.url
    server.start()
    cut = Cut(server.port)
    yield server, cut
    cut.close()


@pytest.fixture
def open_tab(driver):
    """Opens the client in a page; it is closed before the server is."""
    tabs = []

    def open_tab(server):
        tabs.append(Tab(driver, server).open())
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.close()


def test_the_server_is_killed_in_mid_stream(server, open_tab, database, encoding):
    """kill -9 while a page publishes and reads, twice: everything is stored once, and heard once."""
    events = recorded("behavior", 1500)
    add_users(database, events)
    tab = open_tab(server).connect(encoding=encoding)
    tab.run("penstock.read({buffer: 100})")
    until("the page is connected", lambda: tab.run("return penstock.client.state") == "open")
    tab.publish(events)
    for share in (5, 2):
        until("a part is stored", lambda: database.count("BehaviorLog") > len(events) / share, 60)
        server.kill()
        server.start()
    tab.wait_acked(len(events))
    assert_stored_once(database, events)
    tab.wait_heard(database, len(events))
    assert tab.run("return penstock.states").count("open") >= 3


@pytest.mark.parametrize("how, encoding", [("silent", "json"), ("reset", "msgpack")])
def test_the_network_is_cut_for_five_seconds(proxied, open_tab, database, how, encoding):
    """What was under way is lost, in both directions; the page sees that the connection is dead, and goes on."""
    server, network = proxied
    events = recorded("behavior", 1500)
    add_users(database, events)
    tab = open_tab(server).connect(url=network.url, encoding=encoding, pongTimeout=1000, openTimeout=2000)
    tab.run("penstock.listen()")
    until("the page is connected", lambda: tab.run("return penstock.client.state") == "open")
    tab.publish(events)
    until("a part is stored", lambda: database.count("BehaviorLog") > 300, 60)
    network.cut(how)
    time.sleep(CUT_S)
    assert tab.run("return penstock.client.state") != "open"
    network.mend()
    tab.wait_acked(len(events))
    assert_stored_once(database, events)
    tab.wait_heard(database, len(events))


def test_a_quiet_channel_comes_back_above_what_retention_took(make_server, open_tab, database):
    """A page's only event has left the log when it connects again, much that it had no part in was there, and the server
    has nothing of it in memory: it has missed nothing, and is told of no gap. The client knows by `position`, an
    EventSource by the ids of comments, which the browser keeps and shows to nobody."""
    server = make_server(settings={"heartbeat_s": 1, "edge_threads": 1}).start()
    publisher = server.connect()
    tab = open_tab(server).connect()
    tab.run("""window.quiet = {got: [], streamed: [], gaps: []};
        const add = (list) => ({offset, data}) => quiet[list].push(offset);
        quiet.subscription = penstock.client.subscribe(arguments[0], {last: 20}, add("got"));
        quiet.source = new EventSource(`/v1/channels/${arguments[0]}/events`);
        quiet.source.onmessage = ({data}) => quiet.streamed.push(JSON.parse(data).offset);
        quiet.source.addEventListener("gap", ({data}) => quiet.gaps.push(data));
        quiet.source.addEventListener("subscribed", ({data}) => quiet.streamed.push(JSON.parse(data).recovered));
    """, f"user:{BINH}")
    state = "return [quiet.got, quiet.streamed]"
    until("both listen", lambda: tab.run(state) == [[], [True]]
          and tab.run("return quiet.subscription.offset") == 0)
    publisher.publish("behavior", [event(BINH)], ack="committed")
    until("both have heard it", lambda: tab.run(state) == [[1], [True, 1]])
    for _ in range(10):
        publisher.publish("behavior", [event(AN)] * 20, ack="committed")
    until("the client is behind them", lambda: tab.run("return quiet.subscription.offset") == 201)
    watcher = Stream(server, channel=f"/v1/channels/user:{BINH}/events")
    assert watcher.next()[2]["offset"] == 201
    watcher.comment(), watcher.comment()  # the page's stream, which is older, has had one before the second
    watcher.close()
    server.kill()
    database.drop_log(101)
    server.start()
    assert server.connect().subscribe(f"user:{BINH}", since=1, epoch=publisher.welcome["epoch"])["recovered"] is False
    until("both listen again", lambda: tab.run("return [penstock.client.state, quiet.streamed.at(-1)]") == ["open", True])
    server.connect().publish("behavior", [event(BINH)], ack="committed")
    until("both have heard the next", lambda: tab.run(state) == [[1, 202], [True, 1, True, 202]])
    assert tab.run("return [quiet.gaps, penstock.errors]") == [[], []]
    tab.run("quiet.source.close()")


def test_the_page_is_reloaded(proxied, open_tab, database, encoding):
    """What had no answer is in IndexedDB, and the next page sends it; what was heard goes on behind the last event."""
    server, network = proxied
    events = recorded("behavior", 1500)
    add_users(database, events)
    options = {"url": network.url, "encoding": encoding, "outbox": "indexeddb", "openTimeout": 2000}
    tab = open_tab(server).connect(**options)
    tab.run("penstock.listen({remember: sessionStorage})")
    until("the page is connected", lambda: tab.run("return penstock.client.state") == "open")
    tab.publish(events[:500])
    tab.wait_acked(500)
    network.cut("silent")
    tab.publish(events[500:1000], 5, 0)
    assert tab.run("return penstock.client.pending") == 100
    tab.driver.refresh()
    network.mend()
    tab.load()
    assert tab.run("return penstock.acked") == 0
    tab.connect(**options)
    tab.run("penstock.listen({remember: sessionStorage})")
    tab.publish(events[1000:])
    tab.wait_acked(500)
    assert_stored_once(database, events)
    tab.wait_heard(database, len(events))


def test_the_page_is_closed_with_events_unsent(make_server, open_tab, database, encoding):
    """A page goes before its socket has sent anything but one message; its user has a token. What fits into a beacon
    (56 of 64 KB) is stored without any page. Of what does not (100 KB) the next page brings the rest out of IndexedDB,
    and sends what the beacon has brought again: no row more."""
    server = make_server(env={"PENSTOCK_AUTH_KEY": SECRET}).start()
    events = recorded("behavior", 90)
    add_users(database, events)
    shown = token(events[0]["userId"], publish=["*"], subscribe=["*"])

    def publish_and_go(outbox, events):
        tab = open_tab(server).connect(encoding=encoding, token=shown, maxInFlight=1, outbox=outbox)
        until("the page is connected", lambda: tab.run("return penstock.client.state") == "open")
        # Busy until it is left, so that no answer has the next message sent meanwhile.
        tab.run("penstock.publish(arguments[0], 1, 0); location.replace('about:blank');"
                "for (const end = performance.now() + 300; performance.now() < end;);", events)

    publish_and_go("memory", events[:45])
    assert_stored_once(database, events[:45])
    publish_and_go("indexeddb", events[45:])
    until("the beacon is there", lambda: database.count("BehaviorLog") >= 60)
    assert database.count("BehaviorLog") < 90
    tab = open_tab(server).connect(encoding=encoding, token=shown, outbox="indexeddb")
    until("what was kept is answered", lambda: tab.run(
        "return penstock.client.state === 'open' && penstock.client.pending === 0"))
    assert_stored_once(database, events)
    assert tab.run("return penstock.errors") == []


def test_two_pages_share_an_outbox(server, driver, open_tab, database):
    """Two pages publish while there is no server, and one is closed: the other sends what both have published, each
    message once, and the database is empty afterwards."""
    events = recorded("behavior", 400)
    add_users(database, events)
    options = {"encoding": "json", "outbox": "indexeddb", "beacon": False}
    tab = open_tab(server).connect(**options)
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    other = open_tab(server).connect(**options)
    for page, handle in ((tab, first), (other, driver.current_window_handle)):
        driver.switch_to.window(handle)
        until("the page is connected", lambda page=page: page.run("return penstock.client.state") == "open")
    server.kill()
    other.publish(events[:200], 1, 0)
    assert other.run("return penstock.client.pending") == 200
    driver.close()
    driver.switch_to.window(first)
    tab.publish(events[200:], 1, 0)
    server.start()
    assert_stored_once(database, events)
    until("everything is answered", lambda: tab.run("return penstock.client.pending") == 0)
    assert sum(value for name, value in server.metrics().items() if "duplicates" in name) == 0
    tab.wait_for("""const request = indexedDB.open("penstock", 1);
        const db = await new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
        for (;;) {
            const count = db.transaction("messages").objectStore("messages").count();
            if (await new Promise((resolve) => (count.onsuccess = () => resolve(count.result))) === 0) break;
        }
        db.close();""")
    assert tab.run("return penstock.errors") == []


def test_the_examples_of_the_clients_readme_work_when_pasted(server, driver, database):
    """proto/js/README.md, as it stands there but for the server's address: what it says happens."""
    with open(os.path.join(source_dir(), "proto", "js", "README.md"), encoding="utf-8") as readme:
        blocks = [part.split("```")[0] for part in readme.read().split("```js\n")[1:]]
    blocks = [block.replace("http://localhost:8080", server.url) for block in blocks]
    tab = Tab(driver, server)
    driver.get(server.url + BLANK)
    import_line = 'import { connect } from "./penstock.js";'
    assert import_line in blocks[0]
    imported = 'const { connect } = await import("/penstock.js");'
    tab.run("window.said = []; console.log = (...words) => said.push(words.map(String));"
            "(async () => {" + blocks[0].replace(import_line, imported) + "})().catch((e) => said.push([String(e)]))")
    until("the example has said both", lambda: len(tab.run("return said")) == 2)
    assert sorted(tab.run("return said")) == [["1"], ["1", "behavior", "[object Object]"]]
    tab.run("(async () => {" + imported + blocks[1] + "})()")
    database.wait_for_count("BehaviorLog", 2)
    driver.get("about:blank")
