"""The primary is lost and its synchronous standby takes over: no acknowledged event is lost with it."""

import pytest
from penstock import Postgres, until
from world import World, create_postgres

LANES = 2


class Pair:
    """A database as the server sees it: on whichever of two clusters takes writes."""

    def __init__(self, name, clusters):
        self.name, self.clusters = name, clusters

    @property
    def url(self):
        hosts = ",".join(cluster.folder for cluster in self.clusters)
        return f"postgresql:///{self.name}?host={hosts}&user=tester"


class PairedWorld(World):
    """The server knows both; `fail_over` takes the first away."""

    def __init__(self, primary, standby, database, folder):
        self.standby = standby
        super().__init__(primary, database, 1, folder, {"lanes": LANES})

    def server_database(self):
        return Pair(self.database.name, (self.postgres, self.standby))

    def fail_over(self):
        """kill -9 of the primary, as if its machine had gone; then the standby is promoted."""
        self.postgres.kill()
        self.await_durable_acks()
        self.standby.promote()
        self.postgres = self.standby
        self.database = self.standby.database(self.database.name)

    def await_durable_acks(self):
        acks = self.log.acks
        until("the journal takes events while no PostgreSQL does", lambda: self.log.acks > acks)


@pytest.fixture
def world(tmp_path):
    primary = create_postgres()
    standby = None
    try:
        database = primary.create_database("examples")
        standby = Postgres.standby_of(primary)
        world = PairedWorld(primary, standby, database, str(tmp_path))
        try:
            yield world.start()
        finally:
            world.close()
    finally:
        if standby:
            standby.close()
        primary.close()


def test_a_standby_takes_over(world):
    """Lanes, feed and the others find the promoted one by the URL; what was acked is there, once, in order."""
    world.await_progress()
    world.fail_over()
    world.await_progress()
    world.check_committed()
    figures = world.verify()
    assert figures["stored"] > 0 and figures["gaps"] == 0
