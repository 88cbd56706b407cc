"""From `publish` on one connection to the `durable` ack, the `committed` ack, `events` on another connection, and a
notification at a plain LISTEN. The floors: bare `pwrite` + `fdatasync`; INSERT and `pg_notify` in one prepared statement
by bare libpq on up to eight connections, until it is committed, and until a connection that LISTENs has heard of it.
An event is a topic and a number, the table "Tick" has those and a uuid, its primary key: the way is measured, not the row.
Open loop: an event counts from when it was due, so that who falls behind cannot hide it. All seven take turns.
"""
import time

from measure import (BUILD, DATABASE_URL, TICK_STREAMS, TICK_TABLE, Server, psql, run_json,
                     scratch_folder)
from results import Part, ratio_text

RATES = [10, 100, 1000, 5000, 10000]  # events a second
# What is measured, and its floor.
PATHS = {"durable": ("durable ack", "synced"), "committed": ("committed ack", "inserted"),
         "pushed": ("pushed to a subscriber", "heard"), "notified": ("NOTIFY at a listener", "heard")}
FLOORS = {"synced": "pwrite + fdatasync", "inserted": "INSERT + NOTIFY, committed",
          "heard": "INSERT + NOTIFY, heard"}
SLICES = 10  # of a round at one rate: seven paths, warming up, and some that fall behind
TARGETS = {"durable": 1.5, "committed": 1.5, "pushed": 2.0}  # of the floor's p50, at 100 a second


def measure(part, server, folder, rate):
    part.say(f"{rate} events a second")
    seconds = part.pick(1, 0.15)
    rounds = max(1, min(9, int(part.seconds / (SLICES * seconds * len(RATES)))))
    psql('TRUNCATE "Tick"; CHECKPOINT')
    begun = time.monotonic()
    result = run_json([BUILD / "bench/flow/penstock_latency", "127.0.0.1", server.port, DATABASE_URL,
                       folder, rate, seconds, rounds])
    result["generator_share"] = result["generator_cpu_s"] / (time.monotonic() - begun)
    return result


def cell(figures, key, needed):
    """A percentile, where there are enough events for it to mean something."""
    return f"{figures[key]:,}" if figures["count"] >= needed else ""


def ratios(result, name):
    """Of the medians of each round, ours to the floor's."""
    floor = PATHS[name][1]
    return [ours / max(bare, 1) for ours, bare in zip(result[name]["round_p50_us"], result[floor]["round_p50_us"])]


def line(result, name, label, ratio_cell):
    figures = result[name]
    share = figures["unsent"] / max(figures["count"], 1)
    spread = f"{min(figures['round_p50_us']):,}-{max(figures['round_p50_us']):,}"
    return [f"{result['rate']:,}", label, cell(figures, "p50_us", 1), spread,
            cell(figures, "p90_us", 10), cell(figures, "p99_us", 100),
            cell(figures, "p999_us", 1000), ratio_cell, f"{share:.0%}" if share else ""]


def tell_targets(part, result):
    p50 = {name: figures["p50_us"] for name, figures in result.items() if isinstance(figures, dict)}
    rests = {
        "durable": "from the socket to the journal and back an event changes threads twice, and the bare call none",
        "committed": f"{p50['durable']:,} µs pass before it is durable, which the floor does not do, and then a lane loads "
                     "a batch by COPY, with the log of batches in the same transaction",
        "pushed": f"it is committed after {p50['committed']:,} µs of them; then the feed takes the batch, and the edge "
                  "writes it to the subscriber",
    }
    for name, wanted in TARGETS.items():
        part.target(f"{PATHS[name][0]}, p50 at 100 events/s, of its floor", wanted, ratios(result, name), rests[name],
                    at_least=False)
    for name, (label, floor) in PATHS.items():
        part.headline(f"{label}, p50 at 100 events/s", f"{p50[name] / 1000:.2f} ms",
                      f"{FLOORS[floor]} {p50[floor] / 1000:.2f} ms", ratios(result, name))


def tell(part, results):
    lines = []
    for result in results:
        for name, (label, _) in PATHS.items():
            lines.append(line(result, name, label, ratio_text(ratios(result, name))))
        for name, label in FLOORS.items():
            lines.append(line(result, name, f"floor: {label}", ""))
    part.table("Microseconds, by events a second", ["events/s", "until", "p50", "spread of p50", "p90",
               "p99", "p99.9", "p50 of its floor", "never sent"], lines,
               "\"never sent\": the path could not hold the rate, and was given up on; those count with the "
               "time that they have waited. A percentile is left out where there were too few events for it.")
    names = {name: label for name, (label, _) in PATHS.items()} | {
        name: f"floor: {label}" for name, label in FLOORS.items()}
    for key, what in (("p50_us", "Median latency"), ("p99_us", "99th percentile")):
        part.lines(what, "events a second", "µs", [
            (label, [(r["rate"], r[name][key]) for r in results if r[name]["count"] >= 100])
            for name, label in names.items()])
    for result in results:
        part.generators.append({"name": f"{result['rate']:,} events a second, floors and all",
                                "share": result["generator_share"], "most": result["generator_share"]})
    tell_targets(part, next(result for result in results if result["rate"] == 100))


def main():
    part = Part("latency", "Latency", __doc__)
    psql(TICK_TABLE)
    results = []
    with scratch_folder() as folder, Server(folder, streams=TICK_STREAMS) as server:
        for _ in part.rounds(most=1):
            results = [measure(part, server, folder, rate) for rate in RATES]
    part.round_count = len(results[0]["durable"]["round_p50_us"])
    tell(part, results)
    part.finish(results)


main()
