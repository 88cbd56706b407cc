"""The report: bench/results/report.md and its plots, from whatever results there are.

    python3 bench/lib/report.py [--quick]

Each part tells when it was measured and on which commit, since a part can be measured again alone.
"""
import json
import os
import sys

import plot
import results

ORDER = ["generator", "ring", "encode", "journal", "ingest", "latency", "fanout", "connections",
         "outbox", "log", "peers", "reads", "grow", "floor"]


def read_parts(folder):
    found = {}
    for path in folder.glob("*.json"):
        record = json.loads(path.read_text())
        found[record["part"]] = record
    return [found[name] for name in ORDER if name in found]


def value_text(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def is_met(target):
    if target["at_least"]:
        return target["reached"] >= target["wanted"]
    return target["reached"] <= target["wanted"]


def target_lines(parts):
    head = ["what", "wanted", "reached", "", "measured by"]
    lines = [[target["name"], ("≥ " if target["at_least"] else "≤ ") + value_text(target["wanted"]),
              value_text(target["reached"]), "yes" if is_met(target) else "**no**",
              f"`bench/run.sh {part['part']}`"] for part in parts for target in part["targets"]]
    return ["## Targets", "", results.table_text(head, lines), ""] if lines else []


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


def write_report(folder, failures):
    """`failures`: name and reason of parts that could not be measured this time."""
    parts = read_parts(folder)
    if not parts:
        return None
    newest = max(parts, key=lambda part: part["date"])
    lines = ["# What was measured", "",
             "Made by `bench/run.sh`; do not edit. Every figure stands beside a floor or a peer of the same "
             "run, measured in turns with it; medians, and in brackets or in the column \"spread\" the "
             "least and the most.", "", f"Machine: {newest['machine']}."]
    lines += [f"PostgreSQL: {newest['postgres']}."] if newest["postgres"] else []
    if newest["quick"]:
        lines += ["", "**A `--quick` run: it shows that everything works, and no figure to rely on.**"]
    for name, reason in failures:
        lines += ["", f"**{name} failed in the last run: {reason}**"]
    lines += ["", *target_lines(parts)]
    for part in parts:
        lines += part_lines(part, folder, newest["machine"])
    path = folder / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n")
    return path


if __name__ == "__main__":
    made = write_report(results.results_folder("--quick" in sys.argv[1:]), [])
    print(os.path.relpath(made) if made else "there are no results yet")
