"""A PostgreSQL that lives as long as we hold it.

tests/lib/with_postgres.sh starts it and stops it when its command ends. The command here is a `cat`
that ends with the pipe to it: when we close the pipe, or are killed, PostgreSQL is stopped. It is
in a session of its own, so that Ctrl-C reaches us first, and it only when nobody needs it any more.
"""
import os
import pathlib
import subprocess

WITH_POSTGRES = pathlib.Path(__file__).resolve().parents[2] / "tests/lib/with_postgres.sh"
NAMES = ["PGDATA", "PG_BIN", "PGHOST", "PGUSER", "PGDATABASE", "DATABASE_URL"]
HOLD = "".join(f'echo "${name}"; ' for name in NAMES) + "exec cat >&2"
STOP_SECONDS = 60


class Database:
    """In `with`: sets what programs find it by in os.environ."""

    def __enter__(self):
        self.holder = subprocess.Popen([WITH_POSTGRES, "sh", "-c", HOLD], text=True, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, start_new_session=True)
        values = [self.holder.stdout.readline().rstrip("\n") for _ in NAMES]
        if not values[-1]:
            raise SystemExit(f"PostgreSQL did not start: {WITH_POSTGRES} ended with {self.holder.wait()}")
        os.environ.update(zip(NAMES, values))
        return self

    def __exit__(self, *_):
        self.holder.stdin.close()
        self.holder.wait(STOP_SECONDS)


def psql(sql, url=None):
    done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", url or os.environ["DATABASE_URL"]],
                          input=sql, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"PostgreSQL: {done.stderr.strip()}")
    return done.stdout.strip()
