"""Connections: memory of an idle one, and what it costs to take 10,000 of them.

Run it by bench/run.sh. Memory is what the process holds more (Pss of /proc/PID/smaps_rollup) once all
are open and quiet, so it counts the allocator's waste, and not the kernel's socket buffers. The server
is a fresh one each time.
"""
import argparse
import json
import pathlib
import re
import resource
import select
import socket
import statistics
import struct
import sys
import time

from measure import (Server, cpu_seconds, free_port, machine_line, prepare_database, print_table,
                     recorded_events, scratch_folder, write_results)

HANDSHAKE = (b"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
             b"Sec-WebSocket-Protocol: penstock.v1.json\r\n\r\n")
AT_ONCE = 200  # handshakes under way
KINDS = [(1000, False), (1000, True), (10000, False), (10000, True)]  # connections, subscribed


def pss_bytes(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) * 1024


def frame(text):
    """A masked text frame, with a mask of zeros."""
    data = text.encode()
    assert len(data) < 126
    return struct.pack("!BB4s", 0x81, 0x80 | len(data), b"\0\0\0\0") + data


def read_until(sock, word, held=b""):
    while word not in held:
        piece = sock.recv(4096)
        if not piece:
            sys.exit(f"the server closed a connection: {held[:200]}")
        held += piece
    return held


def open_connections(port, count):
    """AT_ONCE at a time; all have their `welcome` when this returns."""
    opened, waiting = [], {}
    poll = select.epoll()
    while len(opened) < count:
        while len(waiting) < AT_ONCE and len(opened) + len(waiting) < count:
            sock = socket.create_connection(("127.0.0.1", port))
            sock.sendall(HANDSHAKE)
            waiting[sock.fileno()] = [sock, b""]
            poll.register(sock.fileno(), select.EPOLLIN)
        for fd, _ in poll.poll(30):
            entry = waiting[fd]
            entry[1] += entry[0].recv(4096)
            if b'"welcome"' in entry[1]:
                poll.unregister(fd)
                opened.append(waiting.pop(fd)[0])
    poll.close()
    return opened


def subscribe(sockets):
    for number, sock in enumerate(sockets):
        sock.sendall(frame(json.dumps({"op": "subscribe", "id": 1, "channel": f"user:{number}"})))
    for sock in sockets:
        read_until(sock, b'"subscribed"')


def measure(folder, count, subscribed):
    server = Server(folder, free_port(), "connections = 20000\n")
    pid = server.process.pid
    sockets = []
    try:
        sockets = open_connections(server.port, 100)  # what the first ones bring in stays
        before, cpu = pss_bytes(pid), cpu_seconds(pid)
        start = time.monotonic()
        sockets += open_connections(server.port, count)
        took, cpu = time.monotonic() - start, cpu_seconds(pid) - cpu
        if subscribed:
            subscribe(sockets)
        time.sleep(1)
        return {"bytes": (pss_bytes(pid) - before) / count, "seconds": took, "cpu_us": cpu / count * 1e6}
    finally:
        for sock in sockets:
            sock.close()
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    rounds = 1 if parser.parse_args().quick else 5
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 65536), limit))
    results = {kind: [] for kind in KINDS}
    with scratch_folder() as name:
        folder = pathlib.Path(name)
        events, _ = recorded_events(folder)
        prepare_database(events)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for kind in KINDS:
                results[kind].append(measure(folder, *kind))
    write_results("connections", {f"{count}{' subscribed' if subscribed else ''}": runs
                                  for (count, subscribed), runs in results.items()})
    print(f"\n{rounds} rounds; {machine_line()}\n")
    lines = []
    for (count, subscribed), runs in results.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        lines.append((f"{count:,}{', each with a subscription' if subscribed else ''}",
                      f"{middle['bytes'] / 1024:.1f}", f"{middle['seconds']:.2f}",
                      f"{count / middle['seconds']:,.0f}", f"{middle['cpu_us']:.0f}"))
    print_table(("idle connections", "KB each", "seconds to take them", "a second", "server µs each"), lines)


main()
