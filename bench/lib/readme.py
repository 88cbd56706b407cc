"""Writes the numbers of bench/results into README.md, between the two marks that stand there.

    bench/run.sh && bench/run.sh --readme

With results of a --quick run only, or with none, it says so and changes nothing.
"""
import pathlib
import re
import sys

import report
import results

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
# Of the headlines of the report, what README has room for: good and bad, one a question.
SHOWN = [
    "ingest, 100 a message, JSON", "ingest, 100 a message, JSON, two channels each", "ingest, 1 a message, JSON",
    "durable ack, p50 at 100 events/s", "committed ack, p50 at 100 events/s", "pushed to a subscriber, p50 at 100 events/s",
    "deliveries a second, 1 channel × 1,000 subscribers, stored",
    "deliveries a second, 1 channel × 1,000 subscribers, broadcast",
    "deliveries a second, 100,000 channels × 1 subscriber, stored", "server memory of an idle connection, of 10,000",
    "rows a second behind a socket, beside Node with pg-copy-streams", "rows a second behind a socket, beside Node with Drizzle",
    "the last 1,000 rows of a user, subscribe with `last`, from memory, in Node",
    "the last 10,000 rows of a user, HTTP history, just started, from the log, in Node"]
BEGIN, END = "<!-- numbers: written by bench/run.sh --readme -->", "<!-- /numbers -->"


def target_sentence(parts):
    targets = [target for part in parts for target in part["targets"]]
    met = sum(report.is_met(target) for target in targets)
    return (f"{met} of {len(targets)} targets are reached; [the report](bench/results/report.md) has all "
            "figures, plots, and what holds the rest back.")


def section(parts):
    newest = max(parts, key=lambda part: part["date"])
    shown = [part for part in parts if any(each["name"] in SHOWN for each in part["headlines"])]
    commits = sorted({part["commit"] for part in shown})
    return "\n".join([
        BEGIN, f"{newest['machine']}; PostgreSQL {newest['postgres']}; commit {', '.join(commits)}, "
        f"{newest['date'][:10]}. Ingest, peers and reads: recorded behaviour events of 1.2 KB, and \"BehaviorLog\" with its "
        "primary key, two indexes and foreign key; acks, pushes and deliveries: small events, and a table with only a "
        "primary key. Two lanes. Medians of rounds in turns with the floor or peer of the same run; ratios "
        "are Penstock's figure to the other's, with the least and the most.", "",
        report.headline_table(parts, SHOWN), "", target_sentence(parts), END])


def main():
    parts = [part for part in report.read_parts(results.results_folder(False)) if not part["quick"]]
    if not parts:
        sys.exit("bench/results has no results yet: run bench/run.sh first (without --quick)")
    text = README.read_text()
    if BEGIN not in text or END not in text:
        sys.exit(f"README.md has no place for them: it needs the lines {BEGIN} and {END}")
    place = re.escape(BEGIN) + ".*?" + re.escape(END)
    README.write_text(re.sub(place, lambda _: section(parts), text, count=1, flags=re.S))
    print(f"README.md has numbers of {', '.join(part['part'] for part in parts)}")


main()
