"""The page at `/`, in headless Chromium: a stranger opens it, sends, and sees the event arrive.

Screenshots go to <build folder>/screenshots, for people.
"""

import json
import os
import signal

import pytest

from penstock import source_dir, stream, until
from penstock.tokens import SECRET, token

pytest.importorskip("selenium.webdriver", reason="python3-selenium is not installed")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

WIDE, PHONE = (1280, 900), (390, 844)


class Page:
    """The page of one server."""

    def __init__(self, driver, server):
        self.driver, self.server = driver, server

    def open(self, size=WIDE, dark=False):
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE})
        self.driver.get(self.server.url + "/")
        until("the page is connected", lambda: self.text("state") == "connected")
        until("the streams are listed", lambda: self.text("stream") != "")
        until("the channel is watched", lambda: "from" in self.text("watching"))
        return self

    def find(self, name):
        return self.driver.find_element(By.ID, name)

    def text(self, name):
        return self.find(name).text

    def number(self, name):
        return int(self.text(name).replace(",", ""))

    def wait_number(self, name, expected):
        until(f"{name} is {expected}", lambda: self.number(name) == expected)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def write_event(self, event):
        text = event if isinstance(event, str) else json.dumps(event)
        self.run("""const box = document.getElementById("event");
                    box.value = arguments[0]; box.dispatchEvent(new Event("input"));""", text)

    def rows(self):
        return self.driver.find_elements(By.CSS_SELECTOR, "#events summary")

    def console_messages(self):
        """What the browser complained of on this server's page: script errors, refused resources. The
        page of the test before may still be told of its own server's end."""
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] == "SEVERE" and entry["message"].startswith(self.server.url)]

    def screenshot(self, name):
        folder = os.path.join(os.environ.get("PENSTOCK_BUILD_DIR", "/tmp"), "screenshots")
        os.makedirs(folder, exist_ok=True)
        self.driver.save_screenshot(os.path.join(folder, f"{name}.png"))


@pytest.fixture
def page(driver, server):
    page = Page(driver, server)
    page.console_messages()  # those of the test before
    return page


def test_an_event_sent_is_seen_arriving(page, database):
    """Send, and the event is acknowledged, stored, pushed back and shown, with its latency."""
    page.open()
    assert page.text("refused") == "0"
    page.find("send").click()
    page.wait_number("sent", 1)
    page.wait_number("acked", 1)
    page.wait_number("received", 1)
    assert page.text("latency").endswith("ms")
    [row] = page.rows()
    assert "behavior" in row.text
    [(user, metadata)] = database.query('SELECT "userId"::text, metadata FROM "BehaviorLog"')
    assert user.startswith("00000000-0000-4000-8000-")
    row.click()
    until("the event unfolds", lambda: page.driver.find_elements(By.CSS_SELECTOR, "#events pre"))
    shown = json.loads(page.driver.find_element(By.CSS_SELECTOR, "#events pre").text)
    assert shown["metadata"] == metadata
    page.screenshot("page")
    assert page.console_messages() == []


@pytest.mark.parametrize("frames", ["json", "msgpack"])
def test_many_at_a_rate(page, database, frames):
    """Many events at a rate, in both encodings: all arrive, the counters agree with the table."""
    page.open(dark=True)
    Select(page.find("encoding")).select_by_value(frames)
    until("the page is connected again", lambda: page.text("state") == "connected")
    until("the channel is watched", lambda: "from" in page.text("watching"))
    page.run("""for (const [id, value] of [["count", 3000], ["rate", 3000], ["batch", 50]])
                    document.getElementById(id).value = value;""")
    page.find("many").click()
    page.wait_number("received", 3000)
    page.wait_number("acked", 3000)
    assert page.number("sent") == 3000
    assert page.number("refused") == 0
    assert database.count("BehaviorLog") == 3000
    offsets = [int(row.text.split()[0]) for row in page.rows()[:20]]
    assert offsets == sorted(offsets, reverse=True)
    drawn = page.run("""const canvas = document.getElementById("plot");
        return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte);""")
    assert drawn
    page.screenshot(f"many-{frames}")
    assert page.console_messages() == []


def test_every_stream_has_a_sample_that_is_stored(page, database):
    """The sample that the page proposes for each stream is accepted as it is."""
    page.open()
    streams = [option.text for option in Select(page.find("stream")).options]
    assert streams == ["behavior", "social", "optimization", "activity", "cost"]
    for sent, stream in enumerate(streams, 1):
        Select(page.find("stream")).select_by_visible_text(stream)
        until("the channel is watched", lambda channel=f"stream:{stream} from": channel in page.text("watching"))
        page.find("send").click()
        page.wait_number("received", sent)
        assert not page.find("problem").is_displayed(), page.text("problem")
    for table in ("BehaviorLog", "SocialPost", "OptimizationLog", "ProjectActivity", "ProjectCost"):
        assert database.count(table) == 1, table


def test_mistakes_are_said(page, database):
    """What is no JSON is said before it is sent; what the server refuses is said with field and rule."""
    page.open()
    page.write_event("{")
    page.find("send").click()
    until("the mistake is said", lambda: page.find("problem").is_displayed())
    assert page.number("sent") == 0
    page.write_event({"eventType": "no user"})
    page.find("send").click()
    until("the refusal is said", lambda: "userId" in page.text("problem"))
    page.wait_number("refused", 1)
    assert "invalid_event" in page.text("errors")
    page.screenshot("mistake")
    page.write_event({"userId": "00000000-0000-4000-8000-00000000dead", "eventType": "nobody"})
    page.find("send").click()
    until("the database's refusal is said", lambda: "rejected_by_database" in page.text("problem"))
    page.wait_number("refused", 2)
    assert database.count("BehaviorLog") == 0
    page.find("clear").click()
    until("the errors are cleared", lambda: not page.find("trouble").is_displayed())


def test_data_is_never_markup(page):
    """An event that carries HTML is shown as text."""
    page.open()
    page.write_event({"userId": "00000000-0000-4000-8000-000000000001",
                      "eventType": "<img src=x onerror=document.title='owned'>", "metadata": {"<b>": "</script>"}})
    page.find("send").click()
    page.wait_number("received", 1)
    page.rows()[0].click()
    until("the event unfolds", lambda: page.driver.find_elements(By.CSS_SELECTOR, "#events pre"))
    assert "onerror" in page.rows()[0].text
    assert page.driver.title == "Penstock"
    assert not page.driver.find_elements(By.CSS_SELECTOR, "#events img")


def test_the_page_comes_back_with_the_server(page):
    """A killed server is shown; when it is back, the page goes on, and what waited is stored."""
    page.open()
    page.find("send").click()
    page.wait_number("received", 1)
    page.server.kill()
    until("the lost connection is shown", lambda: page.text("state") != "connected")
    page.find("send").click()
    page.server.start()
    until("the page is connected again", lambda: page.text("state") == "connected", 60)
    page.wait_number("acked", 2)
    page.wait_number("received", 2)


def test_it_fits_a_phone(page):
    """At phone width nothing is cut off or needs to be scrolled sideways, and sending works."""
    page.open(PHONE)
    page.find("send").click()
    page.wait_number("received", 1)
    width = page.run("return document.documentElement.scrollWidth")
    assert width <= PHONE[0]
    page.run("scrollTo(0, 0)")
    page.screenshot("phone")


class Any:
    """Equal to everything: a figure that depends on the clock."""

    def __eq__(self, other):
        return True


ANY = Any()


def open_server_view(page, size=WIDE, dark=False):
    page.open(size, dark)
    page.driver.find_element(By.CSS_SELECTOR, 'nav a[href="#server"]').click()
    until("the figures are there", lambda: page.text("server-connections") not in ("", "–"))


def cells(page, table, row):
    """The texts of one row of a table, found by its first cell."""
    return page.run("""const rows = [...document.getElementById(arguments[0]).tBodies[0].rows];
        return [...(rows.find((row) => row.cells[0].textContent === arguments[1])?.cells ?? [])]
            .map((cell) => cell.textContent);""", table, row)


def test_an_operator_sees_the_server_at_a_glance(driver, make_server, database, postgres):
    """Throughput, latencies, lanes, streams and what was refused; and a lost PostgreSQL in red."""
    server = make_server(settings={"operator_pages": True}).start()
    page = Page(driver, server)
    page.console_messages()
    client = server.connect()
    client.subscribe("stream:behavior")
    open_server_view(page, (WIDE[0], 1420), dark=True)  # all of it in one picture
    user = "00000000-0000-4000-8000-000000000001"
    for n in range(50):
        client.publish("behavior", [{"userId": user, "eventType": f"n{n}"}] * 5, ack="committed")
    client.send("publish", id=1, stream="behavior", events=[{"userId": user}])
    client.expect("error", id=1)
    until("the stream is shown", lambda: cells(page, "server-streams", "behavior")[2:] == ["250", "0", "0", "1", "0"])
    until("a rate is shown", lambda: float(page.text("server-received").rstrip("K")) > 0)
    assert cells(page, "server-lanes", "lane 0")[1] == "connected"
    latency = cells(page, "server-latencies", "durable → committed")
    assert len(latency) == 5 and all(each.endswith("s") for each in latency[1:4]), latency
    until("the refusal is shown", lambda: "invalid_event" in page.text("server-refusals"))
    assert "eventType" in page.text("server-refusals") and "is required" in page.text("server-refusals")
    client.send("publish", id=2, stream="behavior", ack="committed",
                events=[{"userId": user[:-4] + "dead", "eventType": "nobody"}])
    until("the database's refusal is shown", lambda: "SQLSTATE 23503" in page.text("server-refusals"))
    until("the channels are shown", lambda: cells(page, "server-channels", "stream:behavior")[1:] == ["250", ANY, "2"])
    assert cells(page, "server-channels", f"user:{user}")[1] == "250"
    until("the plot has something", lambda: page.run("""const canvas = document.getElementById("server-plot");
        return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte);"""))
    for n in range(100):
        client.publish("behavior", [{"userId": user, "eventType": f"n{n}"}] * (1 + n % 20), ack="committed")
    page.screenshot("server")
    assert page.console_messages() == []
    postgres.stop("immediate")
    until("the loss is shown", lambda: cells(page, "server-lanes", "lane 0")[1] == "not connected")
    postgres.start()
    until("it is over", lambda: cells(page, "server-lanes", "lane 0")[1] == "connected")


def test_a_server_that_hangs_is_asked_once(page):
    """Its figures are not asked for again before the last look was given up; the page says so, and goes on."""
    open_server_view(page)
    page.run("""window.signals = [];
        window.realFetch = window.fetch;
        window.fetch = (path, { signal }) => new Promise((_, reject) => {
            window.signals.push(signal);
            signal?.addEventListener("abort", () => reject(signal.reason));
        });""")
    until("it asks again", lambda: page.run("return window.signals.length") > 1, 60)
    assert page.run("return window.signals[0]?.aborted")
    assert "does not answer" in page.text("server-problem")
    page.run("window.fetch = window.realFetch")
    until("it goes on", lambda: not page.find("server-problem").is_displayed(), 60)


def test_the_server_view_fits_a_phone(page):
    open_server_view(page, PHONE)
    width = page.run("return document.documentElement.scrollWidth")
    assert width <= PHONE[0]
    page.screenshot("server-phone")


def test_who_is_no_operator_sees_no_refusals(driver, make_server):
    """Without operator_pages nothing is asked for that would be refused."""
    page = Page(driver, make_server(settings={"operator_pages": False}).start())
    page.console_messages()
    open_server_view(page)
    assert not page.find("server-refused").is_displayed()
    assert page.console_messages() == []


GUARDED = stream("behavior", "BehaviorLog", "user:{userId}", "stream:behavior")


@pytest.fixture
def guarded(driver, make_server):
    """The page of a server that asks for tokens, as it stands before one was given."""
    server = make_server(streams=GUARDED, env={"PENSTOCK_AUTH_KEY": SECRET},
                         settings={"auth_grace_s": 0, "auth_leeway_s": 0}).start()
    page = Page(driver, server)
    driver.get(server.url + "/")
    until("the page asks for a token", lambda: page.find("token-form").is_displayed())
    return page


def give(page, text):
    page.run("""document.getElementById("token").value = arguments[0];
                document.getElementById("token-form").requestSubmit();""", text)


def test_a_token_is_asked_for_used_and_forgotten(guarded):
    """It goes into the header and the socket's `auth`, stays in sessionStorage alone, and is gone with
    the button; without it nothing of the server is shown."""
    page = guarded
    assert page.text("token-reason") == "This server asks for a token." and page.text("state") == "no token"
    good = token("00000000-0000-4000-8000-000000000001", publish=["*"], subscribe=["*"], penstock_operator=True)
    give(page, good)
    until("the page is connected", lambda: page.text("state") == "connected")
    until("the channel is watched", lambda: "from" in page.text("watching"))
    assert not page.find("token-form").is_displayed() and page.find("forget").is_displayed()
    page.find("send").click()
    page.wait_number("received", 1)
    page.driver.find_element(By.CSS_SELECTOR, 'nav a[href="#server"]').click()
    until("the channels are shown", lambda: cells(page, "server-channels", "stream:behavior")[1:2] == ["1"])
    kept = page.run("return [JSON.stringify(sessionStorage), localStorage.length, document.cookie, location.href]")
    assert json.loads(kept[0]) == {"penstock.token": good} and kept[1:] == [0, "", page.server.url + "/#server"]
    asked = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name).join()")
    assert good not in asked and "eyJ" not in page.server.log()
    page.driver.refresh()
    until("it holds over a reload", lambda: cells(page, "server-channels", "stream:behavior")[1:2] == ["1"])
    page.find("forget").click()
    until("the page asks again", lambda: page.find("token-form").is_displayed())
    assert page.run("return sessionStorage.length") == 0
    assert page.text("server-connections") == "–"


def test_tokens_that_do_not_help_are_told_from_each_other(guarded):
    """Expired, forged, no operator's, the operators' password, and one that expires while in use."""
    page, user = guarded, "00000000-0000-4000-8000-000000000001"
    rights = {"publish": ["*"], "subscribe": ["*"]}
    give(page, token(user, -100, **rights))
    until("it has expired", lambda: "expired" in page.text("token-reason"))
    give(page, token(user, secret="x" * 40, **rights))
    until("it is forged", lambda: "signature" in page.text("token-reason"))
    assert page.run("return sessionStorage.length") == 0
    give(page, "what-tests-ask-metrics-with")
    until("it shows figures", lambda: page.text("state") == "figures only")
    page.run("location.hash = '#server'")
    until("the figures are there", lambda: page.text("server-connections") not in ("", "–"))
    page.find("forget").click()
    until("the page asks again", lambda: page.find("token-form").is_displayed())
    give(page, token(user, **rights))
    until("it is no operator's", lambda: "not an operator's" in page.text("server-problem"))
    page.run("location.hash = '#try'")
    until("the page is connected", lambda: page.text("state") == "connected")
    page.find("forget").click()
    until("the page asks again", lambda: page.find("token-form").is_displayed())
    give(page, token(user, 8, **rights))
    until("it expires in use", lambda: "expired" in page.text("token-reason"), 60)
    assert page.text("state") == "no token"


def test_the_prompt_fits_a_phone(guarded):
    guarded.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": PHONE[0], "height": PHONE[1], "deviceScaleFactor": 1, "mobile": True})
    assert guarded.run("return document.documentElement.scrollWidth") <= PHONE[0]
    guarded.screenshot("token-phone")


def test_no_request_leaves_the_server(page):
    """Everything comes from the server itself, under a policy that allows nothing else."""
    page.open()
    loaded = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(loaded) >= 6
    assert all(name.startswith(page.server.url) for name in loaded), loaded
    _, headers, _ = page.server.http("GET", "/")
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]


def test_the_page_ends_with_the_server(page):
    """An open page does not hold up a shutdown."""
    page.open()
    page.server.stop(signal.SIGTERM, timeout=30)


def test_fetch_beacon_and_event_source(page, database):
    """What a browser has without a library of ours: fetch publishes, an EventSource hears of it,
    sendBeacon publishes as the page goes, and fetch reads the history."""
    page.open()
    page.driver.set_script_timeout(30)
    said = page.driver.execute_async_script("""
        const done = arguments[arguments.length - 1], heard = [];
        const event = (n) => ({userId: "00000000-0000-4000-8000-000000000001", eventType: "http", metadata: {n}});
        const source = new EventSource("/v1/channels/stream:behavior/events");
        const opened = new Promise((resolve) => source.addEventListener("subscribed", resolve));
        const all = new Promise((resolve) => source.onmessage = (message) => {
            heard.push(JSON.parse(message.data).data.metadata.n);
            if (heard.length === 3) resolve(message.lastEventId);
        });
        (async () => {
            const subscribed = JSON.parse((await opened).data);
            const post = (body, type) => fetch("/v1/streams/behavior/events?ack=committed",
                {method: "POST", body, headers: {"Content-Type": type}});
            const first = await (await post(JSON.stringify(event(1)), "application/json")).json();
            const second = await (await post(JSON.stringify(event(2)) + "\\n", "application/x-ndjson")).json();
            const beacon = navigator.sendBeacon("/v1/streams/behavior/events", JSON.stringify([event(3)]));
            const last = await all;
            source.close();
            const history = await (await fetch("/v1/channels/stream:behavior/events?since=" + subscribed.offset)).json();
            const wrong = await post("{}", "application/json");
            done({subscribed, first, second, beacon, last, heard, wrong: wrong.status,
                  history: history.events.map((each) => each.data.metadata.n)});
        })().catch((error) => done(String(error)));""")
    assert isinstance(said, dict), said
    assert said["heard"] == said["history"] == [1, 2, 3] and said["beacon"] is True
    assert said["subscribed"]["recovered"] is True and said["wrong"] == 422
    assert said["first"]["level"] == said["second"]["level"] == "committed"
    assert said["last"] == f"{said['subscribed']['epoch']}:{said['second']['offset'] + 1}"
    assert database.count("BehaviorLog") == 3


def test_the_example_of_the_readme_works_when_pasted(page, server, database):
    """README.md's ten lines, as they stand there, in the console of the page."""
    with open(os.path.join(source_dir(), "README.md"), encoding="utf-8") as readme:
        example = readme.read().split("```js\n")[1].split("```")[0]
    page.open()
    page.driver.set_script_timeout(20)
    said = page.driver.execute_async_script(
        "const done = arguments[arguments.length - 1], said = [], log = console.log;"
        "console.log = (...words) => { said.push(words.map(String)); if (said.length === 2) done(said); };"
        "(async () => {" + example + "})().catch((error) => done(String(error)));")
    assert isinstance(said, list), said
    assert ["committed at offset", "1"] in said
    assert ["1", "behavior", "[object Object]"] in said
    assert database.count("BehaviorLog", "\"eventType\" = 'page_view'") == 1
