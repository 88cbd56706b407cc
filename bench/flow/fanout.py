"""Fan-out: deliveries a second to 1,000 subscribers of one channel, with 1 and with 16 publishes of
one event in flight; the server's CPU for each, and the generator's, which shares the machine.
"""
import argparse
import pathlib
import resource

from measure import (BUILD, Server, cpu_seconds, free_port, median_of, print_table, psql, run_json,
                     scratch_folder, write_results)

SUBSCRIBERS = 1000
IN_FLIGHT = [1, 16]
STREAMS = 'stream "tick" {\n    table = "Tick"\n    channels = {"{topic}"}\n}\n'
TABLE = ('DROP TABLE IF EXISTS "Tick"; CREATE TABLE "Tick" (id uuid PRIMARY KEY DEFAULT '
         "gen_random_uuid(), topic text NOT NULL, n int4 NOT NULL)")


def measure(server, in_flight, seconds):
    cpu = cpu_seconds(server.process.pid)
    figures = run_json([BUILD / "bench/flow/penstock_fanout", "127.0.0.1", server.port, SUBSCRIBERS,
                        in_flight, seconds])
    cpu = cpu_seconds(server.process.pid) - cpu
    return {"rate": figures["delivered"] / figures["seconds"],
            "published": figures["published"] / figures["seconds"],
            "cpu_us": cpu / figures["delivered"] * 1e6,
            "generator_us": figures["generator_cpu_s"] / figures["delivered"] * 1e6}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    seconds, rounds = (2, 2) if parser.parse_args().quick else (5, 5)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * SUBSCRIBERS)), hard))
    psql(TABLE)
    results = {in_flight: [] for in_flight in IN_FLIGHT}
    with scratch_folder() as folder:
        server = Server(pathlib.Path(folder), free_port(), streams=STREAMS)
        try:
            for _ in range(rounds):
                for in_flight, runs in results.items():
                    runs.append(measure(server, in_flight, seconds))
        finally:
            server.stop()
    write_results("fanout", results)
    print(f"\n{SUBSCRIBERS} subscribers, {rounds} rounds of {seconds} s, in turns\n")
    print_table(("publishes in flight", "deliveries/s", "publishes/s", "server µs/delivery",
                 "generator µs/delivery"),
                [(str(in_flight), f"{median_of(runs, 'rate'):,.0f}",
                  f"{median_of(runs, 'published'):,.0f}", f"{median_of(runs, 'cpu_us'):.2f}",
                  f"{median_of(runs, 'generator_us'):.2f}") for in_flight, runs in results.items()])


main()
