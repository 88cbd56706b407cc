"""What an idle connection takes of the server's memory, with and without TLS, with and without a subscription, and how
long it takes to accept them, 200 handshakes at a time; beside it a Node server with `ws`, plain. Memory is what the
process holds more (Pss of /proc/PID/smaps_rollup) once all are open and quiet, so it counts the allocator's waste, and
not the kernel's socket buffers. The server is a fresh one each time, and has had 100 connections before.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

from measure import (BUILD, ROOT, TICK_STREAMS, TICK_TABLE, Process, Server, allow_files, free_port, psql,
                     scratch_folder)
from results import Part, median_of, range_of, ratios_of, spread_of

PEERS = ROOT / "bench" / "peers"
NODE = "Node, ws, plain"
KINDS = {  # TLS, subscribed
    "plain": (False, False), "plain, subscribed": (False, True),
    "TLS": (True, False), "TLS, subscribed": (True, True),
}


def make_certificate(folder):
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                           "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                           "-keyout", folder / "tls.key", "-out", folder / "tls.pem"],
                          text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"openssl: {done.stderr.strip()}")


def pss_bytes(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) * 1024


class Crowd:
    """Connections that stand there until the end of `with`."""

    def __init__(self, server, count, channel):
        command = [BUILD / "bench/generator/penstock-bench", "--open-only", "--hold", "--json",
                   "--trust-any", "--connections", str(count), f"{server.scheme}://127.0.0.1:{server.port}/v1/ws"]
        command += ["--channel", channel] if channel else []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"penstock-bench could not open {count} connections")
        self.figures = json.loads(line)

    def __enter__(self):
        return self.figures

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(60)


def penstock(folder, secure):
    settings = "connections = 12000\n"
    if secure:
        settings += f'tls_certificate = "{folder}/tls.pem"\ntls_key = "{folder}/tls.key"\n'
    return Server(folder, settings, TICK_STREAMS, secure=secure)


class Node(Process):
    scheme = "ws"

    def __init__(self):
        port = free_port()
        super().__init__(["node", "fanout-server.mjs", port], port, cwd=PEERS,
                         env={**os.environ, "NODE_ENV": "production"})
        self.wait_for_port()


def measure(folder, count, kind):
    secure, subscribed = KINDS.get(kind, (False, False))
    with (Node() if kind == NODE else penstock(folder, secure)) as server:
        pid = server.process.pid
        with Crowd(server, 100, "first{n}" if subscribed else None):
            before, cpu = pss_bytes(pid), server.cpu_seconds()
            with Crowd(server, count, "c{n}" if subscribed else None) as figures:
                cpu = server.cpu_seconds() - cpu
                time.sleep(1)
                held = pss_bytes(pid) - before
    return {"kb": held / count / 1024, "seconds": figures["seconds"], "rate": count / figures["seconds"],
            "cpu_us": cpu / count * 1e6, "generator_us": figures["generator_cpu_s"] / count * 1e6}


def tell(part, results):
    limited = [f"{count:,}, {kind}" for (count, kind), runs in results.items()
               if median_of(runs, "rate") * median_of(runs, "generator_us") > 0.9e6]
    lines = [[f"{count:,}", kind, f"{median_of(runs, 'kb'):.1f}", spread_of(runs, "kb", "{:.1f}"),
              f"{median_of(runs, 'seconds'):.2f}", f"{median_of(runs, 'rate'):,.0f}",
              f"{median_of(runs, 'cpu_us'):.0f}", f"{median_of(runs, 'generator_us'):.0f}"]
             for (count, kind), runs in results.items()]
    part.table("Idle connections", ["connections", "", "KB each", "spread", "seconds to open all", "a second",
               "server µs each", "generator µs each"], lines,
               "Opening takes the handshakes (with TLS: TLS 1.3, ECDSA P-256), `welcome`, and with a subscription "
               "`subscribed`." + (" Limited by the generator, which needs a whole processor for them, so that a server's "
                                  f"time to open them is only told by its CPU: {'; '.join(limited)}." if limited else ""))
    most = max(count for count, _ in results)
    part.bars(f"Server memory a connection, {most:,} of them", "KB; the dashed line is what was promised",
              [(kind, range_of(runs, "kb")) for (count, kind), runs in results.items() if count == most], 8)
    for (count, kind), runs in results.items():
        part.generator(f"opening {count:,}, {kind}", runs)
    ours, theirs = results[most, "plain"], results.get((most, NODE))
    part.target(f"KB of server memory an idle plain connection, of {most:,}", 8, [run["kb"] for run in ours],
                "what libwebsockets allocates for a connection", at_least=False)
    if theirs:
        part.headline(f"server memory of an idle connection, of {most:,}", f"{median_of(ours, 'kb'):.1f} KB",
                      f"{NODE} {median_of(theirs, 'kb'):.1f} KB", ratios_of(ours, theirs, "kb"))
        part.headline(f"connections accepted a second, of {most:,}", f"{median_of(ours, 'rate'):,.0f}",
                      f"{NODE} {median_of(theirs, 'rate'):,.0f}", ratios_of(ours, theirs))


def main():
    part = Part("connections", "Connections", __doc__)
    allow_files(30000)
    psql(TICK_TABLE)
    counts = part.pick((1000, 10000), (200,))
    kinds = [*KINDS, *([NODE] if (PEERS / "node_modules/.installed").exists() else [])]
    results = {(count, kind): [] for count in counts for kind in kinds}
    with scratch_folder() as name:
        folder = pathlib.Path(name)
        make_certificate(folder)
        for _ in part.rounds():
            for (count, kind), runs in results.items():
                part.say(f"{count:,}, {kind}")
                runs.append(measure(folder, count, kind))
    tell(part, results)
    part.finish({f"{count} {kind}": runs for (count, kind), runs in results.items()})


main()
