"""Deliveries a second to the subscribers of channels, publishes of one small event, a few of them under way at any time.
Penstock stores each event in a table before it pushes it (`publish`), or stores nothing (`broadcast`); the event is a
topic and a number, the table "Tick" has those and a uuid, its primary key. Beside it nginx with the Nchan module, which
keeps the last messages of a channel in memory, the NATS server's WebSocket and a Node server with `ws`, which keep
nothing, under the same load generator. Each is started anew for each run; all take turns. Latencies are of an open loop at a rate that all hold:
they count from when a publish was due, to each delivery.
"""
import os
import pathlib
import shutil
import statistics

from measure import (BUILD, ROOT, TICK_STREAMS, TICK_TABLE, Process, Server, allow_files, free_port,
                     postgres_cpu_seconds, psql, run_counting, scratch_folder)
from results import Part, median_of, range_of, ratio_text, ratios_of, spread_of

OURS = {"penstock": "stored", "broadcast": "broadcast"}
NCHAN_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NGINX = """daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
worker_rlimit_nofile 30000; load_module {module};
events {{ worker_connections 20000; }}
http {{
    access_log off; keepalive_requests 1000000000; nchan_shared_memory_size 512M;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/pub/(.+)$ {{ nchan_publisher http; nchan_channel_id $1; nchan_message_buffer_length 1000;
            nchan_message_timeout 30s; }}
        location ~ ^/sub/(.+)$ {{ nchan_subscriber websocket; nchan_channel_id $1;
            nchan_channel_id_split_delimiter ","; nchan_subscriber_first_message newest; }}
    }}
}}
"""
NATS = """listen: "127.0.0.1:{inner}", max_connections: 20000, ping_interval: "10m"
websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}
"""
# way of penstock_fanout: name
WAYS = {"penstock": "Penstock, stored", "broadcast": "Penstock, broadcast",
        "nchan": "nginx with Nchan", "nats": "NATS", "ws": "Node, ws"}
# name, channels, subscribers of each, connections, publishes under way, publishes a second in the open loop; and the
# same in little
SHAPES = [(("1 channel × 1,000 subscribers", 1, 1000, 1000, 16, 20), ("1 channel × 200 subscribers", 1, 200, 200, 16, 20)),
          (("1 channel × 1,000 subscribers, one publish at a time", 1, 1000, 1000, 1, 20),
           ("1 channel × 200 subscribers, one publish at a time", 1, 200, 200, 1, 20)),
          (("1,000 channels × 10 subscribers", 1000, 10, 1000, 64, 300), ("100 channels × 10 subscribers", 100, 10, 100, 64, 50)),
          (("100,000 channels × 1 subscriber", 100000, 1, 1000, 256, 300), ("2,000 channels × 1 subscriber", 2000, 1, 100, 256, 50))]


class Nchan(Process):
    def __init__(self, folder):
        port = free_port()
        config = pathlib.Path(folder) / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port, module=NCHAN_MODULE))
        os.chmod(folder, 0o755)  # the worker is another user
        super().__init__(["nginx", "-c", config, "-p", folder], port)
        self.wait_for_port()
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.pids += [int(pid) for pid in children.read_text().split()]


class Nats(Process):
    def __init__(self, folder):
        port = free_port()
        config = pathlib.Path(folder) / "nats.conf"
        config.write_text(NATS.format(inner=free_port(), port=port))
        super().__init__(["nats-server", "-c", config, "-l", f"{folder}/nats.log"], port)
        self.wait_for_port()


class Ws(Process):
    def __init__(self, _):
        port = free_port()
        super().__init__(["node", "fanout-server.mjs", port], port, cwd=ROOT / "bench" / "peers",
                         env={**os.environ, "NODE_ENV": "production"})
        self.wait_for_port()


def penstock(folder):
    psql('TRUNCATE "Tick"; CHECKPOINT')
    return Server(folder, "channels = 1000\n", TICK_STREAMS)


MAKERS = {"penstock": penstock, "broadcast": penstock, "nchan": Nchan, "nats": Nats, "ws": Ws}
THERE = {"nchan": lambda: shutil.which("nginx") and NCHAN_MODULE.exists(),
         "nats": lambda: shutil.which("nats-server"),
         "ws": lambda: (ROOT / "bench/peers/node_modules/.installed").exists()}


def measure(way, shape, seconds):
    _, channels, each, connections, under_way, publishes = shape
    with scratch_folder() as folder, MAKERS[way](folder) as server:
        command = [BUILD / "bench/flow/penstock_fanout", way, "127.0.0.1", server.port, channels, each, connections,
                   under_way, seconds]
        closed, (cpu, postgres_cpu) = run_counting(command, [server.cpu_seconds, postgres_cpu_seconds])
        timed, _ = run_counting([*command, publishes], [])
    return {"rate": closed["delivered"] / closed["seconds"], "published": closed["published"] / closed["seconds"],
            "p50_ms": timed["p50_us"] / 1000, "p99_ms": timed["p99_us"] / 1000,
            "unsent": timed["unsent"] / (timed["published"] + timed["unsent"]),
            "cpu_us": cpu / closed["delivered"] * 1e6, "postgres_us": postgres_cpu / closed["delivered"] * 1e6,
            "generator_us": closed["generator_cpu_s"] / closed["delivered"] * 1e6}


def measure_into(runs_of, way, shape, seconds, failed):
    """Who fails is left out of this shape, and the report says why: a peer, or `broadcast`, which a server may refuse when it
    has too much to do. That what is stored cannot be pushed is the part's failure."""
    try:
        runs_of[way].append(measure(way, shape, seconds))
    except SystemExit as failure:
        if way == "penstock":
            raise
        del runs_of[way]
        failed[f"{WAYS[way]}, {shape[0]}"] = str(failure)[:300]


def tell_shape(part, shape, runs_of):
    head = ["", "deliveries/s", "spread", "stored Penstock is times as fast", "publishes/s", "open loop: p50 ms",
            "p99 ms", "never sent", "server µs/delivery", "of PostgreSQL", "generator µs/delivery"]
    lines = [[WAYS[way], f"{median_of(runs, 'rate'):,.0f}", spread_of(runs, "rate"),
              ratio_text(ratios_of(runs_of["penstock"], runs)), f"{median_of(runs, 'published'):,.0f}",
              f"{median_of(runs, 'p50_ms'):.2f}", f"{median_of(runs, 'p99_ms'):.2f}", unsent_text(runs),
              f"{median_of(runs, 'cpu_us'):.2f}",
              f"{median_of(runs, 'postgres_us'):.2f}" if way == "penstock" else "",
              f"{median_of(runs, 'generator_us'):.2f}"]
             for way, runs in runs_of.items()]
    part.table(f"{shape[0]}, on {shape[3]:,} connections, {shape[4]} publishes under way; open loop: "
               f"{shape[5]} publishes a second", head, lines)
    part.bars(shape[0], "deliveries/s",
              [(WAYS[way], range_of(runs, "rate")) for way, runs in runs_of.items()])
    for way, runs in runs_of.items():
        part.generator(f"{shape[0]}, {WAYS[way]}", runs)
    tell_best(part, shape, runs_of)


def tell_best(part, shape, runs_of):
    peers = [way for way in runs_of if way in THERE]
    if not peers:
        return
    best = max(peers, key=lambda way: median_of(runs_of[way], "rate"))
    for way in (way for way in OURS if way in runs_of):
        ratios = ratios_of(runs_of[way], runs_of[best])
        part.headline(f"deliveries a second, {shape[0]}, {OURS[way]}",
                      f"{median_of(runs_of[way], 'rate'):,.0f}",
                      f"{WAYS[best]}, best of the peers, {median_of(runs_of[best], 'rate'):,.0f}", ratios)
    bare = ratio_text(ratios_of(runs_of["broadcast"], runs_of[best])) if "broadcast" in runs_of else "nothing now"
    part.target(f"fan-out, {shape[0]}, deliveries/s of the best peer ({WAYS[best]})", 1.0,
                ratios_of(runs_of["penstock"], runs_of[best]),
                "each event is made durable and committed before it is pushed, which no peer does: on the same "
                f"processors that is its journal's and PostgreSQL's work; `broadcast`, which stores nothing, makes {bare}")


def unsent_text(runs):
    share = median_of(runs, "unsent")
    return f"{share:.0%}" if share else ""


def main():
    part = Part("fanout", "Fan-out", __doc__)
    allow_files(30000)
    psql(TICK_TABLE)
    ways = [way for way in WAYS if THERE.get(way, lambda: True)()]
    shapes = [part.pick(full, quick) for full, quick in SHAPES]
    results, failed = {shape[0]: {way: [] for way in ways} for shape in shapes}, {}
    for _ in part.rounds():
        for shape in shapes:
            for way in [way for way in ways if way in results[shape[0]]]:
                part.say(f"{shape[0]}, {WAYS[way]}")
                measure_into(results[shape[0]], way, shape, part.pick(2, 0.2), failed)
    for shape in shapes:
        tell_shape(part, shape, results[shape[0]])
    missing = [name for way, name in WAYS.items() if way not in ways]
    notes = [f"Not installed, and so not measured: {', '.join(missing)}."] if missing else []
    part.finish(results, " ".join(notes + [f"Left out: {where}: {why}." for where, why in failed.items()]))


main()
