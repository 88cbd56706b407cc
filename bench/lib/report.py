"""The report: bench/results/report.md and its plots, from whatever results there are.

    python3 bench/lib/report.py [--quick]

Each part tells when it was measured and on which commit, since a part can be measured again alone.
"""
import json
import os
import statistics
import sys

import plot
import results

ORDER = ["generator", "ring", "encode", "journal", "ingest", "latency", "fanout", "connections",
         "outbox", "log", "peers", "reads", "grow", "floor"]
BUSY = 0.8  # of one processor: a generator that takes more might be what is measured


def read_parts(folder):
    found = {}
    for path in folder.glob("*.json"):
        record = json.loads(path.read_text())
        if record.get("format") == results.FORMAT:
            found[record["part"]] = record
    return [found[name] for name in ORDER if name in found]


def value_text(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


# ---- what it comes to ------------------------------------------------------------------------------

def headline_table(parts, names=None):
    """All of them, or those that README.md shows."""
    lines = [[each["name"], each["ours"], each["beside"], results.ratio_text(each["ratios"]),
              str(len(each["ratios"])), f"`bench/run.sh {part['part']}`"]
             for part in parts for each in part["headlines"] if names is None or each["name"] in names]
    return results.table_text(["", "Penstock", "floor or peer", "ratio (spread)", "rounds", "measured by"],
                              lines) if lines else ""


def is_met(target):
    if target["at_least"]:
        return target["reached"] >= target["wanted"]
    return target["reached"] <= target["wanted"]


def reached_text(target):
    text = value_text(target["reached"])
    return text if target["count"] == 1 else \
        f"{text} ({value_text(target['least'])}-{value_text(target['most'])})"


def target_line(part, target):
    met = is_met(target)
    return [target["name"], ("≥ " if target["at_least"] else "≤ ") + value_text(target["wanted"]),
            reached_text(target), "yes" if met else "**no**", "" if met else target["rest"],
            f"`bench/run.sh {part['part']}`"]


def target_lines(parts):
    lines = [target_line(part, target) for part in parts for target in part["targets"]]
    if not lines:
        return []
    head = ["what", "target", "reached (spread)", "", "what holds the rest back", "measured by"]
    return ["## Targets", "", f"{sum(line[3] == 'yes' for line in lines)} of {len(lines)} are reached.", "",
            results.table_text(head, lines), ""]


# ---- is it the generator that is measured? ----------------------------------------------------------

def busiest(part):
    """Of the part's variants the one whose generator was the busiest, and the median over all of them."""
    shares = [each["share"] for each in part["generators"]]
    worst = max(part["generators"], key=lambda each: each["share"])
    mark = " **(it may be what is measured)**" if worst["share"] > BUSY else ""
    return [part["title"], f"{statistics.median(shares):.0%}", f"{worst['share']:.0%}{mark}", worst["name"]]


def generator_lines(parts):
    lines = [busiest(part) for part in parts if part["generators"]]
    if not lines:
        return []
    return ["## Was it the generator that was measured?", "",
            "A generator is one thread. What it takes of one processor is counted in each run by getrusage(2), and stands "
            f"here; one that was the bottleneck would take all of it, and one above {BUSY:.0%} is marked. That of ingest "
            "and peers makes its frames before the clock starts, and the part \"The load generator\" below drives with it "
            "a server that does nothing, which shows how far above their rates it reaches. Those of latency and fan-out "
            "are other programs, which make their messages as they go: of them only the share is known. All share the "
            "machine's processors with what they measure, floors and peers alike.", "",
            results.table_text(["part", "of a processor, middle variant", "busiest variant", "which"], lines), ""]


# ---- the parts --------------------------------------------------------------------------------------

def draw_plots(part, folder):
    lines = []
    for number, each in enumerate(part["plots"], 1):
        name = f"{part['part']}-{number}.svg"
        (folder / name).write_text(plot.draw(each))
        lines += [f"![{each['title']}]({name})", ""]
    return lines


def part_lines(part, folder, machine):
    lines = [f"## {part['title']}", "",
             f"`bench/run.sh {part['part']}`, {part['date'][:16].replace('T', ' ')}, commit "
             f"{part['commit']}, {part['rounds']} rounds in {part['seconds']:.0f} s."]
    if part["machine"] != machine:
        lines += ["", f"Another machine than above: {part['machine']}."]
    lines += ["", part["about"], ""] + ([part["note"], ""] if part["note"] else [])
    for table in part["tables"]:
        lines += [f"**{table['title']}**", "", results.table_text(table["head"], table["lines"]), ""]
        lines += [table["note"], ""] if table["note"] else []
    return lines + draw_plots(part, folder)


def head_lines(newest):
    lines = ["# What was measured", "",
             "Made by `bench/run.sh`; do not edit. Every figure stands beside a floor or a peer of the same "
             "run, measured in turns with it; medians, and in brackets or in the column \"spread\" the "
             "least and the most of the rounds.", "", f"Machine: {newest['machine']}."]
    lines += [f"PostgreSQL: {newest['postgres']}."] if newest["postgres"] else []
    if newest["quick"]:
        lines += ["", "**A `--quick` run: it shows that everything works, and no figure to rely on.**"]
    return lines


def write_report(folder, failures):
    """`failures`: name and reason of parts that could not be measured this time."""
    parts = read_parts(folder)
    if not parts:
        return None
    newest = max(parts, key=lambda part: part["date"])
    lines = head_lines(newest)
    for name, reason in failures:
        lines += ["", f"**{name} failed in the last run: {reason}**"]
    table = headline_table(parts)
    lines += ["", *(["## In short", "", table, ""] if table else []), *target_lines(parts),
              *generator_lines(parts)]
    for part in parts:
        lines += part_lines(part, folder, newest["machine"])
    path = folder / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n")
    return path


if __name__ == "__main__":
    made = write_report(results.results_folder("--quick" in sys.argv[1:]), [])
    print(os.path.relpath(made) if made else "there are no results yet")
