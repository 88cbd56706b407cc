"""The last rows of a user as objects in Node: by `pg`, Kysely, Drizzle and Prisma from the table, and from Penstock by
`subscribe` with `last` and by pages of HTTP history. Penstock once with recent batches in memory, and once just started,
when all of it comes from the log in PostgreSQL. Everyone parses JSON; all take turns.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys

from measure import (BUILD, ROOT, Server, prepare_database, psql, recorded_events, run_json, scratch_folder)
from results import Part, ratio_text

PEERS = ROOT / "bench" / "peers"
READERS = {"pg-values": "pg", "kysely": "Kysely", "drizzle": "Drizzle", "prisma": "Prisma"}
OURS = {"penstock-ws": "Penstock, subscribe with `last`", "penstock-http": "Penstock, HTTP history"}
STATES = {"memory": "from memory", "log": "just started, from the log"}


def make_events(events, out):
    """Every second event is one user's."""
    lines = [json.loads(line) for line in events.open()]
    user = lines[0]["userId"]
    for number, event in enumerate(lines):
        if number % 2 == 0:
            event["userId"] = user
    out.write_text("".join(json.dumps(event) + "\n" for event in lines))
    return user


def load(server, events, rows):
    run_json([BUILD / "bench/generator/penstock-bench", "--json", "--file", events, "--events", rows, "--connections",
              2, f"{server.scheme}://127.0.0.1:{server.port}/v1/ws"])
    psql('ANALYZE "BehaviorLog"')


def offset_before(user, count):
    """Of the event before the user's last `count`, from the log."""
    return psql(f"""SELECT min("offset") - 1 FROM (SELECT "offset" FROM penstock.events(0, 1000000, 'user:{user}')
        ORDER BY "offset" DESC LIMIT {count}) newest""")


def read(reader, user, count, times, port, since):
    environment = {**os.environ, "NODE_ENV": "production", "PENSTOCK_PORT": str(port), "SINCE": str(since)}
    done = subprocess.run(["node", "read.mjs", reader, user, str(count), str(times)], cwd=PEERS, text=True,
                          capture_output=True, env=environment)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if "Error" in line] or done.stderr.splitlines()
        sys.exit(f"{reader}: {said[0] if said else 'failed'}")
    return statistics.median(json.loads(done.stdout)["ms"])


def run_state(part, server, state, user, counts, since, figures):
    readers = list({**READERS, **OURS} if state == "memory" else OURS)
    first = part.round_count % len(readers)
    for count in counts:
        for reader in readers[first:] + readers[:first]:
            part.say(f"{reader}, {count:,} rows, {STATES[state]}")
            figures.setdefault((count, reader, state), []).append(
                read(reader, user, count, part.pick(5, 1), server.port, since[count]))


def name_of(reader, state):
    return READERS.get(reader) or f"{OURS[reader]}, {STATES[state]}"


def tell_count(part, count, figures):
    """`figures`: of this count, by reader and state. Returns lines of the table."""
    best = min(READERS, key=lambda reader: statistics.median(figures[reader, "memory"]))
    floor, lines = figures[best, "memory"], []
    for (reader, state), runs in figures.items():
        ratios = [run / quickest for run, quickest in zip(runs, floor)]
        if reader in OURS:
            part.headline(f"the last {count:,} rows of a user, {name_of(reader, state).split(', ', 1)[1]}, in Node",
                          f"{statistics.median(runs):.1f} ms",
                          f"{READERS[best]}, best of the peers, {statistics.median(floor):.1f} ms", ratios)
        lines.append([f"{count:,}", name_of(reader, state), f"{statistics.median(runs):.1f}",
                      f"{min(runs):.1f}-{max(runs):.1f}", ratio_text(ratios)])
    part.bars(f"The last {count:,} rows of a user", "ms", [
        (name_of(reader, state).replace("Penstock, ", ""), [statistics.median(runs), min(runs), max(runs)])
        for (reader, state), runs in figures.items()])
    return lines


def tell(part, counts, figures):
    lines = []
    for count in counts:
        lines += tell_count(part, count, {key[1:]: runs for key, runs in figures.items() if key[0] == count})
    part.table("Milliseconds, in Node", ["rows", "", "ms", "spread", "times as long as the quickest peer"], lines,
               "One reader at a time, closed loop; medians of rounds. The peers' last rows are those with the newest "
               "time, Penstock's those with the highest offset. HTTP history is told where to begin, as a page of a "
               "list knows it; `last` finds that itself.")


def main():
    part = Part("reads", "Reads", __doc__)
    if not (PEERS / "node_modules/.installed").exists():
        sys.exit("bench/peers/prepare.sh has not installed the npm packages")
    rows, counts = part.pick((60000, (1000, 10000)), (2000, (500,)))
    figures = {}
    with scratch_folder() as name:
        folder = pathlib.Path(name)
        recorded, source = recorded_events(folder)
        events = folder / "events.ndjson"
        user = make_events(recorded, events)
        prepare_database(events)
        with Server(folder, 'node = "first"\n') as server:
            part.say("loading")
            load(server, events, rows)
            since = {count: offset_before(user, count) for count in counts}
            for _ in part.rounds():
                run_state(part, server, "memory", user, counts, since, figures)
                with Server(folder, 'node = "second"\n') as started:
                    run_state(part, started, "log", user, counts, since, figures)
    tell(part, counts, figures)
    part.finish({f"{count} {reader} {state}": runs for (count, reader, state), runs in figures.items()},
                f"Events: {source}; {rows:,} in the table, every second the user's.")


main()
