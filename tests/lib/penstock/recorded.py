"""Recorded events, as lines of JSON: not part of the repository, and tests that need them are skipped without."""

import itertools
import json
import os

import pytest

from .server import source_dir

FOLDER = os.environ.get("PENSTOCK_RECORDED",
                        os.path.join(os.path.dirname(source_dir()), "shared", "data"))

needs_recorded = pytest.mark.skipif(
    not os.path.exists(os.path.join(FOLDER, "behavior.ndjson")),
    reason=f"the recorded events are not in {FOLDER} (PENSTOCK_RECORDED names their folder)")


def recorded_path(name):
    return os.path.join(FOLDER, f"{name}.ndjson")


def recorded_lines(name, count=None):
    """All lines of a kind of event, or the first `count`."""
    with open(recorded_path(name), encoding="utf-8") as lines:
        return [line.rstrip("\n") for line in itertools.islice(lines, count)]


def recorded(name, count=None):
    return [json.loads(line) for line in recorded_lines(name, count)]


def add_users(database, events):
    """Those whom the events name, so that the foreign keys of the tables find them."""
    users = sorted({event["userId"] for event in events})
    database.execute(
        'INSERT INTO "User"(id, email, "passwordHash", name) '
        "SELECT u::uuid, u || '@example.org', '!', '{}' FROM unnest(%s) AS u ON CONFLICT DO NOTHING",
        (users,))


def as_json(value):
    """Equal texts for equal JSON: 1.0 is 1 (neither JavaScript nor MessagePack has another way to say it), integers
    are exact."""
    def number(text):
        return int(float(text)) if float(text).is_integer() else float(text)
    return json.dumps(json.loads(value, parse_float=number), sort_keys=True)
