"""Records made durable, with so many publishers that each wait for theirs before the next. The floor is bare `pwrite` of
all waiting records at once, and `fdatasync`, into a zero-written file; the journal runs on its io_uring and its epoll
engine, from `journal_append()` to `on_durable()`. All take turns, 20 groups each, on the disk of the temporary folder.
"""
import json
import statistics
import subprocess
import sys

from measure import BUILD, scratch_folder
from results import Part, ratio_text, ratios_of, spread_of

FLOOR = "pwrite+fdatasync"
NAMES = {FLOOR: "pwrite + fdatasync (floor)", "uring": "journal, io_uring", "epoll": "journal, epoll"}


def run(folder, groups, recovered_mb):
    done = subprocess.run([BUILD / "bench/micro/journal/journal_bench", folder, str(groups), str(recovered_mb)], text=True,
                          capture_output=True)
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    return [json.loads(line) for line in done.stdout.splitlines()]


def task_name(size, publishers):
    unit = f"{size >> 20} MB" if size >= 1 << 20 else f"{size >> 10} KB"
    return f"{publishers} × {unit}"


def tell_case(part, task, runs, floors):
    ratios = ratios_of(runs, floors)
    cpu, bare = (statistics.median(each["cpu_us"] for each in side) for side in (runs, floors))
    part.target(f"journal, io_uring, {task}, records/s of the floor", 0.9, ratios,
                f"{cpu:.1f} µs of CPU a record, and the bare calls' {bare:.1f}: the copy into the frame, its checksum, the "
                "way through the ring of the kernel; the disk's own spread is larger")
    if task in ("8 × 1 KB", "1 × 64 KB"):
        part.headline(f"journal, durable records a second, {task}",
                      f"{statistics.median(each['rate'] for each in runs):,.0f}",
                      f"pwrite + fdatasync {statistics.median(each['rate'] for each in floors):,.0f}", ratios)


def tell(part, figures, recovery):
    lines = []
    for (size, publishers, way), runs in figures.items():
        floors = figures[size, publishers, FLOOR]
        lines.append([task_name(size, publishers), NAMES[way],
                      *(f"{statistics.median(each[key] for each in runs):,.{digits}f}"
                        for key, digits in (("rate", 0), ("p50_us", 1), ("p99_us", 1), ("cpu_us", 1))),
                      spread_of(runs, "rate"), ratio_text(ratios_of(runs, floors)),
                      ratio_text(ratios_of(runs, floors, "p50_us"))])
        if way == "uring" and (size == 1024 or publishers == 1 and size > 1024):
            tell_case(part, task_name(size, publishers), runs, floors)
    part.table("Durable records", ["publishers × bytes", "", "records/s", "p50 µs", "p99 µs", "CPU µs each",
               "spread of records/s", "rate of the floor", "p50 of the floor"], lines,
               "".join(f"A journal of {each['megabytes']:,} MB is open again after {each['seconds']:.2f} s."
                       for each in recovery))
    part.lines("Durable records of 1 KB a second", "publishers", "records/s", [
        (NAMES[way], [(count, statistics.median(each["rate"] for each in figures[1024, count, way]))
                      for count in (1, 8, 64)]) for way in NAMES if (1024, 1, way) in figures])


def main():
    part = Part("journal", "Journal", __doc__)
    figures, recovery, direct = {}, [], {}
    with scratch_folder() as folder:
        for number in part.rounds():
            for each in run(folder, part.pick(300, 20), part.pick(1024, 64) if number == 1 else 0):
                if "rate" in each:
                    figures.setdefault((each["bytes"], each["publishers"], each["way"]), []).append(each)
                elif "seconds" in each:
                    recovery.append(each)
                else:
                    direct[each["way"]] = each["direct"]
    tell(part, figures, recovery)
    part.finish({f"{size} {publishers} {way}": runs for (size, publishers, way), runs in figures.items()},
                "O_DIRECT was " + ", ".join(f"{'granted' if had else 'refused'} to {way}"
                                            for way, had in direct.items()) + ".")


main()
