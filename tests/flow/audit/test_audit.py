"""`penstock audit`: planted problems are found, a clean schema has none, and what is recorded is a row,
an event and, once mended, a measured gain."""

import contextlib
import json
import os

import pytest

from penstock import STREAMS, Postgres, run, source_dir, until

ROWS = 20000
SLOW = """SELECT b.id, pg_sleep(%s) /* token=s3cr3t-comment */ FROM "BehaviorLog" b
    WHERE b."eventType" = 's3cr3t-literal' LIMIT 1"""


@pytest.fixture(scope="session")
def postgres_of_file():
    """A cluster with pg_stat_statements, where autovacuum mends nothing behind our back."""
    postgres = Postgres(options=["shared_preload_libraries=pg_stat_statements", "autovacuum=off"])
    try:
        postgres.start()
        postgres.database("postgres").execute("CREATE DATABASE examples")
        with open(os.path.join(source_dir(), "deploy", "examples.sql"), encoding="utf-8") as sql:
            postgres.database("examples").execute(sql.read())
        yield postgres
    finally:
        postgres.close()


@pytest.fixture
def audit(database, tmp_path):
    """Runs the command: (exit code, findings by kind, everything it printed)."""
    (tmp_path / "penstock.conf").write_text(STREAMS)

    def audit(*arguments, url=database.url):
        code, out, err = run("audit", "--json", "--config", "penstock.conf", *arguments,
                             env={"DATABASE_URL": url}, cwd=tmp_path)
        report = json.loads(out) if code != 2 else {"findings": []}
        found = {}
        for finding in report["findings"]:
            found.setdefault(finding.get("kind", finding["what"]), []).append(finding)
        return code, found, out + err
    return audit


def failures(found):
    return [f for group in found.values() for f in group if f["level"] == "fail"]


def load(database, rows=ROWS):
    """Rows of BehaviorLog, one in a thousand of which is looked for below."""
    database.execute("""SET session_replication_role = replica; -- the user is there
        INSERT INTO "BehaviorLog" ("userId", "eventType", metadata)
        SELECT '00000000-0000-4000-8000-000000000001',
            CASE WHEN n %% 1000 = 0 THEN 's3cr3t-literal' ELSE 'page_view' END, '{"n": 1}'
        FROM generate_series(1, %s) n""", (rows,))


def add_statements(database):
    database.execute("CREATE EXTENSION pg_stat_statements")
    database.execute("SELECT pg_stat_statements_reset()")


def wait_for_counters(database, sql):
    """Statistics of a session that has ended come a moment later."""
    until(f"the counters say: {sql}", lambda: database.value(f"SELECT {sql}"))


def wait_for_rows(database, rows=1):
    wait_for_counters(database, f"""(SELECT n_tup_ins FROM pg_stat_user_tables
        WHERE relname = 'BehaviorLog') >= {rows}""")


def load_tidily(database, total):
    """So that indexes are all there is to find."""
    load(database)
    wait_for_rows(database, total)
    database.execute("VACUUM (ANALYZE)")


def see_indexes(database, audit):
    """A recorded run has seen the indexes a week ago, and rows were inserted since."""
    assert run("migrate", env={"DATABASE_URL": database.url})[0] == 0
    load_tidily(database, ROWS)
    code, found, out = audit("--record")
    assert "0 new findings, 0 mended" in found["recorded"][0]["detail"], out
    database.execute("UPDATE penstock.finding SET found = found - interval '8 days'")
    load_tidily(database, 2 * ROWS)


def scan(database, times):
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        for _ in range(times):
            cursor.execute("""SELECT count(*) FROM "BehaviorLog" WHERE "eventType" = 'click'""")


SEQ = """(SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'BehaviorLog')"""


def test_a_clean_schema_has_no_finding(database, audit):
    """Rows in every index, each index read, statistics fresh, nothing slow: exit code 0."""
    load(database)
    add_statements(database)
    database.execute("SET enable_seqscan = off; SELECT count(*) FROM \"BehaviorLog\""
                     " WHERE \"timestamp\" > now() - interval '1 minute'")
    database.execute("VACUUM (ANALYZE)")
    wait_for_counters(database, """(SELECT idx_scan FROM pg_stat_user_indexes
        WHERE indexrelname = 'BehaviorLog_timestamp_idx') > 0""")
    code, found, out = audit()
    assert (code, failures(found)) == (0, []), out
    costs = {f["where"]: f["detail"] for f in found["copy_cost"]}
    assert "index public.\"BehaviorLog_pkey\"" in costs and "bytes in index" in "".join(costs.values())


def test_a_slow_statement_is_shown_without_values(database, audit):
    """Text, plan and the index it asks for; but no literal, no comment, and no utility statement."""
    load(database)
    add_statements(database)
    database.execute("VACUUM (ANALYZE)")
    database.execute("SELECT pg_stat_statements_reset()")
    database.execute(SLOW, (0.6,))
    database.execute("DO $$ BEGIN PERFORM pg_sleep(0.6), 's3cr3t-in-do'; END $$")
    code, found, out = audit()
    assert code == 1
    slow, = found["slow_statement"]
    assert 'SELECT b.id, pg_sleep($1) FROM "BehaviorLog" b WHERE b."eventType" = $2' in slow["where"]
    assert "Seq Scan on \"BehaviorLog\" b" in slow["plan"] and "Filter: (\"eventType\" = $2)" in slow["plan"]
    assert slow["mend"] == 'CREATE INDEX CONCURRENTLY ON public."BehaviorLog" ("eventType")'
    assert "calls: 1;" in slow["detail"] and "threshold of 500 ms" in slow["detail"]
    assert "s3cr3t" not in out
    skipped, = found["statements"]
    assert "1 utility statement" in skipped["detail"] and "DO" in skipped["detail"]
    code, found, _ = audit("--slow-ms", "600000")
    assert "slow_statement" not in found


def test_statements_are_planned_and_never_run(database, audit):
    """Of each kind, one with parameters; the sequence that one of them draws from stays as it is."""
    add_statements(database)
    database.execute("CREATE TABLE t (id bigserial, n int); CREATE FUNCTION slow() RETURNS int LANGUAGE sql"
                     " VOLATILE AS 'SELECT 1 FROM pg_sleep(0.02)'")
    database.execute("INSERT INTO t (n) SELECT slow() FROM pg_class LIMIT %s", (2,))
    database.execute("UPDATE t SET n = n + slow() + %s", (1,))
    database.execute("DELETE FROM t WHERE n = slow() * %s", (1000,))
    database.execute("WITH x AS (SELECT slow() AS n) SELECT * FROM x WHERE n = %s", (5,))
    database.execute("SELECT slow(), interval '1 day'")
    database.execute("SELECT slow() INTO made")
    before = database.query("SELECT *, (SELECT last_value FROM t_id_seq) FROM t ORDER BY id")
    code, found, out = audit("--slow-ms", "10")
    slow = {f["where"].split()[0]: f for f in found["slow_statement"] if "slow()" in f["where"]}
    assert code == 1 and {"INSERT", "UPDATE", "DELETE", "WITH", "SELECT"} <= set(slow), out
    assert all("plan" in slow[verb] for verb in ("INSERT", "UPDATE", "DELETE", "WITH"))
    day, = [f for f in found["slow_statement"] if "interval" in f["where"]]
    assert "plan" not in day and "no plan here" in day["detail"] and "syntax error" in day["detail"]
    assert database.query("SELECT *, (SELECT last_value FROM t_id_seq) FROM t ORDER BY id") == before


def test_a_table_that_is_read_from_end_to_end_wants_an_index(database, audit):
    load(database)
    add_statements(database)
    database.execute("VACUUM (ANALYZE)")
    scan(database, 30)
    assert "missing_index" not in audit()[1], "thirty times is not again and again"
    scan(database, 40)
    wait_for_counters(database, f"{SEQ} >= 70")
    code, found, _ = audit()
    missing, = found["missing_index"]
    assert code == 1 and missing["place"] == 'public."BehaviorLog"'
    assert missing["mend"] == 'CREATE INDEX CONCURRENTLY ON public."BehaviorLog" ("eventType")'


def test_an_index_that_nobody_reads_is_found(database, audit):
    """Not the key, and not the one that a foreign key needs, though nobody reads those either."""
    see_indexes(database, audit)
    code, found, _ = audit()
    unused, = found["unused_index"]
    assert code == 1 and unused["where"] == 'index public."BehaviorLog_timestamp_idx"'
    assert unused["mend"] == 'DROP INDEX CONCURRENTLY public."BehaviorLog_timestamp_idx"'
    database.execute(unused["mend"])
    assert "unused_index" not in audit()[1]


def test_an_index_that_may_be_new_is_no_finding(database, audit):
    """Before a recorded run has seen it a week ago, however many rows the table had before: also one that
    has the name of an older one, and one that was seen and found, dropped, and made again."""
    def judge(*arguments):
        code, found, out = audit(*arguments)
        index, = found["unused_index"]
        assert (code == 0) == (index["level"] == "ok"), out
        assert ("DROP INDEX" in index.get("mend", "")) == (index["level"] == "fail")
        assert index["level"] == "fail" or "may be new" in index["detail"]
        return index["level"], found

    again = 'DROP INDEX "BehaviorLog_timestamp_idx"; CREATE INDEX "BehaviorLog_timestamp_idx"' \
            ' ON "BehaviorLog" ("timestamp")'
    see_indexes(database, audit)
    assert judge()[0] == "fail"
    database.execute(again)
    assert judge("--record")[0] == "ok"
    database.execute("UPDATE penstock.finding SET found = found - interval '5 days'")
    load_tidily(database, 3 * ROWS)
    assert judge("--record")[0] == "ok"
    assert database.count("OptimizationLog") == 0, "what is watched is no finding"
    database.execute("UPDATE penstock.finding SET found = found - interval '3 days'")
    level, found = judge("--record")
    assert level == "fail" and "1 new finding, 0 mended" in found["recorded"][0]["detail"]
    database.execute(again)
    level, found = judge("--record")
    assert level == "ok" and "0 new findings, 1 mended" in found["recorded"][0]["detail"]
    level, found = judge("--record")
    assert level == "ok" and "0 new findings, 0 mended" in found["recorded"][0]["detail"]


def test_foreign_keys_without_an_index_are_found(database, audit):
    """Of a stream's table, and to one; an index that has the column second, or only some rows, is none."""
    assert "foreign_key_without_index" not in audit()[1]
    database.execute("""DROP INDEX "SocialPost_userId_idx";
        CREATE INDEX ON "SocialPost" ("createdAt", "userId");
        CREATE INDEX ON "SocialPost" ("userId") WHERE "groupId" IS NULL;
        CREATE TABLE "Comment" (id uuid PRIMARY KEY, post uuid REFERENCES "SocialPost" (id))""")
    code, found, _ = audit()
    keys = found["foreign_key_without_index"]
    assert code == 1 and {f["mend"] for f in keys} == {
        'CREATE INDEX CONCURRENTLY ON public."SocialPost" ("userId")',
        'CREATE INDEX CONCURRENTLY ON public."Comment" (post)'}
    assert {f["place"] for f in keys} == {'public."SocialPost"'}
    for finding in keys:
        database.execute(finding["mend"])
    assert "foreign_key_without_index" not in audit()[1]


def test_dead_rows_and_bloat_are_found(database, audit):
    """Deleted rows wait for VACUUM; after it the table is as large as before, and empty inside."""
    database.execute("""SET session_replication_role = replica;
        INSERT INTO "ProjectCost" ("projectId", category, amount, note, "incurredOn")
        SELECT '00000000-0000-4000-8000-0000000000a1', n::text, 1, repeat('x', 150), '2026-01-31'
        FROM generate_series(1, 40000) n""")
    database.execute("VACUUM (ANALYZE)")
    assert not {"bloat", "vacuum_lag", "analyze_lag"} & set(audit()[1])
    database.execute("DELETE FROM \"ProjectCost\" WHERE category::int % 10 <> 0")
    wait_for_counters(database, """(SELECT n_dead_tup FROM pg_stat_user_tables
        WHERE relname = 'ProjectCost') = 36000""")
    code, found, _ = audit()
    lag, = found["vacuum_lag"]
    assert code == 1 and "36000 dead rows" in lag["detail"] and "autovacuum is off" in lag["detail"]
    assert lag["mend"].startswith('VACUUM (ANALYZE) public."ProjectCost"')
    assert "36000 rows have changed since ANALYZE" in found["analyze_lag"][0]["detail"]
    database.execute(lag["mend"].split(";")[0])
    found = audit()[1]
    assert not {"vacuum_lag", "analyze_lag"} & set(found)
    bloat, = found["bloat"]
    assert "4000 rows" in bloat["detail"] and "estimate" in bloat["detail"]
    database.execute('VACUUM (FULL, ANALYZE) "ProjectCost"')
    assert "bloat" not in audit()[1]


def test_copy_cost_is_what_was_counted(database, audit, make_server):
    """Bytes of WAL and time of the rows that a server has loaded by COPY."""
    add_statements(database)
    server = make_server(settings={"prepared_rows": 0}).start()
    user = database.add_user()
    client = server.connect()
    for _ in range(3):
        ack = client.publish("behavior", [{"userId": user, "eventType": "cost"}] * 500, ack="committed")
        assert ack["op"] == "ack"
    client.close()
    _, found, out = audit()
    copied = [f["detail"] for f in found["copy_cost"] if f["where"] == 'table public."BehaviorLog"']
    assert len(copied) == 1 and "bytes of WAL" in copied[0] and "over 1500 rows" in copied[0], out


def test_without_statements_the_rest_is_reported(database, audit, tmp_path):
    """The extension is not there: a note says how to get it; --strict makes that a failure."""
    load(database)
    code, found, _ = audit()
    assert "unused_index" in found
    note, = found["statements_not_read"]
    assert note["level"] == "note" and note["mend"] == "CREATE EXTENSION pg_stat_statements"
    database.execute('DROP INDEX "BehaviorLog_timestamp_idx"')
    database.execute("VACUUM (ANALYZE)")
    assert audit()[0] == 0
    assert audit("--strict")[0] == 1


def test_findings_are_recorded_once_and_their_gain_measured(database, audit, make_server):
    """A finding is one row and one pushed event, however often it is found. Mended, it is another row,
    with the gain that the calls since then have had, and again an event."""
    server = make_server().start()
    see_indexes(database, audit)
    add_statements(database)
    database.execute("VACUUM (ANALYZE)")
    database.execute("SELECT pg_stat_statements_reset()")
    database.execute(SLOW, (0.6,))
    client = server.connect()
    client.subscribe("stream:optimization")
    code, found, out = audit("--record")
    assert code == 1 and "2 new findings, 0 mended" in found["recorded"][0]["detail"], out

    pushed = client.events(2)
    rows = database.query('SELECT id::text, "queryText", recommendation, "performanceGain", confidence,'
                          ' "appliedAt" FROM "OptimizationLog"')
    assert {e["data"]["id"] for e in pushed} == {row[0] for row in rows} and len(rows) == 2
    assert [e["stream"] for e in pushed] == ["optimization"] * 2
    assert pushed[0]["offset"] < pushed[1]["offset"]
    slow, = [row for row in rows if row[1].startswith("SELECT")]
    assert "takes 6" in slow[2] and "CREATE INDEX" in slow[2] and slow[3] is None and slow[5] is None
    assert "s3cr3t" not in str(rows)

    # The same again: known, and no second row, even if what we remember of it were lost.
    code, found, _ = audit("--record")
    assert code == 1 and "0 new findings, 0 mended" in found["recorded"][0]["detail"]
    assert found["slow_statement"][0]["id"]
    database.execute("DELETE FROM penstock.finding WHERE kind = 'slow_statement'")
    audit("--record")
    assert database.count("OptimizationLog") == 2

    # Mended, and the calls since show it: the mean of all time is still over the threshold.
    database.execute('CREATE INDEX ON "BehaviorLog" ("eventType"); DROP INDEX "BehaviorLog_timestamp_idx"')
    for _ in range(3):
        database.execute(SLOW, (0.001,))
    code, found, out = audit("--record")
    assert (code, failures(found)) == (0, []), out
    assert "0 new findings, 2 mended" in found["recorded"][0]["detail"]
    mended = [e["data"] for e in client.events(2)]
    gain, = [e for e in mended if e["queryText"].startswith("SELECT")]
    assert gain["performanceGain"] >= 90 and gain["appliedAt"] and "in the 3 calls since" in gain["recommendation"]
    dropped, = [e for e in mended if e["queryText"].startswith("index")]
    assert "performanceGain" not in dropped and "no longer so" in dropped["recommendation"]
    assert database.count("OptimizationLog") == 4

    # It stays mended while nobody calls it, and is found again when it is slow again.
    code, found, _ = audit("--record")
    assert code == 0 and "0 new findings, 0 mended" in found["recorded"][0]["detail"]
    database.execute(SLOW, (0.6,))
    code, found, _ = audit("--record")
    assert code == 1 and "1 new finding, 0 mended" in found["recorded"][0]["detail"]
    again = client.events(1)[0]["data"]
    assert again["queryText"] == gain["queryText"] and again["id"] not in {row[0] for row in rows}
    client.close()


def test_lost_statistics_mend_nothing(database, audit, tmp_path):
    """Counters that begin anew, as they do after a crash, are no news of what was found before; use is."""
    see_indexes(database, audit)
    add_statements(database)
    database.execute("VACUUM (ANALYZE)")
    scan(database, 70)
    wait_for_counters(database, f"{SEQ} >= 70")
    code, found, out = audit("--record")
    assert "2 new findings, 0 mended" in found["recorded"][0]["detail"], out
    database.execute("SELECT pg_stat_reset()")
    wait_for_counters(database, f"{SEQ} = 0")
    code, found, out = audit("--record")
    assert code == 1 and {"missing_index", "unused_index"} <= set(found), out
    assert "0 new findings, 0 mended" in found["recorded"][0]["detail"]
    database.execute('CREATE INDEX ON "BehaviorLog" ("eventType")')
    scan(database, 70)
    wait_for_counters(database, """(SELECT idx_scan FROM pg_stat_user_tables
        WHERE relname = 'BehaviorLog') >= 70""")
    found = audit("--record")[1]
    assert "missing_index" not in found and "0 new findings, 1 mended" in found["recorded"][0]["detail"]


def test_what_the_servers_role_lacks_is_said(database, audit, tmp_path):
    """With the privileges that `penstock migrate --role` gives, and no others: statements of other roles
    are hidden and said to be; what is found is recorded all the same, into the outbox."""
    see_indexes(database, audit)
    load(database)
    add_statements(database)
    name = "auditor_" + database.name
    (tmp_path / "penstock.conf").write_text(STREAMS)
    code, out, err = run("migrate", "--role", name, "--config", "penstock.conf",
                         env={"DATABASE_URL": database.url}, cwd=tmp_path)
    assert code == 0, out + err
    database.execute("VACUUM (ANALYZE)")
    database.execute("""INSERT INTO penstock.finding (id, kind, place, subject) VALUES
        (gen_random_uuid(), 'bloat', 'public."BehaviorLog"', 'table public."BehaviorLog"')""")
    try:
        code, found, out = audit("--record", url=database.url.replace("user=tester", f"user={name}"))
        assert code == 1, out
        note, = found["statements_not_read"]
        assert note["mend"] == f"GRANT pg_read_all_stats TO \"{name}\""
        note, = found["bloat_not_estimated"]
        assert f'GRANT SELECT ON public."BehaviorLog" TO {name}' in note["mend"]
        assert "1 new finding, 0 mended" in found["recorded"][0]["detail"], "what is not seen is not mended"
        assert database.count("OptimizationLog") == 1
        assert database.value("SELECT channels FROM penstock.outbox") == ["stream:optimization"]
    finally:
        database.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("arguments,words", [
    (["--slow-ms", "0"], "whole number"),
    (["--slow-ms=fast"], "whole number"),
    (["--record", "--stream", "none"], 'no stream "none" is configured'),
])
def test_wrong_usage_is_one_sentence(audit, arguments, words):
    code, _, out = audit(*arguments)
    assert code == 2 and words in out


def test_a_database_that_cannot_be_asked_is_no_clean_bill(database, audit):
    """Not 0, and not 1 either: a timer tells findings from an audit that could not be done. So it is
    when what was found could not be recorded."""
    code, found, _ = audit(url="postgresql:///none?host=/nonexistent")
    assert code == 3 and "cannot connect" in found["audit"][0]["detail"]
    code, found, _ = audit("--record")
    assert code == 3 and "penstock migrate" in found["audit"][0]["detail"]


def test_it_writes_nothing_without_record(database, audit):
    """Every write would be counted; what it looks at is much, so that there is something to write."""
    load(database)
    counted = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_all_tables"
    wait_for_rows(database)
    before = database.value(counted)
    assert "unused_index" in audit()[1]
    assert database.value(counted) == before
