"""What a service manager is told (sd_notify(3)), and what happens when it listens badly."""

import os
import signal
import socket

import pytest

from penstock import until


class Manager:
    """The socket of a service manager: messages as dicts, in the order they came."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.messages = []

    def wait_for(self, key, value="1"):
        """The first message that says so; it and those before it are taken."""
        def found():
            try:
                text = self.socket.recv(4096).decode()
            except BlockingIOError:
                return None
            self.messages.append(dict(line.split("=", 1) for line in text.splitlines()))
            last = self.messages[-1]
            return last if last.get(key) == value else None
        return until(f"{key}={value} at the service manager", found)


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """One with a path, and one in the abstract namespace, which is written with an '@'."""
    name = f"@penstock-test-{os.getpid()}" if request.param == "abstract" else f"{tmp_path}/notify"
    manager = Manager(name.replace("@", "\0"))
    manager.name = name
    yield manager
    manager.socket.close()


def test_ready_comes_when_clients_are_served_and_stopping_before_the_end(make_server, manager):
    server = make_server(env={"NOTIFY_SOCKET": manager.name}).launch()
    assert manager.wait_for("READY")["STATUS"] == "serving"
    assert server.http("GET", "/healthz")[0] == 200  # the port is open by then
    assert manager.messages == [manager.messages[-1]]
    server.stop(signal.SIGTERM)
    manager.wait_for("STOPPING")


def test_a_crash_leaves_no_core(server):
    """Neither in a file nor for a program: a limit of 1 byte, at which the kernel gives up both."""
    with open(f"/proc/{server.process.pid}/limits", encoding="ascii") as limits:
        core, = [line.split() for line in limits if line.startswith("Max core file size")]
    assert core[4:6] == ["1", "1"]


def test_a_start_that_waits_for_postgresql_says_so(make_server, postgres, tmp_path):
    manager = Manager(f"{tmp_path}/notify")
    server = make_server(env={"NOTIFY_SOCKET": f"{tmp_path}/notify"})
    postgres.stop()
    server.launch()
    manager.wait_for("STATUS", "waiting for PostgreSQL")
    assert not any("READY" in message for message in manager.messages)
    postgres.start()
    manager.wait_for("READY")
    manager.socket.close()


@pytest.mark.parametrize("name", ["/no/such/socket", "relative", "/" + "x" * 200, "@", ""])
def test_a_manager_that_is_not_there_harms_nothing(make_server, name):
    make_server(env={"NOTIFY_SOCKET": name}).start().stop()


def test_a_reload_has_a_beginning_and_an_end(make_server, tmp_path):
    """Taken, refused or without news: READY follows RELOADING, which carries the clock's time."""
    manager = Manager(f"{tmp_path}/notify")
    server = make_server(env={"NOTIFY_SOCKET": f"{tmp_path}/notify"}).start()
    manager.wait_for("READY")
    for lines, status in (("", "serving"), ("inflight = 7\n", "serving"), ("inflight = none\n", "refused")):
        with open(server.config_path, "w", encoding="utf-8") as file:
            file.write(lines + server.streams)
        server.process.send_signal(signal.SIGHUP)
        assert int(manager.wait_for("RELOADING")["MONOTONIC_USEC"]) > 0
        assert status in manager.wait_for("READY")["STATUS"]
    manager.socket.close()
