"""Manual pages and shell completions are made from what the binary says, and say all of it."""

import os
import re
import shutil
import subprocess

import pytest

from penstock import binary, run, source_dir


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    subprocess.run([os.path.join(source_dir(), "deploy", "pages", "make.sh"), binary(), str(folder), bench()],
                   check=True)
    return folder


def bench():
    """The load generator, which is built beside the binary."""
    return os.path.join(os.path.dirname(binary()), "..", "bench", "generator", "penstock-bench")


def commands():
    return re.findall(r"(?m)^  ([a-z][a-z-]*)  ", run("--help")[1])


def keys():
    return re.findall(r"(?m)^#(\w+) = ", run("reference")[1])


def flags():
    """Of the keys that may be one; a secret may not."""
    return {"--" + key.replace("_", "-") for key in keys()} - {"--auth-key"}


def test_the_manual_page_of_the_command_names_all_of_them(pages):
    text = (pages / "penstock.1").read_text()
    assert len(commands()) >= 9
    for command in commands():
        assert f".B {command}\n" in text
    assert "Where clients connect" not in text, "the settings are the other page's"
    assert text.rstrip().endswith(".BR penstock.conf (5)")


def test_the_manual_page_of_the_file_has_every_key(pages):
    text = (pages / "penstock.conf.5").read_text()
    assert [key for key in keys() if f".TP\n.B {key}\n" not in text] == []
    assert len(keys()) > 30


def test_the_manual_page_of_the_load_generator_has_every_flag(pages):
    text = (pages / "penstock-bench.1").read_text()
    said = subprocess.run([bench(), "--help"], capture_output=True, text=True, check=True).stdout
    flags = re.findall(r"(?m)^  (--[a-z-]+)", said)
    assert len(flags) > 15
    assert [flag for flag in flags if "\n  " + flag.replace("-", "\\-") not in text] == []


@pytest.mark.skipif(not shutil.which("man") or not shutil.which("groff"), reason="man is not installed")
@pytest.mark.parametrize("page", ["penstock.1", "penstock-bench.1", "penstock.conf.5"])
def test_man_shows_the_pages_without_a_warning(pages, page):
    done = subprocess.run(["man", "--warnings=w", "-l", str(pages / page)], capture_output=True, text=True,
                          env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MAN_KEEP_STDERR": "1"})
    assert done.returncode == 0 and done.stderr == ""
    assert "Penstock" in done.stdout


def complete(pages, *words):
    """What bash offers for these words, the last of which is being typed."""
    script = ('. "$1"; shift; COMP_WORDS=(penstock "$@"); COMP_CWORD=$#; _penstock; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, "bash", str(pages / "penstock.bash"), *words],
                          check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_bash_offers_commands_actions_flags_and_words(pages):
    assert complete(pages, "") == set(commands())
    assert complete(pages, "se") == {"serve", "send"}
    assert complete(pages, "dead-letter", "") >= {"list", "show", "retry", "drop", "--help"}
    assert complete(pages, "serve", "--lan") == {"--lanes", "--lane-memory-bytes"}
    assert complete(pages, "serve", "--loop", "") == {"auto", "uring", "epoll"}
    assert complete(pages, "serve", "--loop", "=") == {"auto", "uring", "epoll"}
    assert complete(pages, "serve", "--loop", "=", "u") == {"uring"}
    assert complete(pages, "serve", "--conf") == {"--config"}
    assert complete(pages, "send", "events.nd") == set()  # bash itself then offers files
    serve = complete(pages, "serve", "--")
    assert flags() <= serve


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_takes_its_completion(pages):
    """It parses, and offers what bash does: compadd and _describe are replaced by ours."""
    subprocess.run(["zsh", "-n", str(pages / "_penstock")], check=True)
    script = ('compadd() { shift $(( ${@[(i)--]} <= $# ? ${@[(i)--]} : 0 )); print -l -- $@ }; '
              '_describe() { print -l -- ${${(P)2}%%:*} }; _files() { }; '
              'words=(penstock "$@"); CURRENT=${#words}; f() { . "$PAGE" }; f')
    def offered(*words):
        done = subprocess.run(["zsh", "-f", "-c", script, "zsh", *words], check=True,
                              capture_output=True, text=True,
                              env={**os.environ, "PAGE": str(pages / "_penstock")})
        return set(done.stdout.split())
    assert offered("") == set(commands())
    assert offered("serve", "--loop", "") == {"auto", "uring", "epoll"}
    assert offered("dead-letter", "") >= {"list", "show", "retry", "drop"}
    assert flags() <= offered("serve", "--")


def test_installing_under_a_prefix_leaves_the_rest_of_the_system_alone(tmp_path):
    """Everything lies under the prefix, the unit names the binary there, and nothing is put into /etc."""
    build = os.path.join(source_dir(), "build", "release")
    subprocess.run(["cmake", "--install", build, "--prefix", str(tmp_path)], check=True,
                   capture_output=True, env={**os.environ, "DESTDIR": ""})
    assert sorted(os.listdir(tmp_path)) == ["bin", "lib", "share"]
    unit = (tmp_path / "lib/systemd/system/penstock.service").read_text()
    assert f"ExecStart={tmp_path}/bin/penstock serve" in unit
    done = subprocess.run([tmp_path / "bin/penstock", "version"], capture_output=True, text=True)
    assert done.stdout == run("version")[1]
    done = subprocess.run([tmp_path / "bin/penstock-bench", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("penstock-bench ")
    for page in ("man/man1/penstock.1", "man/man1/penstock-bench.1", "man/man5/penstock.conf.5", "doc/penstock/copyright",
                 "penstock/js/penstock.js", "doc/penstock/examples/examples.sql",
                 "bash-completion/completions/penstock", "zsh/vendor-completions/_penstock"):
        assert (tmp_path / "share" / page).stat().st_size > 0
