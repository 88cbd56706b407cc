"""`penstock dead-letter` by itself: what it shows, what it asks, and one sentence for each mistake."""

import json
import os
import pty
import subprocess

import pytest

from penstock import binary, run, until
from penstock.server import environment

LETTER = """INSERT INTO penstock.dead_letter
    (stream, target, event, sqlstate, constraint_name, message, producer, node, arrived, channels)
    SELECT %s, '"public"."BehaviorLog"', %s, %s, 'some_constraint', %s, 'p', 'node', now(), '{all}'
    FROM generate_series(1, %s)"""


@pytest.fixture
def migrated(database):
    code, _, err = run("migrate", env={"DATABASE_URL": database.url})
    assert code == 0, err
    return database


def command(database, *arguments):
    return run("dead-letter", *arguments, env={"DATABASE_URL": database.url})


def add(database, count=1, stream="behavior", event="{}", sqlstate="23503", message="not there"):
    database.execute(LETTER, (stream, event, sqlstate, message, count))


def letters(database):
    return database.value("SELECT count(*) FROM penstock.dead_letter")


@pytest.mark.parametrize("arguments,words", [
    ([], "list, show, retry or drop"),
    (["mend"], "mend"),
    (["show"], "one id"),
    (["show", "1", "2"], "one id"),
    (["show", "first"], "first"),
    (["show", "0"], "0"),
    (["show", "99999999999999999999"], "no id"),
    (["list", "3"], "no ids"),
    (["list", "--limit", "0"], "--limit"),
    (["list", "--limit"], "--limit needs a value"),
    (["list", "--json=yes"], "takes no value"),
    (["list", "--yes"], "--yes"),
    (["list", "--sqlstate", "2350"], "--sqlstate"),
    (["list", "--no-such-flag"], "--no-such-flag"),
    (["retry"], "--all"),
    (["retry", "1", "--all"], "give ids, or"),
    (["retry", "--all", "--stream=x"], "give ids, or"),
    (["drop", "--json", "1"], "--json"),
    (["drop", "--yes"], "--all"),
])
def test_wrong_usage_is_exit_code_2_and_one_sentence(arguments, words):
    code, out, err = run("dead-letter", *arguments)
    assert (code, out) == (2, "")
    assert words in err and len(err.splitlines()) == 1


def test_help():
    code, out, _ = run("dead-letter", "--help")
    assert code == 0 and "retry" in out and "--sqlstate" in out
    assert run("dead-letter", "retry", "-h")[1] == out


def test_a_list_is_a_table_the_newest_first(migrated):
    add(migrated, 3)
    add(migrated, 1, stream="social", sqlstate="23514", message="too long")
    code, out, err = command(migrated, "list")
    lines = out.splitlines()
    assert (code, err, len(lines)) == (0, "", 5)
    assert lines[0].split()[0] == "ID"
    assert [line.split()[0] for line in lines[1:]] == ["4", "3", "2", "1"]
    assert lines[1].split()[3:5] == ["social", "23514"] and lines[1].endswith("too long")
    code, out, err = command(migrated, "list", "--stream=behavior", "--limit", "2")
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["3", "2"]
    assert "2 of 3" in err
    assert len(command(migrated, "list", "--sqlstate", "23514")[1].splitlines()) == 2


def test_a_list_in_json_is_one_object_a_line(migrated):
    add(migrated, 40, event='{"id": 1, "text": "two\\nlines"}')
    code, out, _ = command(migrated, "list", "--json", "--limit=100")
    got = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [letter["id"] for letter in got] == list(range(40, 0, -1))
    assert got[0]["event"] == {"id": 1, "text": "two\nlines"} and got[0]["channels"] == ["all"]
    assert got[0]["constraint"] == "some_constraint" and got[0]["raw"] is None
    assert command(migrated, "list", "--json", "--stream", "none") == (0, "", "")


def test_show_has_everything(migrated):
    add(migrated, event='{"eventType": "click", "metadata": {"x": [1, 2]}}')
    code, out, _ = command(migrated, "show", "1")
    assert code == 0
    for words in ("behavior", "BehaviorLog", "23503", "some_constraint", "not there", "{all}",
                  '"eventType": "click"'):
        assert words in out
    assert json.loads(command(migrated, "show", "1", "--json")[1])["event"]["eventType"] == "click"
    assert command(migrated, "show", "2") == (1, "", "penstock: there is no dead letter 2\n")


def test_control_characters_do_not_reach_the_terminal(migrated):
    """A publisher can write them into an event, and with it into the reason."""
    add(migrated, event='{"a\u009b": "b\u007f"}', message="bad: \x1b[2J\u009b2J\x07 ngã")
    for arguments in (["list"], ["show", "1"]):
        code, out, _ = command(migrated, *arguments)
        assert code == 0 and "bad: ?[2J?2J? ngã" in out
        assert not any(c in out for c in "\x1b\x07\x7f\u009b")


def test_retry_tells_what_became_of_each(migrated):
    add(migrated, event='{"userId": "00000000-0000-4000-8000-000000000001", "eventType": "good"}')
    add(migrated, event='{"userId": "00000000-0000-4000-8000-00000000dead", "eventType": "bad"}')
    code, out, err = command(migrated, "retry", "1", "2", "77")
    assert code == 1 and "1 stored" in out and "1 refused again" in out and "1 not there" in out
    assert "dead letter 2 was refused again: 23503" in err and "dead letter 77 is not there" in err
    assert migrated.count("BehaviorLog") == 1 and letters(migrated) == 1


def test_a_letter_without_an_event_is_told(migrated):
    add(migrated)
    migrated.execute("UPDATE penstock.dead_letter SET event = NULL, raw = '\\x0102'")
    code, _, err = command(migrated, "retry", "--all")
    assert code == 1 and "dead letter 1 has no event" in err
    assert "2 bytes of the row" in command(migrated, "show", "1")[1]
    assert json.loads(command(migrated, "show", "1", "--json")[1])["raw"] == "AQI="


def test_drop_without_a_terminal_wants_yes(migrated):
    add(migrated, 5)
    add(migrated, 2, stream="social")
    code, _, err = command(migrated, "drop", "--all")
    assert code == 1 and "7 dead letters" in err and "--yes" in err and letters(migrated) == 7
    assert command(migrated, "drop", "--stream=social", "--yes")[:2] == (0, "penstock: 2 dropped\n")
    code, out, err = command(migrated, "drop", "1", "99", "--yes")
    assert code == 1 and "1 dropped" in out and "there is no dead letter 99" in err
    assert command(migrated, "drop", "--all", "--yes")[0] == 0 and letters(migrated) == 0


@pytest.mark.parametrize("answer,left", [("n\n", 3), ("\n", 3), ("y\n", 0)])
def test_drop_asks_on_a_terminal(migrated, answer, left):
    add(migrated, 3)
    ours, theirs = pty.openpty()
    process = subprocess.Popen([binary(), "dead-letter", "drop", "--all"], stdin=theirs,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment({"DATABASE_URL": migrated.url}))
    os.write(ours, answer.encode())
    _, err = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "Delete 3 dead letters for good? [y/N]" in err
    assert (process.returncode == 0) == (left == 0) and letters(migrated) == left


def test_many_are_dropped_in_steps(migrated):
    add(migrated, 2500)
    assert command(migrated, "drop", "--all", "--yes")[1] == "penstock: 2500 dropped\n"


def test_missing_privileges_are_told(migrated):
    """Without rights on the letters at all, and with those but none on the table."""
    add(migrated, event='{"userId": "00000000-0000-4000-8000-000000000001", "eventType": "good"}')
    migrated.execute("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN;"
                     "GRANT USAGE ON SCHEMA penstock TO reader; GRANT SELECT ON penstock.meta TO reader")
    environment_of_role = {"DATABASE_URL": migrated.url.replace("user=tester", "user=reader")}
    try:
        code, _, err = run("dead-letter", "list", env=environment_of_role)
        assert code == 1 and "permission denied" in err and "dead_letter" in err
        migrated.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA penstock"
                         " TO reader")
        code, out, err = run("dead-letter", "retry", "1", env=environment_of_role)
        assert code == 1 and "permission denied" in err and "BehaviorLog" in err and "1 errors" in out
        assert migrated.value("SELECT attempts FROM penstock.dead_letter") == 1
    finally:
        migrated.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_a_database_that_is_away_or_unmigrated(database, postgres):
    code, _, err = command(database, "list")
    assert code == 1 and "penstock migrate" in err
    postgres.stop()
    code, _, err = command(database, "retry", "--all")
    assert code == 1 and "cannot connect" in err and len(err.splitlines()) == 1


def test_a_database_that_goes_away_ends_the_retry(migrated, postgres):
    """What was done stays done; the command ends, and says where."""
    add(migrated, 3, event='{"userId": "00000000-0000-4000-8000-000000000001", "eventType": "good"}')
    holder = migrated.connect(autocommit=False)
    holder.cursor().execute("SELECT FROM penstock.dead_letter WHERE id = 2 FOR UPDATE")
    process = subprocess.Popen([binary(), "dead-letter", "retry", "--all"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True,
                               env=environment({"DATABASE_URL": migrated.url}))
    until("the second letter is waited for", lambda: migrated.count("BehaviorLog") == 1 and any(
        "penstock dead-letter" in (row[1] or "") for row in postgres.backends(migrated)))
    migrated.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE application_name = 'penstock dead-letter'")
    out, err = process.communicate(timeout=60)
    holder.close()
    assert process.returncode == 1 and "dead letter 2:" in err and "1 stored" in out
    assert letters(migrated) == 2
    assert command(migrated, "retry", "--all")[0] == 0 and letters(migrated) == 0
