"""Fixtures of the tests of what is given to others: release binary, package, files of deploy/."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

from penstock import Postgres, run, source_dir  # noqa: E402


@pytest.fixture(scope="session")
def database():
    """A database with the example tables and our schema, in a cluster of its own."""
    postgres = Postgres()
    try:
        postgres.start()
        made = postgres.create_database()
        with open(os.path.join(source_dir(), "deploy", "examples.sql"), encoding="utf-8") as sql:
            made.execute(sql.read())
        code, _, err = run("migrate", env={"DATABASE_URL": made.url})
        assert code == 0, err
        yield made
    finally:
        postgres.close()
