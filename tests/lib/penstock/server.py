"""The binary under test, as a process that must start, answer, stop and leave nothing behind."""

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from .client import Client
from .wait import PATIENCE_S, dies_with_us, until

SANITIZER_REPORT = re.compile(
    r"(ERROR|WARNING|SUMMARY): (Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer"
    r"|: runtime error: ")


def source_dir():
    here = os.path.dirname(os.path.abspath(__file__))
    return os.environ.get("PENSTOCK_SOURCE_DIR", os.path.normpath(os.path.join(here, "../../..")))


def binary():
    """The `penstock` to test: PENSTOCK_BINARY, else the newest one under build/."""
    named = os.environ.get("PENSTOCK_BINARY")
    if named:
        return named
    built = [os.path.join(source_dir(), "build", preset, "server", "penstock")
             for preset in ("asan", "debug", "release")]
    built = [path for path in built if os.access(path, os.X_OK)]
    if not built:
        raise RuntimeError("set PENSTOCK_BINARY: there is no penstock under build/")
    return max(built, key=os.path.getmtime)


def loop_engine():
    return os.environ.get("PENSTOCK_LOOP", "auto")


def free_port():
    """A TCP port of 127.0.0.1 that nobody had a moment ago, below those that Linux gives to
    connections (ip_local_port_range, from 32768): no client of another test takes it meanwhile."""
    while True:
        port = random.randrange(10240, 32768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(extra=None):
    """Ours without settings of a Penstock or a PostgreSQL that may be meant for somebody else."""
    ours = {name: value for name, value in os.environ.items()
            if not name.startswith(("PENSTOCK_", "PG")) and name != "DATABASE_URL"}
    ours.update({
        "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
        "TSAN_OPTIONS": "exitcode=99:second_deadlock_stack=1",
    })
    ours.update(extra or {})
    return ours


def assert_no_sanitizer_report(text, who="penstock"):
    found = SANITIZER_REPORT.search(text)
    assert not found, f"{who} has a sanitizer report:\n{text[max(0, found.start() - 500):][:6000]}"


def run(*arguments, stdin=None, env=None, cwd=None, timeout=None):
    """Runs one command of penstock to its end: (exit code, standard output, standard error).

    `stdin` is text or bytes. The answer's outputs are text.
    """
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run([binary(), *arguments], input=given if given is not None else b"",
                          capture_output=True, env=environment(env), cwd=cwd,
                          preexec_fn=dies_with_us(), timeout=timeout or PATIENCE_S * 2)
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert_no_sanitizer_report(err, f"penstock {arguments[0] if arguments else ''}")
    return done.returncode, out, err


class Command:
    """One command of penstock that runs beside the test: its input and output are pipes (`stdin`,
    `out`), what it says is in `err` at any time."""

    def __init__(self, error_path, *arguments, env=None):
        self.error_path = error_path
        with open(error_path, "wb") as err:
            self.process = subprocess.Popen(
                [binary(), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                env=environment(env), preexec_fn=dies_with_us())
        self.stdin, self.out = self.process.stdin, self.process.stdout

    @property
    def err(self):
        with open(self.error_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def running(self):
        return self.process.poll() is None

    def write(self, text):
        self.stdin.write(text.encode())
        self.stdin.flush()

    def wait(self):
        """Waits for its end, and returns its exit code."""
        code = self.process.wait(PATIENCE_S)
        assert_no_sanitizer_report(self.err, f"penstock {self.process.args[1]}")
        return code

    def close(self):
        """The end of a test."""
        self.process.kill()
        self.process.wait(timeout=30)
        with contextlib.suppress(OSError):
            self.stdin.close()
        self.out.close()


def stream(name, table, *channels):
    """One `stream` section of the configuration file."""
    listed = ", ".join(json.dumps(channel) for channel in channels)
    return (f"stream {json.dumps(name)} {{\n    table = {json.dumps(table)}\n"
            f"    channels = {{{listed}}}\n}}\n")


# The example tables of deploy/examples.sql.
STREAMS = "".join([
    stream("behavior", "BehaviorLog", "user:{userId}", "stream:behavior"),
    stream("social", "SocialPost", "user:{userId}", "group:{groupId}", "stream:social"),
    stream("optimization", "OptimizationLog", "stream:optimization"),
    stream("activity", "ProjectActivity", "project:{projectId}", "user:{userId}", "stream:activity"),
    stream("cost", "ProjectCost", "project:{projectId}", "stream:cost"),
])


class Server:
    """One `penstock serve` with a folder of its own: configuration, journal, log.

        server = Server(database, streams=STREAMS, settings={"lanes": 1})
        server.start(); …; server.stop()

    The folder stays between stop (or kill) and start, so that a restart replays the journal.
    """

    def __init__(self, database, streams=STREAMS, settings=None, flags=(), env=None, folder=None):
        self.database, self.streams, self.flags = database, streams, list(flags)
        self.settings, self.env = dict(settings or {}), dict(env or {})
        self.folder = folder or tempfile.mkdtemp(prefix="penstock-server.", dir="/tmp")
        self.port = free_port()
        self.process = None
        self.launches = 0
        self.log_path = os.path.join(self.folder, "log")
        self.config_path = os.path.join(self.folder, "penstock.conf")
        self.tls = None  # the ssl.SSLContext of clients, where the server has a certificate
        self._clients = []

    # ---- life --------------------------------------------------------------------------------

    def write_config(self):
        settings = {"operator_pages": True, **self.settings}
        if self.asks_tokens:
            settings.setdefault("metrics_token_file", self._make_metrics_token())
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.writelines(lines)
            file.write(self.streams)

    @property
    def asks_tokens(self):
        return any("auth_key" in name.lower() or "auth_jwks" in name.lower()
                   for name in (*self.settings, *self.env))

    def _make_metrics_token(self):
        path = os.path.join(self.folder, "metrics-token")
        with open(path, "w", encoding="ascii") as file:
            file.write("what-tests-ask-metrics-with\n")
        return path

    def command(self):
        """Listen address, data folder and engine go by flags, everything else by the file."""
        return [binary(), "serve", "--config", self.config_path, f"--listen=127.0.0.1:{self.port}",
                f"--data-dir={self.folder}/data", f"--loop={loop_engine()}", *self.flags]

    def launch(self):
        """Starts the process and does not wait for anything."""
        assert not self.running, "the server runs already"
        self.write_config()
        self.launches += 1
        env = environment({"DATABASE_URL": self.database.url, **self.env})
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                cwd=self.folder, preexec_fn=dies_with_us())
        return self

    def start(self, timeout=None):
        """Starts the process and waits until /readyz says 200."""
        self.launch()
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=None):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"penstock exited with {self.process.returncode} before it was ready:\n"
                    f"{self.log()[-6000:]}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.http("GET", "/readyz", timeout=2)[0] == 200
            return False

        try:
            until("/readyz answers 200", ready, timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log()[-6000:]}") from None

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait_exit(self, timeout=None):
        """Waits for the end of the process and returns its exit code."""
        try:
            return self.process.wait(timeout or PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            raise TimeoutError(f"penstock does not exit:\n{self.log()[-6000:]}") from None

    def stop(self, with_signal=signal.SIGTERM, expect=0, timeout=None):
        """Asks the server to end, and asserts that it ends cleanly."""
        self.process.send_signal(with_signal)
        code = self.wait_exit(timeout)
        self.assert_clean_log()
        assert code == expect, f"exit code {code} instead of {expect}:\n{self.log()[-6000:]}"

    def kill(self):
        """kill -9: nothing is flushed, nothing is said."""
        self.process.kill()
        self.process.wait(timeout=30)
        self.assert_clean_log()

    def restart(self, with_kill=False, timeout=None):
        self.kill() if with_kill else self.stop()
        return self.start(timeout)

    def close_clients(self):
        for client in self._clients:
            client.close()
        self._clients.clear()

    def close(self, keep=False):
        """The end of a test: clients closed, the process stopped cleanly, the folder removed."""
        self.close_clients()
        try:
            if self.running:
                self.stop()
            elif self.process is not None:
                self.assert_clean_log()
        finally:
            if self.running:
                self.process.kill()
                self.process.wait(timeout=30)
            if not keep:
                shutil.rmtree(self.folder, ignore_errors=True)

    # ---- what it says ------------------------------------------------------------------------

    def log(self):
        with contextlib.suppress(FileNotFoundError), open(self.log_path, errors="replace") as log:
            return log.read()
        return ""

    def assert_clean_log(self):
        assert_no_sanitizer_report(self.log())

    def wait_for_log(self, text, timeout=None):
        until(f"{text!r} in the log", lambda: text in self.log(), timeout)

    def memory_bytes(self):
        """Resident memory now (proc(5), statm)."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # ---- how to talk to it -------------------------------------------------------------------

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}" if self.tls is None else f"https://localhost:{self.port}"

    @property
    def ws_url(self):
        return "ws" + self.url.removeprefix("http") + "/v1/ws"

    def http_connection(self, timeout=10):
        if self.tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        return http.client.HTTPSConnection("localhost", self.port, timeout=timeout, context=self.tls)

    def http(self, method, path, body=None, headers=None, timeout=10):
        """One request on a connection of its own: (status, headers as a dict, body as bytes)."""
        with contextlib.closing(self.http_connection(timeout)) as connection:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return response.status, lower, response.read()

    def _ask_as_operator(self, path):
        """The body of a page that only operators see."""
        headers = {}
        if self.asks_tokens:
            token = self.settings.get("metrics_token_file", f"{self.folder}/metrics-token")
            with open(token, encoding="ascii") as file:
                headers["Authorization"] = f"Bearer {file.read().strip()}"
        status, _, body = self.http("GET", path, headers=headers)
        assert status == 200, f"{path} answers {status}"
        return body.decode()

    def metrics(self):
        """/metrics as {'name{labels}': number}."""
        lines = [line for line in self._ask_as_operator("/metrics").splitlines()
                 if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def publishers(self):
        """/v1/publishers; None where operators' pages are off."""
        if not self.metrics()["penstock_operator_pages"]:
            return None
        return json.loads(self._ask_as_operator("/v1/publishers"))

    def connect(self, encoding="json", path="", **options):
        """A Client that has read its `welcome`; it is closed with the server."""
        client = Client(self.ws_url + path, encoding, tls=self.tls, **options)
        self._clients.append(client)
        return client

    def socket(self):
        """A plain TCP connection, for requests and frames that no library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
