"""The release binary is hardened; and the check that says so can tell one that is not."""

import platform
import re
import subprocess

import pytest

from penstock import binary

FORTIFIED_LEAST = 8  # calls of different *_chk functions; a build without FORTIFY has none


def read(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def weaknesses(path):
    """What an operator would be told by hardening-check or checksec; [] when there is nothing."""
    header, dynamic = read("readelf", "-hW", path), read("readelf", "-dW", path)
    segments, symbols = read("readelf", "-lW", path), read("readelf", "--dyn-syms", "-W", path)
    stack = re.search(r"GNU_STACK\s.*", segments)
    found = {
        "not position independent": "DYN (" in header and re.search(r"FLAGS_1.*\bPIE\b", dynamic),
        "no RELRO": "GNU_RELRO" in segments,
        "bound lazily": re.search(r"FLAGS_1.*\bNOW\b", dynamic),
        "executable stack": stack and "RWE" not in stack[0],
        "text relocations": "TEXTREL" not in dynamic,
        "a run path": not re.search(r"\((RPATH|RUNPATH)\)", dynamic),
        "no stack protector": "__stack_chk_fail" in symbols,
        "not fortified": len(set(re.findall(r"\b__(\w+)_chk@", symbols))) >= FORTIFIED_LEAST,
    }
    if platform.machine() == "x86_64":
        # The mark of the whole binary (IBT) needs a C runtime built with it, which Debian 12 has
        # not; that our functions begin with a landing pad is up to our flags alone.
        main = read("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", path)
        found["no branch protection"] = re.search(r"<main>:\n\s+\w+:\s+endbr64", main)
    return [weakness for weakness, is_sound in found.items() if not is_sound]


def test_the_release_binary_is_hardened():
    assert weaknesses(binary()) == []


@pytest.mark.parametrize("flag,weakness", [
    ("-no-pie", "not position independent"),
    ("-Wl,-z,norelro", "no RELRO"),
    ("-Wl,-z,lazy", "bound lazily"),
    ("-Wl,-z,execstack", "executable stack"),
    ("-Wl,-rpath,/tmp", "a run path"),
])
def test_the_check_tells_what_is_missing(tmp_path, flag, weakness):
    source = tmp_path / "weak.c"
    source.write_text("int main(void) { return 0; }\n")
    path = str(tmp_path / "weak")
    subprocess.run(["gcc", "-o", path, str(source), "-fno-stack-protector", "-fcf-protection=none"
                    if platform.machine() == "x86_64" else "-O1", flag], check=True)
    found = weaknesses(path)
    assert weakness in found and {"no stack protector", "not fortified"} < set(found)
