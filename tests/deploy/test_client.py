"""The browser client, as a package installs it: every file that it imports is there."""

import json
import os
import re
import shutil
import subprocess

import pytest

from penstock import source_dir

IMPORT = re.compile(r'(?m)\b(?:from|import)\s*\(?\s*"\./([^"]+)"')


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The folder with its files under the prefix of `cmake --install`."""
    prefix = tmp_path_factory.mktemp("prefix")
    build = os.path.join(source_dir(), "build", "release")
    subprocess.run(["cmake", "--install", build, "--prefix", str(prefix)], check=True,
                   capture_output=True, env={**os.environ, "DESTDIR": ""})
    return prefix / "share/penstock/js"


def test_every_file_that_is_imported_is_installed_and_no_other(client):
    """Followed from what package.json offers, through modules and type declarations."""
    offered = json.loads((client / "package.json").read_text())["exports"].values()
    to_read = [file.removeprefix("./") for entry in offered for file in entry.values()]
    seen = set()
    while to_read:
        name = to_read.pop()
        if name not in seen:
            seen.add(name)
            to_read += IMPORT.findall((client / name).read_text())
    assert len(seen) > 10
    assert seen | {"package.json"} == set(os.listdir(client))


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_what_is_installed_can_be_imported(client):
    script = "const { connect, uuidv7 } = await import(process.argv[1]); console.log(typeof connect, uuidv7().length)"
    done = subprocess.run(["node", "--input-type=module", "-e", script, str(client / "penstock.js")],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "function 36\n"), done.stderr
