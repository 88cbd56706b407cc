"""The runbook has a section for every alarm, and names only commands, keys and files that there are."""

import os
import re

import pytest
import yaml

from penstock import run, source_dir

ALERTS = os.path.join(source_dir(), "deploy", "prometheus", "alerts.yml")


@pytest.fixture(scope="module")
def runbook():
    with open(os.path.join(source_dir(), "deploy", "RUNBOOK.md"), encoding="utf-8") as file:
        return file.read()


def sections(runbook):
    """{alarm: its text} of the chapter Alarms."""
    chapter = re.search(r"(?ms)^## Alarms\n(.*?)^## ", runbook)[1]
    parts = re.split(r"(?m)^### (\w+)\n", chapter)[1:]
    return dict(zip(parts[::2], parts[1::2]))


@pytest.mark.skipif(not os.path.exists(ALERTS), reason="there are no alert rules in deploy/prometheus")
def test_every_alarm_has_a_section_and_every_section_an_alarm(runbook):
    with open(ALERTS, encoding="utf-8") as file:
        groups = yaml.safe_load(file)["groups"]
    alarms = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert set(sections(runbook)) == alarms


def test_each_section_says_what_it_means_where_to_look_and_what_to_do(runbook):
    found = sections(runbook)
    assert len(found) >= 9
    for alarm, text in found.items():
        assert "**Means**" in text and "**Look**" in text and "**do**" in text.lower(), alarm


def test_commands_and_links_are_there(runbook):
    known = set(re.findall(r"(?m)^  ([a-z][a-z-]*)  ", run("--help")[1]))
    assert set(re.findall(r"`penstock ([a-z-]+)", runbook)) <= known
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
               for title in re.findall(r"(?m)^#+ (.*)$", runbook)}
    assert set(re.findall(r"\]\(#([a-z0-9-]+)\)", runbook)) <= anchors


def test_keys_that_it_names_are_settings(runbook):
    keys = set(re.findall(r"(?m)^#(\w+) = ", run("reference")[1]))
    named = set(re.findall(r"`((?:journal|window|history|batch|catalog|drain|heartbeat|listen|database|"
                           r"edge|data)_\w+)`", runbook))
    assert len(named) > 8 and named <= keys
