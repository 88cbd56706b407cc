"""The systemd units: valid, strict, and server and audit do their work within them, as far as that can
be shown where systemd itself does not run: user, system calls and limits as the units say."""

import configparser
import ctypes
import datetime
import os
import re
import resource
import shutil
import subprocess

import pytest

from penstock import STREAMS, Server, binary, source_dir

UNITS = os.path.join(source_dir(), "deploy", "systemd")
UNIT = os.path.join(UNITS, "penstock.service")
AUDIT = os.path.join(UNITS, "penstock-audit.service")
EXPOSURE_MOST = 15  # of 100; systemd's word for up to 20 is "OK", for what users write usually 96

analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"),
                             reason="systemd-analyze is not installed (package systemd)")


def service(unit=UNIT, section="Service"):
    """A section of a unit: {key: [value …]}."""

    class Repeated(dict):
        def __setitem__(self, key, value):
            if key in self and isinstance(value, list):
                value = self[key] + value
            super().__setitem__(key, value)

    parser = configparser.RawConfigParser(dict_type=Repeated, strict=False)
    parser.optionxform = str
    parser.read(unit)
    return {key: value.split("\n") for key, value in parser[section].items()}


@analyze
@pytest.mark.parametrize("unit", [UNIT, AUDIT], ids=os.path.basename)
def test_the_sandbox_is_strict(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager",
                           f"--threshold={EXPOSURE_MOST}", unit], capture_output=True, text=True)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze has no --offline (needs 250)")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@analyze
def test_systemd_understands_the_units(tmp_path):
    """Verified with the built binary in the place of the installed one."""
    for name in os.listdir(UNITS):
        with open(os.path.join(UNITS, name), encoding="utf-8") as unit:
            text = unit.read().replace("/usr/bin/penstock", binary())
        (tmp_path / name).write_text(re.sub(r"(?m)^Documentation=.*\n", "", text))  # no pages here
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
                          capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "penstock" in line]
    assert len(list(tmp_path.iterdir())) >= 3
    assert done.returncode == 0 and ours == [], done.stderr


def allowed_calls(words):
    """The system calls that SystemCallFilter lines leave, with systemd's sets resolved."""
    def members(name):
        if not name.startswith("@"):
            return {name}
        listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", name],
                                check=True, capture_output=True, text=True).stdout
        names = [line.strip() for line in listed.splitlines()[1:]]
        return set().union(*(members(n) for n in names if n and not n.startswith("#")))

    # @default is always allowed (systemd.exec(5)); so is what runs the program.
    allowed = members("@default") | {"execve"}
    for line in words:
        taken_away = line.startswith("~")
        named = set().union(*(members(word) for word in line.lstrip("~").split()))
        allowed = allowed - named if taken_away else allowed | named
    return allowed


def forbid_other_calls(names):
    """A preexec_fn: a system call that is not among them kills the process. The unit answers EPERM
    instead, which a program may overlook."""
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    kill_process, allow = 0x80000000, 0x7FFF0000  # seccomp.h, SCMP_ACT_KILL_PROCESS and _ALLOW
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(kill_process)))
    for name in names:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # below: this processor has no such call
            seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(allow), number, 0, None)

    def prepare():
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        if seccomp.seccomp_load(context) != 0:
            raise OSError("the filter cannot be loaded")

    return prepare


class SandboxedServer(Server):
    """A server that may make these system calls only."""

    allowed = frozenset()

    def launch(self):
        made = subprocess.Popen

        def popen(*arguments, preexec_fn, **options):
            before, after = preexec_fn, forbid_other_calls(self.allowed)
            return made(*arguments, preexec_fn=lambda: (before(), after()), **options)

        subprocess.Popen = popen
        try:
            return super().launch()
        finally:
            subprocess.Popen = made


@analyze
@pytest.mark.parametrize("engine", ["uring", "epoll"])
def test_the_server_works_with_the_system_calls_of_the_unit(database, engine):
    """Start, commit, push and drain, with either engine; any other system call would be its death."""
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp2 is not installed")
    server = SandboxedServer(database, flags=[f"--loop={engine}"])
    server.allowed = allowed_calls(service()["SystemCallFilter"])
    try:
        server.start()
        if engine == "uring" and "loop=uring" not in server.log():
            pytest.skip("this machine refuses io_uring")
        client = server.connect()
        user = database.add_user()
        client.subscribe(f"user:{user}")
        ack = client.publish("behavior", [{"userId": user, "eventType": "sandboxed"}],
                             ack="committed")
        assert ack["op"] == "ack"
        assert client.events(1)[0]["data"]["eventType"] == "sandboxed"
        client.close()
        server.stop()
    finally:
        server.close()
    assert database.count("BehaviorLog", "\"eventType\" = 'sandboxed' AND \"userId\" = %s",
                          (user,)) == 1


@analyze
def test_the_filter_of_this_test_forbids():
    """It names io_uring, leaves out what a server never needs, and kills whoever uses another call."""
    calls = allowed_calls(service()["SystemCallFilter"])
    assert {"io_uring_setup", "io_uring_enter", "io_uring_register"} < calls
    assert not calls & {"mount", "ptrace", "bpf", "setuid", "reboot", "init_module"}
    done = subprocess.run([binary(), "version"], capture_output=True,
                          preexec_fn=forbid_other_calls(calls - {"write"}))
    assert done.returncode == -31  # SIGSYS, signal(7)


def test_the_unit_names_what_the_server_needs():
    unit = service()
    assert unit["Type"] == ["notify"] and unit["LimitCORE"] == ["1"]
    assert int(unit["LimitNOFILE"][0]) >= 65536 and "LimitMEMLOCK" in unit
    assert unit["User"] == ["penstock"] and unit["CapabilityBoundingSet"] == [""]


@analyze
def test_the_audit_works_with_the_system_calls_of_its_unit(database, tmp_path):
    """It finds and records; any other system call would be its death. The codes that are no failure
    of the unit are those that the command says of findings."""
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp2 is not installed")
    config = tmp_path / "penstock.conf"
    config.write_text(STREAMS)
    database.execute('DROP INDEX "SocialPost_userId_idx"')
    unit = service(AUDIT)
    command = unit["ExecStart"][0].replace("/usr/bin/penstock", binary())
    command = command.replace("/etc/penstock/penstock.conf", str(config)).split()
    done = subprocess.run(command, capture_output=True, text=True, cwd="/",
                          env={"DATABASE_URL": database.url, "PATH": os.environ["PATH"]},
                          preexec_fn=forbid_other_calls(allowed_calls(unit["SystemCallFilter"])))
    assert str(done.returncode) == unit["SuccessExitStatus"][0], done.stdout + done.stderr
    assert "1 new finding, 0 mended" in done.stdout
    assert database.count("OptimizationLog", "recommendation LIKE '%%SocialPost%%'") == 1


@analyze
def test_the_timer_calls_the_audit_once_a_week():
    timer = service(os.path.join(UNITS, "penstock-audit.timer"), "Timer")
    assert timer["Persistent"] == ["yes"]
    done = subprocess.run(["systemd-analyze", "calendar", "--iterations=2", timer["OnCalendar"][0]],
                          capture_output=True, text=True, env={**os.environ, "TZ": "UTC", "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
    days = re.findall(r"Sun (\d{4}-\d\d-\d\d) 03:00:00", done.stdout)
    first, second = (datetime.date.fromisoformat(day) for day in sorted(set(days))[:2])
    assert (second - first).days == 7
