#!/usr/bin/env python3
"""keep.py NAME FOLDER...: what libFuzzer found in these folders becomes part of a fuzzer's corpus.

Of the corpus and the folders NAME_fuzz (of the build in build/fuzz) leaves a small set that reaches
every line and branch that all of them reach; it is written to corpus/NAME.txt, an input a line, as
driver.c reads it. Longer inputs are cut: what only they reach is seldom worth their size.

An input below a comment has a reason of its own, such as a bug that it found: both stay.
"""
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build/fuzz/tests/fuzz"
INPUT_BYTES_MAX = 400
ESCAPES = {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


def line_of(data):
    text = "".join(ESCAPES.get(b) or (chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}") for b in data)
    return "\\x23" + text[1:] if text.startswith("#") else text


def pinned_lines(corpus):
    """The comments, and the inputs below them."""
    lines, is_pinned = [], False
    for line in corpus.read_text("ascii").splitlines() if corpus.exists() else []:
        if line.startswith("#") or is_pinned:
            lines.append(line)
        is_pinned = line.startswith("#")
    return lines


def merge(name, corpus, folders, work):
    kept, merged = work / "kept", work / "merged"
    kept.mkdir()
    merged.mkdir()
    if corpus.exists():
        subprocess.run([BUILD / f"{name}_fuzz_smoke", "--unpack", corpus, kept], check=True)
    subprocess.run([BUILD / f"{name}_fuzz", "-set_cover_merge=1", "-use_counters=0", f"-max_len={INPUT_BYTES_MAX}",
                    "-verbosity=0", merged, kept, *folders], check=True)
    return sorted({path.read_bytes() for path in merged.iterdir()} - {b""}, key=lambda b: (len(b), b))


def main():
    name, folders = sys.argv[1], sys.argv[2:]
    corpus = HERE / "corpus" / f"{name}.txt"
    pinned = pinned_lines(corpus)
    with tempfile.TemporaryDirectory() as work:
        inputs = [line_of(data) for data in merge(name, corpus, folders, pathlib.Path(work))]
    lines = pinned + [line for line in inputs if line not in pinned]
    corpus.write_text("\n".join(lines) + "\n", "ascii")
    print(f"{name}: {len(inputs)} inputs, {corpus.stat().st_size} bytes")


if __name__ == "__main__":
    main()
