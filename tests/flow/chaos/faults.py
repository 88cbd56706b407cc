"""Everything that can befall a World, and the kinds of runs made of it.

A fault does its harm and mends it again: when it returns, all are up, though perhaps still catching
up.
"""

import contextlib
import glob
import os
import random
import signal
import time

import psycopg2

from checker import Violation
from disk import hanging
from load import BULK, CROWD
from penstock import until
from proxy import STEPS
from world import RECOVERY_S, SEGMENT_BYTES, World

FULL_S = 1.0  # no ack for so long, and no room: publishers wait for the disk


# ---- the server ------------------------------------------------------------------------------


def kill_server(world):
    """kill -9 of the server; sometimes again while it replays."""
    world.kill_server()
    world.check_committed()
    while world.random.random() < 0.25:
        world.draw_engine()
        world.server.launch()
        world.pause(0.2)
        world.server.kill()
    world.start_server()


def term_server(world):
    """SIGTERM under load: a clean end, and sometimes a second SIGTERM that does not wait for it."""
    impatient = world.random.random() < 0.3
    world.server.process.send_signal(signal.SIGTERM)
    if impatient:
        world.pause(0.1)
        with contextlib.suppress(ProcessLookupError):
            world.server.process.send_signal(signal.SIGTERM)
    code = world.server.wait_exit(RECOVERY_S)
    if code != 0 and not impatient:
        raise Violation(f"SIGTERM: exit code {code}:\n{world.server.log()[-4000:]}")
    world.check_committed()
    world.start_server()


def hang_disk(world):
    """The journal's disk does not answer for a while, and then does."""
    with hanging(world.server.process.pid):
        world.pause(1.0)


def stop_server(world):
    """SIGSTOP of the server: its clients wait, the others go on, and it is behind afterwards."""
    with stopped([world.server.process.pid]):
        time.sleep(world.random.uniform(0.5, 1.0) * world.stop_s)


# ---- PostgreSQL ------------------------------------------------------------------------------


def kill_postgres(world):
    """kill -9 of the postmaster and its children."""
    world.postgres.kill()
    world.pause(0.3)
    world.postgres.start()


def fast_postgres(world):
    """A fast shutdown, and a start."""
    world.postgres.stop("fast")
    world.pause(0.3)
    world.postgres.start()


def immediate_postgres(world):
    """An immediate shutdown, and a start with recovery."""
    world.postgres.stop("immediate")
    world.pause(0.3)
    world.postgres.start()


def terminate_backends(world):
    """pg_terminate_backend for all of the server's sessions, many times."""
    for _ in range(world.random.randint(1, 20)):
        with contextlib.suppress(psycopg2.Error):
            world.database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                   "WHERE application_name LIKE 'penstock%'")
        world.pause(0.08)


@contextlib.contextmanager
def stopped(pids):
    """SIGSTOP for all that are still there, SIGCONT afterwards."""
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def cut_listen(world):
    """The LISTEN connections of all nodes end, some times; the lanes' stay."""
    for _ in range(world.random.randint(1, 5)):
        with contextlib.suppress(psycopg2.Error):
            world.database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                   "WHERE application_name = 'penstock feed'")
        world.pause(0.5)


def stop_backend(world):
    """SIGSTOP of one of the server's backends, for some of statement_timeout or past it."""
    found = sorted(world.backends())
    with stopped([world.random.choice(found)] if found else []):
        world.pause(world.stop_s)


def stop_postgres(world):
    """SIGSTOP of all of PostgreSQL: connections are taken by the kernel, and nobody answers."""
    with stopped(world.postgres.processes()):
        world.pause(world.stop_s)


# ---- between the two -------------------------------------------------------------------------


def proxy_delay(world):
    """Every piece between server and database is late."""
    world.proxy.delay(world.random.uniform(0.001, 0.05))
    time.sleep(world.random.uniform(0.2, 1.0))
    world.proxy.calm()


def proxy_trickle(world):
    """A few bytes at a time."""
    world.proxy.trickle(world.random.choice([1, 7, 100, 1000]))
    time.sleep(world.random.uniform(0.2, 1.0))
    world.proxy.calm()


def proxy_stall(world):
    """A silent peer: nothing moves, nothing is closed."""
    world.proxy.stall()
    world.pause(world.stop_s)
    world.proxy.calm()


def proxy_reset(world):
    """RST on all connections, some times; new ones are refused for a moment."""
    for _ in range(world.random.randint(1, 5)):
        world.proxy.refuse(world.random.random() < 0.5)
        world.proxy.reset()
        world.pause(0.1)
    world.proxy.calm()


def proxy_half_close(world):
    """EOF from the database, while the other direction stays open."""
    world.proxy.half_close()
    world.pause(0.2)


def proxy_cut(world):
    """The connection ends at one step of a commit."""
    trap = world.proxy.cut_at(world.random.choice(STEPS))
    trap.fired.wait(5)
    world.proxy.trap = None


# ---- both together ---------------------------------------------------------------------------


def cut_and_kill(world):
    """The connection ends at one step of a commit, and the server with it."""
    trap = world.proxy.cut_at(world.random.choice(STEPS), also=world.server.process.kill)
    trap.fired.wait(5)
    world.proxy.trap = None
    world.server.kill()
    world.check_committed()
    world.start_server()


def kill_both(world):
    """kill -9 of PostgreSQL and of the server, in either order."""
    if world.random.random() < 0.5:
        world.kill_server()
        world.postgres.kill()
    else:
        world.postgres.kill()
        world.pause(0.2)
        world.kill_server()
    world.postgres.start()
    world.check_committed()
    world.start_server()


def kill_in_bad_weather(world):
    """kill -9 of the server while the network to the database is slow, silent or gone."""
    weather = world.random.choice([
        lambda: world.proxy.delay(world.random.uniform(0.001, 0.05)),
        lambda: world.proxy.trickle(world.random.choice([1, 7, 100, 1000])),
        world.proxy.stall, world.proxy.reset, world.proxy.half_close])
    weather()
    world.pause(0.5)
    world.kill_server()
    world.proxy.calm()
    world.check_committed()
    world.start_server()


# ---- the disk --------------------------------------------------------------------------------


def is_full(world):
    """A condition for until(): the disk has no room for a segment, and no ack comes any more."""
    seen = [world.log.acks, time.monotonic()]

    def check():
        world.check_alive()
        if world.log.acks != seen[0] or world.disk.room() >= SEGMENT_BYTES:
            seen[:] = world.log.acks, time.monotonic()
        return time.monotonic() - seen[1] > FULL_S

    return check


def await_acks(world):
    acks = world.log.acks

    def comes():
        world.check_alive()
        return world.log.acks > acks

    until("an ack once there is room", comes, RECOVERY_S)


def has_spares(world):
    """Each lane has begun a segment and has one to go on in. With a single one on a full disk a lane
    waits for room even when PostgreSQL has all of it: nothing can be recycled but what is behind."""
    lanes = glob.glob(f"{world.disk.folder}/journal/lane-*")
    return lanes and all(len(glob.glob(f"{lane}/*.segment")) >= 2 for lane in lanes)


def fill_disk(world):
    """PostgreSQL is away until the journal has filled its disk; then somebody makes room, or the
    server is killed and must start on a full disk, or neither; and PostgreSQL is back."""
    until("each lane has two segments", lambda: has_spares(world), RECOVERY_S)
    taken = world.disk.fill(leave=world.random.randint(0, 3) * SEGMENT_BYTES)
    world.proxy.refuse(True)
    world.proxy.reset()
    until("the disk is full", is_full(world), RECOVERY_S)
    ending = world.random.choice(["room", "kill", "wait"])
    if ending == "room" and taken >= SEGMENT_BYTES:
        world.disk.empty()
        await_acks(world)
    elif ending == "kill":
        world.kill_server()
        world.check_committed()
    world.proxy.calm()
    if ending == "kill":
        world.start_server()
    world.await_progress()
    world.disk.empty()


# ---- runs ------------------------------------------------------------------------------------

ALL = {fault.__name__.replace("_", "-"): fault for fault in (
    kill_server, term_server, stop_server, hang_disk, cut_listen, kill_postgres, fast_postgres, immediate_postgres,
    terminate_backends, stop_backend, stop_postgres, proxy_delay, proxy_trickle, proxy_stall,
    proxy_reset, proxy_half_close, proxy_cut, cut_and_kill, kill_both, kill_in_bad_weather,
    fill_disk)}


class Kind:
    """One kind of run: its faults, and how much of them is the full form and the short one."""

    def __init__(self, faults, full, short, **world):
        self.faults, self.full, self.short, self.world = faults, full, short, world


# full and short: rounds when an int, seconds when a float. The short ones meet each fault at least
# once, however slow the machine is.
KINDS = {
    "kill": Kind(["kill-server"], 200, 10),
    "postgres": Kind(["fast-postgres", "immediate-postgres", "kill-postgres", "terminate-backends",
                      "stop-backend", "stop-postgres"], 60.0, 8),
    "network": Kind(["proxy-delay", "proxy-stall", "proxy-reset", "proxy-half-close",
                     "proxy-trickle", "proxy-cut"], 60.0, 8),
    "both": Kind(["cut-and-kill", "kill-both", "kill-in-bad-weather", "term-server", "hang-disk"],
                 60.0, 8),
    "disk": Kind(["fill-disk"], 60.0, 2, small_disk=True, load=BULK),
    "fanout": Kind(["kill-server", "term-server", "stop-server", "cut-listen", "fast-postgres",
                    "kill-postgres"], 120.0, 7, nodes=2, load=CROWD,
                   settings={"window_bytes": "1MB", "history_bytes": "32MB"}),
}
FULL_STOP_S, SHORT_STOP_S = 10.0, 2.5


class Deck:
    """Faults in random order, each as often as the others."""

    def __init__(self, names, seed):
        self.names, self.random, self.left = names, random.Random(seed), []

    def draw(self):
        if not self.left:
            self.left = self.random.sample(self.names, len(self.names))
        return self.left.pop()


def torment(world, names, rounds=None, seconds=None, say=None):
    """Rounds of faults from `names`, each after a moment of peace; returns how many."""
    end = time.monotonic() + seconds if seconds else None
    deck, done = Deck(names, world.seed), 0
    while (rounds is None or done < rounds) and (end is None or time.monotonic() < end):
        world.pause(0.4)
        world.check_alive()
        world.draw_node()
        name = deck.draw()
        world.log.note(f"round {done}: {name}")
        if say:
            say(f"round {done}: {name}, {world.log.acks} acks so far")
        ALL[name](world)
        world.await_progress()
        done += 1
        if done & (done - 1) == 0:  # 1, 2, 4 …: of the eight slots, 200 rounds take all
            world.turn_log()
    return done


def run_kind(postgres, name, seed, folder, is_full, amount=None, say=None):
    """A run of one kind on a world of its own: (rounds, the checker's figures)."""
    kind = KINDS[name]
    amount = amount or (kind.full if is_full else kind.short)
    limit = {"rounds": amount} if isinstance(amount, int) else {"seconds": amount}
    database = postgres.create_database("examples")
    world = World(postgres, database, seed, folder,
                  stop_s=FULL_STOP_S if is_full else SHORT_STOP_S, **kind.world)
    try:
        world.start()
        rounds = torment(world, kind.faults, say=say, **limit)
        figures = world.verify()
    except BaseException:
        for server in world.servers:
            print(f"---- log of the server on port {server.port}\n{server.log()[-8000:]}")
        raise
    finally:
        world.close()
    postgres.drop_database(database)
    return rounds, figures
