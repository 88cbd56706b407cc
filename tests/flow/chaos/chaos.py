#!/usr/bin/python3 -B
"""Injects faults under load: nothing acknowledged may be lost, and nothing stored twice.

    tests/flow/chaos/chaos.py                          all of it in full, some ten minutes
    tests/flow/chaos/chaos.py --short                  what CI does, in a minute
    tests/flow/chaos/chaos.py --kind kill --rounds 50
    tests/flow/chaos/chaos.py --kind network,both --seconds 600 --seed 4711

The kinds, in full:

    kill        200 times kill -9 of the server at random moments
    postgres    60 s of PostgreSQL restarts: fast, immediate, kill -9 of the postmaster, terminated
                backends, SIGSTOP for up to 10 s
    network     60 s of a proxy between server and database that delays, stalls, resets,
                half-closes, trickles, and cuts the connection at one step of a commit
    both        60 s of these together with kill -9 and SIGTERM of the server
    fanout      120 s with 200 subscribers on two nodes: killed and stopped servers, PostgreSQL
                restarts, cut LISTEN connections
    disk        60 s of a journal on a filesystem of 64 MB that fills up (needs root, for mount)

It prints its seed, and replays from it: the same faults after the same pauses, the same events in
the same messages. PENSTOCK_BINARY names the server to test (else the newest under build/),
PENSTOCK_LOOP its loop engine (else each start draws one). Each kind ends with what checker.py
counted. After a violation, the load's log and the server's log and journal stay where it says, and
the exit code is 1.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))

import penstock  # noqa: E402
from disk import Unavailable  # noqa: E402
from faults import KINDS, run_kind  # noqa: E402
from world import create_postgres  # noqa: E402


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--kind", default=",".join(KINDS), metavar="KIND[,KIND…]")
    parser.add_argument("--short", action="store_true", help="as few rounds as in CI")
    parser.add_argument("--rounds", type=int, help="of each kind, instead of what is said above")
    parser.add_argument("--seconds", type=float, help="the same")
    options = parser.parse_args()
    options.kind = options.kind.split(",")
    unknown = [name for name in options.kind if name not in KINDS]
    if unknown:
        parser.error(f"no such kind: {', '.join(unknown)}")
    return options


def run(options, postgres, name, say):
    """One kind; False after a violation."""
    folder = tempfile.mkdtemp(prefix="penstock-chaos.", dir="/tmp")
    say(f"{name}: seed {options.seed}")
    try:
        rounds, figures = run_kind(postgres.start(), name, options.seed, folder, not options.short,
                                   options.rounds or options.seconds, say)
    except Unavailable as reason:
        say(f"{name}: skipped: {reason}")
    except Exception as trouble:
        say(f"{name}: {type(trouble).__name__}: {trouble}")
        say(f"{name}: seed {options.seed}; logs and journal are in {folder}")
        return False
    else:
        say(f"{name}: {rounds} rounds, no violation: {figures}")
    shutil.rmtree(folder)
    return True


def main():
    options = parse()
    began = time.monotonic()

    def say(sentence):
        print(f"{time.monotonic() - began:7.1f} s  {sentence}", flush=True)

    say(f"seed {options.seed}, {penstock.binary()}, loop {penstock.loop_engine()}")
    postgres = create_postgres()
    try:
        good = [run(options, postgres, name, say) for name in options.kind]
    finally:
        postgres.close()
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
