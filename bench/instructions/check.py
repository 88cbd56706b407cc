#!/usr/bin/python3 -B
"""Instructions an event, counted by callgrind: what a noisy machine cannot hide.

    bench/instructions/check.py BUILD            compares with baseline.json
    bench/instructions/check.py BUILD --record   writes what it counts there

BUILD is a release build. The events are made here, so that every checkout counts the same. A count
depends on the compiler and the processor's kind: baseline.json has a row for each pair, and where it
has none, nothing is compared. More than TOLERANCE above the row is a failure; as much below asks for
a new row, so that what was gained is kept.
"""
import argparse
import json
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

BASELINE = pathlib.Path(__file__).with_name("baseline.json")
TOLERANCE = 0.05
EVENTS = 500
SKIPPED = 77  # ctest's SKIP_RETURN_CODE

# name, program below BUILD, arguments behind the events' file (None: no file), measured function
COUNTED = [
    ("decode, validate, encode JSON", "bench/micro/encode/encode_bench", ["--json"], "run_message"),
    ("decode, validate, encode MessagePack", "bench/micro/encode/encode_bench", ["--msgpack"],
     "run_message"),
    ("ring, a record of 64 bytes", "bench/instructions/ring_instructions", None, "measured"),
]


def make_events(folder):
    """Behaviour events of the kinds that matter: nested metadata, escapes, text beyond ASCII, numbers."""
    path = folder / "behavior.ndjson"
    with path.open("w", encoding="utf-8") as out:
        for i in range(EVENTS):
            event = {
                "userId": f"00000000-0000-4000-8000-{i % 50:012d}",
                "eventType": f"page_{i % 40}",
                "metadata": {
                    "path": f"/course/{i}", "title": "Bài học số " + str(i), "n": i, "ratio": i / 7,
                    "open": i % 2 == 0, "tags": ["a", "b\n", "\"c\""], "agent": "Mozilla/5.0 " + "x" * 300,
                    "detail": json.dumps({"query": {"page": i, "text": "y" * 200}})},
                "timestamp": f"2026-01-01T00:{i // 60 % 60:02d}:{i % 60:02d}.000Z",
            }
            out.write(json.dumps(event, ensure_ascii=False) + "\n")
    return path


def compiler_of(build):
    """As "gcc 12 x86_64"."""
    cache = (build / "CMakeCache.txt").read_text(encoding="utf-8")
    if "CMAKE_BUILD_TYPE:STRING=Release" not in cache:
        sys.exit(f"check.py: {build} is no release build")
    path = next(line.split("=", 1)[1] for line in cache.splitlines()
                if line.startswith("CMAKE_C_COMPILER:"))
    version = subprocess.run([path, "-dumpversion"], text=True, capture_output=True, check=True)
    banner = subprocess.run([path, "--version"], text=True, capture_output=True, check=True).stdout
    name = "clang" if "clang" in banner else "gcc"
    return f"{name} {version.stdout.split('.')[0].strip()} {platform.machine()}"


def count(build, folder, program, arguments, function):
    """Instructions in `function` and what it calls, a piece of what the program says it worked on."""
    out = folder / "callgrind.out"
    command = ["valgrind", "--tool=callgrind", f"--toggle-collect={function}*",
               f"--callgrind-out-file={out}", str(build / program)]
    if arguments is not None:
        command += [str(folder / "behavior.ndjson"), *arguments]
    done = subprocess.run(command, text=True, capture_output=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"check.py: {' '.join(command)}\n{done.stdout}{done.stderr}")
    totals = [line for line in out.read_text().splitlines() if line.startswith(("totals:", "summary:"))]
    instructions = int(totals[-1].split()[1])
    if instructions == 0:
        sys.exit(f"check.py: {program} has no function {function}; was it inlined?")
    return instructions / int(done.stdout)


def judge(name, counted, before):
    """A line for people; and is it as it should be?"""
    if before is None:
        return f"{name}: {counted:.1f} instructions (no baseline)", True
    ratio = counted / before
    verdict = "" if abs(ratio - 1) <= TOLERANCE else (
        "; too many: mend it, or record it with the reason in the commit" if ratio > 1 else
        "; fewer than the baseline: record them, so that they stay so few")
    return f"{name}: {counted:.1f} instructions, {ratio:.3f} of the baseline{verdict}", not verdict


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("build", type=pathlib.Path)
    arguments.add_argument("--record", action="store_true")
    options = arguments.parse_args()
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed")
        sys.exit(SKIPPED)
    compiler = compiler_of(options.build)
    baseline = json.loads(BASELINE.read_text())
    counts = {}
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(made)
        make_events(folder)
        for name, program, more, function in COUNTED:
            counts[name] = round(count(options.build, folder, program, more, function), 1)
    if options.record:
        baseline[compiler] = counts
        BASELINE.write_text(json.dumps(baseline, indent=4, sort_keys=True) + "\n")
    verdicts = [judge(name, counted, baseline.get(compiler, {}).get(name))
                for name, counted in counts.items()]
    print(f"{compiler}:", *(line for line, _ in verdicts), sep="\n  ")
    if compiler not in baseline:
        print(f"skipped: baseline.json has no row \"{compiler}\"; --record makes one")
        sys.exit(SKIPPED)
    sys.exit(not all(fine for _, fine in verdicts))


main()
