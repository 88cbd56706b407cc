"""Keys that do not tell every event that is sent again: `penstock check` says which, and what mends it."""

import json

import pytest

from penstock import run, stream


@pytest.fixture
def noted(database, tmp_path):
    """Of a stream to the table "Dated", made so: [(level, detail, mend)] but those that are ok."""
    path = tmp_path / "penstock.conf"
    path.write_text(stream("dated", "Dated"))

    def noted(sql):
        database.execute(sql)
        code, out, err = run("check", "--json", "--config", str(path), env={"DATABASE_URL": database.url})
        assert code == 0, out + err
        return [(f["level"], f["detail"], f["mend"]) for f in json.loads(out)["findings"]
                if f["what"] == "stream dated" and f["level"] != "ok"]

    assert run("migrate", env={"DATABASE_URL": database.url})[0] == 0
    return noted


def test_a_key_with_the_time_of_arrival_is_a_note(noted):
    """Told with the table and the column; whoever does send it is well, and what mends it does."""
    (level, detail, mend), = noted(
        'CREATE TABLE "Dated" (id uuid DEFAULT gen_random_uuid(), "createdAt" timestamptz DEFAULT now(),'
        ' PRIMARY KEY (id, "createdAt"))')
    assert level == "note" and 'at least once for events without "createdAt"' in detail
    assert "Dated" in detail and "exactly once already" in detail
    assert 'send "createdAt" too' in mend and "UNIQUE" in mend
    assert noted('ALTER TABLE "Dated" ADD UNIQUE (id)') == []


def test_a_key_that_publishers_send_is_none(noted):
    assert noted('CREATE TABLE "Dated" (id uuid DEFAULT gen_random_uuid(), tenant text, PRIMARY KEY (tenant, id))') == []
