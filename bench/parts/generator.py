"""The load generator alone, against a server inside it that answers and does nothing else: how far it is from being
what is measured. Beside it the COPY floor, which no server passes by much. What it takes of a processor while it
drives a real server is told above. Both ends share the processors here, too, so that it could do more still.
"""
import pathlib

from measure import (BUILD, empty_tables, measure_floor, prepare_database, recorded_events, run_json,
                     scratch_folder)
from results import Part, median_of, range_of, ratio_text, ratios_of, spread_of

FLOOR = "libpq COPY, 2 connections"
VARIANTS = {  # events a message, encoding, connections, in flight: those of the ingest part
    "1 a message, JSON": (1, "json", 32, 64), "100 a message, JSON": (100, "json", 8, 8),
    "1 a message, MessagePack": (1, "msgpack", 32, 64), "100 a message, MessagePack": (100, "msgpack", 8, 8),
    "1 a message, JSON, 500 connections": (1, "json", 500, 8),
}


def measure(events, rows, batch, encoding, connections, inflight):
    figures = run_json([BUILD / "bench/generator/penstock-bench", "--alone", "--json", "--file", events,
                        "--batch", batch, "--encoding", encoding, "--connections", connections,
                        "--inflight", inflight, "--events", rows])
    return {"rate": figures["events"] / figures["seconds"],
            "generator_us": figures["generator_cpu_s"] / figures["events"] * 1e6}


def main():
    part = Part("generator", "The load generator", __doc__)
    rows = part.pick(100000, 4000)
    results = {name: [] for name in (FLOOR, *VARIANTS)}
    with scratch_folder() as name:
        events, source = recorded_events(pathlib.Path(name))
        prepare_database(events)
        for _ in part.rounds():
            empty_tables()
            results[FLOOR].append(measure_floor(events, rows))
            for variant, how in VARIANTS.items():
                results[variant].append(measure(events, 2 * rows, *how))
    lines = [[name, f"{median_of(runs, 'rate'):,.0f}", spread_of(runs, "rate"),
              ratio_text(ratios_of(runs, results[FLOOR])),
              "" if name == FLOOR else f"{median_of(runs, 'generator_us'):.2f}"] for name, runs in results.items()]
    part.table(f"Events a second, {source}", ["", "events/s", "spread", "times the COPY floor",
               "generator µs/event"], lines)
    part.bars("The generator against a server that does nothing", "events/s",
              [(name, range_of(runs, "rate")) for name, runs in results.items()])
    part.finish(results)


main()
