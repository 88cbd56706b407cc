"""Latency: from `publish` on one connection to `events` on another, beside INSERT and NOTIFY by bare
libpq, in turns of a second each. Open loop: an event counts from when it was due.
"""
import argparse
import pathlib

from measure import (BUILD, DATABASE_URL, Server, free_port, print_table, psql, run_json,
                     scratch_folder, write_results)

RATES = [100, 5000]  # events a second
STREAMS = 'stream "tick" {\n    table = "Tick"\n    channels = {"{topic}"}\n}\n'
TABLE = ('DROP TABLE IF EXISTS "Tick"; CREATE TABLE "Tick" (id uuid PRIMARY KEY DEFAULT '
         "gen_random_uuid(), topic text NOT NULL, n int4 NOT NULL)")


def measure(server, rate, rounds):
    psql('TRUNCATE "Tick"; CHECKPOINT')
    return run_json([BUILD / "bench/flow/penstock_latency", "127.0.0.1", server.port, DATABASE_URL,
                     rate, rounds])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 4 if parser.parse_args().quick else 20
    psql(TABLE)
    with scratch_folder() as folder:
        server = Server(pathlib.Path(folder), free_port(), streams=STREAMS)
        try:
            results = [measure(server, rate, rounds) for rate in RATES]
        finally:
            server.stop()
    write_results("latency", results)
    print(f"\n{rounds} seconds of each, in turns\n")
    print_table(("events a second", "p50 µs", "p99 µs", "floor: p50 µs", "p99 µs", "p50 of the floor"),
                [(str(r["rate"]), str(r["penstock"]["p50_us"]), str(r["penstock"]["p99_us"]),
                  str(r["floor"]["p50_us"]), str(r["floor"]["p99_us"]),
                  f"{r['penstock']['p50_us'] / r['floor']['p50_us']:.2f}") for r in results])


main()
