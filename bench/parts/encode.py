"""An event's way from a message's bytes to its record, one core, without sockets, messages of 100 events; beside it
json-c and jansson, which only read the message into a tree. CPU nanoseconds. "floor" is the copy of the message that
each of ours begins with, "fields" decodes all fields as well, "row" also validates them and encodes the COPY row, "pushed"
also what subscribers of two channels will see. The programs take turns.
"""
import json
import pathlib
import statistics
import subprocess
import sys

from measure import BUILD, recorded_events, scratch_folder
from results import Part, ratio_text

PEERS = ["json_c", "jansson"]


def run(program, events, rounds):
    path = BUILD / f"bench/micro/encode/{program}_bench"
    if not path.exists():
        return []
    done = subprocess.run([path, events, str(rounds)], text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    return [json.loads(line) for line in done.stdout.splitlines()]


def tell(part, figures, source):
    peers = [key for key in figures if key[1] in ("json-c", "jansson")]
    quickest = min(peers, key=lambda key: statistics.median(each["ns"] for each in figures[key])) \
        if peers else None
    lines = []
    for (encoding, work), runs in figures.items():
        values = [each["ns"] for each in runs]
        ns = statistics.median(values)
        ratios = [theirs["ns"] / ours["ns"] for ours, theirs in zip(runs, figures[quickest])] \
            if quickest else []
        lines.append([encoding, work, f"{ns:,.0f} ({min(values):,.0f}-{max(values):,.0f})",
                      f"{1e6 / ns:,.0f}", f"{runs[0]['event_bytes'] * 1e3 / ns:,.0f}",
                      ratio_text(ratios) if ratios else ""])
        if ratios and work == "row":
            theirs = statistics.median(each["ns"] for each in figures[quickest])
            part.headline(f"decode, validate and encode an event, {encoding}, one core",
                          f"{1e6 / ns:,.0f} k events/s", f"{quickest[1]}, parse alone, {1e6 / theirs:,.0f} k", ratios)
    part.table(f"One core, {source}", ["", "", "ns/event (spread)", "thousand events/s", "MB/s",
               f"times as fast as {quickest[1] if quickest else 'a peer'}"], lines)
    part.bars("Nanoseconds an event on one core", "ns", [
        (f"{encoding}, {work}", [statistics.median(e["ns"] for e in runs), min(e["ns"] for e in runs),
                                 max(e["ns"] for e in runs)]) for (encoding, work), runs in figures.items()])


def main():
    part = Part("encode", "Decode, validate, encode", __doc__)
    figures = {}
    with scratch_folder() as name:
        events, source = recorded_events(pathlib.Path(name))
        for _ in part.rounds():
            for program in ("encode", *PEERS):
                for each in run(program, events, part.pick(10, 1)):
                    figures.setdefault((each["encoding"], each["work"]), []).append(each)
    tell(part, figures, source)
    part.finish({f"{encoding} {work}": runs for (encoding, work), runs in figures.items()})


main()
