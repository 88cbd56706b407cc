"""What deploy/ ships for Prometheus and Grafana, against a real Prometheus and the real server."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest
from penstock import free_port, source_dir, until
from penstock.wait import dies_with_us

AN = "00000000-0000-4000-8000-000000000001"
FOLDER = os.path.join(source_dir(), "deploy", "prometheus")


def read(*path):
    with open(os.path.join(source_dir(), "deploy", *path), encoding="utf-8") as file:
        return file.read()


def program(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: it comes with the package prometheus")
    return found


def alerts():
    return re.findall(r"- alert: (\w+)", read("prometheus", "alerts.yml"))


def dashboard_queries():
    panels = json.loads(read("grafana", "penstock.json"))["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_every_alert_fires_when_it_should_and_only_then():
    """alerts_test.yml has a case of each kind for every alert, and promtool runs them."""
    cases = re.findall(r"- name: (\w+ \w+ ?\w*)", read("prometheus", "alerts_test.yml"))
    assert sorted(cases) == sorted(f"{alert} {what}" for alert in alerts()
                                   for what in ("fires", "keeps quiet"))
    done = subprocess.run([program("promtool"), "test", "rules", "alerts_test.yml"], cwd=FOLDER,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run([program("promtool"), "check", "config", "prometheus.yml"], cwd=FOLDER, check=True)


def test_every_metric_that_is_drawn_or_watched_is_there(server):
    """The dashboard and the alerts name nothing that /metrics does not have."""
    named = set(re.findall(r"\bpenstock_[a-z_]+", read("prometheus", "alerts.yml")))
    named |= {name for query in dashboard_queries() for name in re.findall(r"\bpenstock_[a-z_]+", query)}
    there = {name.split("{")[0] for name in server.metrics()}
    assert len(named) > 40
    assert named <= there, sorted(named - there)


# What neither the dashboard nor an alert has, because something else there says it better.
TOLD_OTHERWISE = {
    "edge_errors_sent_total",  # errors_sent_total, by code
    "lane_durable_sequence", "lane_committed_sequence", "lane_frames_total",  # the lag
    "window_head_offset", "window_floor_offset", "log_floor_offset",  # positions, for whoever asks
    "publisher_accounts", "publisher_received_total", "publisher_committed_total",  # streams'
    "publisher_duplicates_total", "publisher_dead_lettered_total", "stream_replayed_total",
    "operator_pages", "info",  # what the process is
}


def test_every_metric_is_drawn_or_watched(server):
    """A metric that nobody looks at is either drawn, or watched, or said here to be told otherwise."""
    text = server.http("GET", "/metrics")[2].decode()
    families = set(re.findall(r"(?m)^# TYPE penstock_(\w+)", text))
    seen = " ".join(dashboard_queries()) + read("prometheus", "alerts.yml")
    seen = {name.removesuffix("_bucket") for name in re.findall(r"\bpenstock_([a-z_]+)", seen)}
    assert len(families) > 100
    assert families - seen == TOLD_OTHERWISE


class Prometheus:
    """A real one, on a port of its own, that scrapes `server` each second with our rules."""

    def __init__(self, folder, server):
        self.port = free_port()
        config = read("prometheus", "prometheus.yml").replace("15s", "1s").replace(
            "localhost:8080", f"127.0.0.1:{server.port}")
        shutil.copy(os.path.join(FOLDER, "alerts.yml"), folder)
        with open(folder / "prometheus.yml", "w", encoding="utf-8") as file:
            file.write(config)
        self.process = subprocess.Popen(
            [program("prometheus"), f"--config.file={folder}/prometheus.yml",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=dies_with_us())

    def ask(self, path, **arguments):
        query = urllib.parse.urlencode(arguments)
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def value(self, query):
        """The one number of an instant query, or None."""
        with contextlib.suppress(OSError):
            result = self.ask("query", query=query)["result"]
            return float(result[0]["value"][1]) if len(result) == 1 else None
        return None

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


@pytest.fixture
def prometheus(tmp_path, server):
    running = Prometheus(tmp_path, server)
    yield running
    running.stop()


def test_a_real_prometheus_scrapes_evaluates_and_alerts(prometheus, server, postgres):
    client = server.connect()
    client.subscribe("stream:behavior")
    client.publish("behavior", [{"userId": AN, "eventType": "scraped"}] * 3, ack="committed")
    client.events(3)
    until("it is scraped", lambda: prometheus.value('up{job="penstock"}') == 1)
    until("the events are seen", lambda: prometheus.value(
        'penstock_stream_committed_total{stream="behavior"}') == 3)

    for query in dashboard_queries():  # each is PromQL, and is answered
        plain = query.replace("$__rate_interval", "1m").replace("$instance", ".*")
        assert prometheus.ask("query", query=plain)["resultType"] == "vector", query
    rules = prometheus.ask("rules")["groups"][0]["rules"]
    assert sorted(rule["name"] for rule in rules) == sorted(alerts())
    until("all rules are evaluated", lambda: {rule["health"] for rule in prometheus.ask(
        "rules")["groups"][0]["rules"]} == {"ok"})

    postgres.stop("immediate")
    until("somebody is told", lambda: {"PenstockLaneDisconnected", "PenstockNotListening"} <= {
        alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"]})
    postgres.start()
    until("it is over", lambda: not prometheus.ask("alerts")["alerts"])
