"""What a part of the benchmarks says: tables, plots and targets, shown at once and kept as JSON.

A part is a program of bench/parts. It makes one Part, measures in rounds() until its time is used up,
adds tables, plots and targets, and calls finish(), which writes bench/results/NAME.json (of a --quick
run: bench/results/quick/NAME.json). lib/report.py makes the report from these files alone.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUNDS_MAX = 9
FORMAT = 2  # of a result file; the report leaves out older ones


def results_folder(quick):
    folder = ROOT / "bench" / "results"
    return folder / "quick" if quick else folder


# ---- figures -------------------------------------------------------------------------------------

def median_of(runs, key):
    return statistics.median(run[key] for run in runs if key in run)


def spread_of(runs, key, form="{:,.0f}"):
    values = [run[key] for run in runs if key in run]
    return f"{form.format(min(values))}-{form.format(max(values))}"


def range_of(runs, key):
    """Median, least and most, as a bar of a plot wants them."""
    values = [run[key] for run in runs if key in run]
    return [statistics.median(values), min(values), max(values)]


def ratios_of(runs, floors, key="rate"):
    """Of each round to the floor of the same round: what a drifting machine harms least."""
    return [run[key] / floor[key] for run, floor in zip(runs, floors)]


def ratio_text(ratios):
    """The median, and where the rounds lay."""
    if len(ratios) == 1:
        return f"{ratios[0]:.2f}"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


# ---- this machine --------------------------------------------------------------------------------

def machine_line():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), platform.machine())
    memory = int(open("/proc/meminfo").readline().split()[1]) / (1 << 20)
    return (f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, Linux {platform.release()}; "
            "generator, server and PostgreSQL share it")


def commit_name():
    """The commit, with a + when the tree differs from it."""
    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=ROOT, text=True, capture_output=True)
        return done.stdout.strip() if done.returncode == 0 else ""
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")
    return (git("rev-parse", "--short=10", "HEAD") or "unknown") + ("+" if changed else "")


# ---- telling ---------------------------------------------------------------------------------------

def progress(text):
    """One line that is rewritten on a terminal; elsewhere a line each."""
    prefix = os.environ.get("BENCH_PREFIX", "")
    if os.environ.get("BENCH_TERMINAL") or sys.stderr.isatty():
        width = int(os.environ.get("COLUMNS", 0)) or 100
        sys.stderr.write(f"\r\033[K{prefix}{text}"[:width + 4])
    else:
        sys.stderr.write(f"{prefix}{text}\n")
    sys.stderr.flush()


def progress_end():
    if os.environ.get("BENCH_TERMINAL") or sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()


def table_text(head, lines):
    rows = [head, *lines]
    return "\n".join(["| " + " | ".join(rows[0]) + " |", "|---" * len(head) + "|",
                      *("| " + " | ".join(row) + " |" for row in rows[1:])])


def tell_exception(kind, error, trace):
    """Ctrl-C needs no explanation; run.py has one line for it."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


class Part:
    """Its rounds take as long as --seconds says (run.py has the table)."""

    def __init__(self, name, title, about):
        parser = argparse.ArgumentParser(prog=name, description=about)
        parser.add_argument("--quick", action="store_true", help="less and shorter")
        parser.add_argument("--seconds", type=float, default=60, help="for its rounds; at least one is run")
        self.name, self.title, self.about = name, title, about
        options = parser.parse_args()
        self.quick, self.seconds = options.quick, options.seconds
        sys.excepthook = tell_exception
        self.start = time.monotonic()
        self.round_count = 0
        self.tables, self.plots, self.targets, self.headlines = [], [], [], []
        self.generators = []

    def pick(self, full, quick):
        return quick if self.quick else full

    def rounds(self, most=ROUNDS_MAX):
        """Round numbers from 1, until another one might not fit into the time; at least one."""
        longest = 0
        while self.round_count < most:
            begun = time.monotonic()
            self.round_count += 1
            self.say("")
            yield self.round_count
            longest = max(longest, time.monotonic() - begun)
            if time.monotonic() - self.start + longest > self.seconds:
                break

    def say(self, text):
        progress(f"{self.name}, round {self.round_count}{': ' if text else ''}{text}")

    def table(self, title, head, lines, note=""):
        self.tables.append({"title": title, "head": head, "lines": lines, "note": note})

    def bars(self, title, unit, bars, mark=None):
        """`bars`: (name, [median, least, most]) each; `mark`: a line at this value (the floor)."""
        self.plots.append({"kind": "bars", "title": title, "unit": unit, "bars": bars, "mark": mark})

    def lines(self, title, x, y, series, logarithmic="xy"):
        """`series`: (name, [(x, y) …]) each."""
        self.plots.append({"kind": "lines", "title": title, "x": x, "y": y, "series": series,
                           "logarithmic": logarithmic})

    def target(self, name, wanted, reached, rest, at_least=True):
        """A promise of the design: the median of `reached` should be at least (or at most) `wanted`.
        `rest` is a sentence: what holds the rest back, for when it is not."""
        reached = reached if isinstance(reached, list) else [reached]
        self.targets.append({"name": name, "wanted": wanted, "reached": statistics.median(reached),
                             "least": min(reached), "most": max(reached), "count": len(reached),
                             "rest": rest, "at_least": at_least})

    def headline(self, name, ours, beside, ratios):
        """A line of README's table: what, ours and the floor's or peer's figure as text, their ratios."""
        self.headlines.append({"name": name, "ours": ours, "beside": beside, "ratios": ratios})

    def generator(self, name, runs):
        """How busy the load generator was, of one processor, in the runs of a variant."""
        shares = [run["generator_us"] * run["rate"] / 1e6 for run in runs]
        self.generators.append({"name": name, "share": statistics.median(shares), "most": max(shares)})

    def finish(self, raw, note=""):
        progress_end()
        record = {
            "format": FORMAT, "part": self.name, "title": self.title, "about": self.about.strip(), "note": note,
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "commit": os.environ.get("BENCH_COMMIT") or commit_name(), "machine": machine_line(),
            "postgres": os.environ.get("BENCH_POSTGRES", ""), "quick": self.quick,
            "rounds": self.round_count, "seconds": round(time.monotonic() - self.start, 1),
            "tables": self.tables, "plots": self.plots, "targets": self.targets,
            "headlines": self.headlines, "generators": self.generators, "raw": raw,
        }
        folder = results_folder(self.quick)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.with_suffix(".tmp").write_text(json.dumps(record, indent=1) + "\n")
        path.with_suffix(".tmp").rename(path)
        self.show(note)

    def show(self, note):
        print(f"\n## {self.title}\n\n{self.round_count} rounds, {machine_line()}. {note}".rstrip())
        for table in self.tables:
            print(f"\n{table['title']}\n\n{table_text(table['head'], table['lines'])}")
            if table["note"]:
                print(f"\n{table['note']}")
        sys.stdout.flush()
