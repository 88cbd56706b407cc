"""Records between two threads, and the way of one record there: Penstock's ring, Concurrency Kit's SPSC ring, a queue
under a mutex. Ours hands over all that is there at once, which is what a lane does with it. The queues take turns.
"""
import json
import statistics
import subprocess
import sys

from measure import BUILD
from results import Part, ratio_text


def run(rounds):
    program = BUILD / "bench/micro/ring/ring_bench"
    if not program.exists():
        sys.exit("ring_bench was not built: is libck-dev installed?")
    done = subprocess.run([program, str(rounds)], text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    part = Part("ring", "Ring", __doc__)
    runs = []
    for _ in part.rounds():
        runs.append(run(1))
    figures = {}
    for each in (line for lines in runs for line in lines):
        kept = figures.setdefault((each["bytes"], each["queue"]), {"ns": [], "one_way_ns": []})
        kept["ns"] += each["ns"]
        kept["one_way_ns"] += each["one_way_ns"]
    lines = []
    for (size, queue), kept in figures.items():
        peer = next(other for (bytes_, name), other in figures.items()
                    if bytes_ == size and "Concurrency" in name)
        ratios = [theirs / ours for ours, theirs in zip(kept["ns"], peer["ns"])]
        ns = statistics.median(kept["ns"])
        lines.append([f"{size:,}", queue, f"{1e3 / ns:.2f}", f"{size * 1e3 / ns:,.0f}",
                      f"{ns:.1f} ({min(kept['ns']):.1f}-{max(kept['ns']):.1f})", ratio_text(ratios),
                      f"{statistics.median(kept['one_way_ns']):,.0f}"])
        if queue == "penstock":
            part.target(f"ring, records of {size:,} bytes a second, of Concurrency Kit's", 1.0, ratios,
                        "what both do most of: copying the record in, and waiting for its cache lines from the other "
                        "processor")
            if size in (64, 1024):
                part.headline(f"ring, records of {size:,} bytes between two threads", f"{1e3 / ns:.1f} M/s",
                              f"Concurrency Kit {1e3 / statistics.median(peer['ns']):.1f} M/s", ratios)
    part.table("Two threads, as fast as they can", ["bytes", "", "M records/s", "MB/s", "ns each (spread)",
               "times as fast as Concurrency Kit", "one way, ns"], lines)
    sizes = sorted({size for size, _ in figures})
    part.lines("Records a second between two threads", "bytes a record", "M records/s", [
        (queue, [(size, 1e3 / statistics.median(figures[size, queue]["ns"])) for size in sizes])
        for queue in dict.fromkeys(name for _, name in figures)])
    part.finish(runs)


main()
