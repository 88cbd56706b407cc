"""PostgreSQL's own disk is full: what is acknowledged waits in the journal, and goes in when there is room."""

import os
import shutil
import tempfile

import pytest
from disk import SmallDisk, Unavailable

BODY_BYTES = 8000
MESSAGES = 150  # of 8 KB each, and the disk has room for a fraction of them
ROOM = 256 << 10


@pytest.fixture
def small_disk(database):
    """A disk of PostgreSQL's, with the table "BehaviorLog" on it."""
    folder = tempfile.mkdtemp(prefix="penstock-full.", dir="/tmp")
    os.chmod(folder, 0o755)
    try:
        disk = SmallDisk(os.path.join(folder, "disk"))
    except Unavailable as unavailable:
        os.rmdir(folder)
        pytest.skip(str(unavailable))
    place = os.path.join(disk.folder, "tablespace")
    os.makedirs(place)
    for path in (disk.folder, place):
        shutil.chown(path, "postgres")
    database.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
    database.execute('ALTER TABLE "BehaviorLog" SET TABLESPACE small')
    yield disk
    disk.empty()
    database.execute('DROP TABLE "BehaviorLog"')
    database.execute("DROP TABLESPACE small")
    disk.close()
    os.rmdir(folder)


def test_a_full_disk_of_postgres_is_waited_for(make_server, database, small_disk):
    """No row is to blame: none becomes a dead letter, all come in once there is room, in order."""
    server = make_server(settings={"lanes": 1, "statement_timeout_ms": 2000}).start()
    user = database.add_user()
    publisher = server.connect()

    def publish(n):
        # Hexadecimal digits of random bytes: PostgreSQL's compression makes half of them at best.
        event = {"userId": user, "eventType": str(n), "metadata": {"x": os.urandom(BODY_BYTES // 2).hex()}}
        return publisher.publish("behavior", [event])

    assert publish(0)["op"] == "ack"
    small_disk.fill(leave=ROOM)
    for n in range(1, MESSAGES):
        assert publish(n)["op"] == "ack"
    server.wait_for_log("No space left on device")
    assert publish(MESSAGES)["level"] == "durable"
    assert database.count("BehaviorLog") < MESSAGES + 1
    small_disk.empty()
    database.wait_for_count("BehaviorLog", MESSAGES + 1)
    assert database.value("SELECT count(*) FROM penstock.dead_letter") == 0
    order = database.query("SELECT data->>'eventType' FROM penstock.events(0, 100000) ORDER BY \"offset\"")
    assert [int(row[0]) for row in order] == list(range(MESSAGES + 1))
