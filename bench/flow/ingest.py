"""Ingest: committed rows a second through the socket, beside libpq COPY BINARY of the same rows.

Run it by bench/run.sh: it needs DATABASE_URL (a PostgreSQL that may be filled and emptied) and
PENSTOCK_BUILD. Variants are interleaved (A B C A B C …) and each starts from an empty table, so that a
noisy machine harms all alike; what is printed are medians.
"""
import argparse
import json
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from rig import (BUILD, DATABASE_URL, ROOT, Server, median_of, print_table, psql,  # noqa: E402
                 run_json, write_results)

LANES = 2
SETTINGS = f"""lanes = {LANES}
stream "plain" {{ table = "BehaviorLog" }}
stream "behavior" {{
    table = "BehaviorLog"
    channels = {{"user:{{userId}}", "stream:behavior"}}
}}
"""

# name, stream, events a message, encoding, connections, messages in flight on each
VARIANTS = [
    ("100 a message, JSON", "plain", 100, "json", 8, 8),
    ("100 a message, MessagePack", "plain", 100, "msgpack", 8, 8),
    ("100 a message, JSON, pushed", "behavior", 100, "json", 8, 8),
    ("1 a message, JSON", "plain", 1, "json", 32, 64),
    ("1 a message, MessagePack", "plain", 1, "msgpack", 32, 64),
]


def recorded_events(folder):
    """The recorded events where this checkout has them beside it, else made ones of like size."""
    recorded = ROOT.parent / "shared" / "data" / "behavior.ndjson"
    if recorded.exists():
        return recorded, "recorded behaviour events"
    made = folder / "behavior.ndjson"
    with made.open("w") as out:
        for i in range(5000):
            event = {
                "userId": f"00000000-0000-4000-8000-{i % 500:012d}",
                "eventType": f"page_{i % 40}",
                "metadata": {"path": f"/course/{i}", "agent": "Mozilla/5.0 " + "x" * 900, "n": i},
                "timestamp": f"2026-01-01T00:{i // 60 % 60:02d}:{i % 60:02d}.000Z",
            }
            out.write(json.dumps(event) + "\n")
    return made, "made events (no recorded ones beside this checkout)"


def prepare_database(events):
    psql((ROOT / "deploy" / "examples.sql").read_text())
    users = sorted({json.loads(line)["userId"] for line in events.open()})
    rows = ",".join(f"('{u}','{u}@example.com','x','{{}}')" for u in users)
    psql(f'INSERT INTO "User"(id, email, "passwordHash", name) VALUES {rows} '
         "ON CONFLICT DO NOTHING")


def empty_tables():
    psql('TRUNCATE "BehaviorLog"; CHECKPOINT')


def measure_floor(events, rows):
    empty_tables()
    figures = run_json([BUILD / "bench/flow/copy_floor", DATABASE_URL, "BehaviorLog", events, rows,
                        LANES, 10000])
    return {"rate": figures["events"] / figures["seconds"],
            "cpu_us": figures["client_cpu_s"] / figures["events"] * 1e6}


def measure_variant(server, variant, events, rows):
    name, stream, batch, encoding, connections, inflight = variant
    empty_tables()
    cpu_before = server.cpu_seconds()
    figures = run_json([BUILD / "bench/flow/penstock_load", "--port", server.port, "--file", events,
                        "--stream", stream, "--batch", batch, "--encoding", encoding,
                        "--connections", connections, "--inflight", inflight, "--events", rows])
    cpu = server.cpu_seconds() - cpu_before
    stored = int(psql('SELECT count(*) FROM "BehaviorLog"'))
    if stored != figures["events"]:
        sys.exit(f"{name}: {figures['events']} acknowledged as committed, {stored} in the table")
    return {"rate": figures["events"] / figures["seconds"], "cpu_us": cpu / stored * 1e6,
            "p50_ms": figures["p50_us"] / 1000, "p99_ms": figures["p99_us"] / 1000,
            "generator_us": figures["generator_cpu_s"] / stored * 1e6}


def spread_of(runs, key):
    values = [run[key] for run in runs]
    return f"{min(values):,.0f}-{max(values):,.0f}"


def print_results(results, source, rows, rounds):
    floor = median_of(results["floor"], "rate")
    print(f"\n{rows} rows a round, {rounds} rounds, {source}; {os.cpu_count()} cores shared by "
          f"generator, server and PostgreSQL\n")
    head = ("", "rows/s", "spread", "of the floor", "server µs/event", "p50 ms", "generator µs/event")
    lines = [("libpq COPY BINARY (floor)", f"{floor:,.0f}", spread_of(results["floor"], "rate"),
              "1.00", f"{median_of(results['floor'], 'cpu_us'):.2f}", "", "")]
    for name, runs in results.items():
        if name != "floor":
            rate = median_of(runs, "rate")
            lines.append((name, f"{rate:,.0f}", spread_of(runs, "rate"), f"{rate / floor:.2f}",
                          f"{median_of(runs, 'cpu_us'):.2f}", f"{median_of(runs, 'p50_ms'):.1f}",
                          f"{median_of(runs, 'generator_us'):.2f}"))
    print_table(head, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds")
    options = parser.parse_args()
    rows, rounds = (40000, 2) if options.quick else (200000, 5)
    results = {"floor": [], **{variant[0]: [] for variant in VARIANTS}}
    with tempfile.TemporaryDirectory(prefix="penstock-bench.", dir=os.environ.get("BENCH_TMP")) as name:
        folder = pathlib.Path(name)
        events, source = recorded_events(folder)
        prepare_database(events)
        server = Server(folder, SETTINGS)
        try:
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
                results["floor"].append(measure_floor(events, rows))
                for variant in VARIANTS:
                    results[variant[0]].append(measure_variant(server, variant, events, rows))
        finally:
            server.stop()
    write_results("ingest", results)
    print_results(results, source, rows, rounds)


main()
