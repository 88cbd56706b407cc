#!/usr/bin/env python3
"""consumer.py NAME: a consumer of the log in Python that misses nothing and takes nothing twice.

  1. LISTEN, before anything is read: whatever commits from now on will be heard of;
  2. read on, in steps of 1,000 events, until the head;
  3. wait for a notification, and go back to 2. What it says does not matter: the log has it all.

Killed at any moment, it goes on where it stopped: a step stores what it made of the events and how
far it has read in one transaction. A lost connection begins anew with 1. Where what you make of an
event is not in this database, it may happen twice: use epoch and offset as its key there.

Needs psycopg 3 (python3-psycopg of Debian 12 and 13, Ubuntu 24.04) and the tables of tables.sql;
DATABASE_URL names the database.
"""

import json
import os
import random
import select
import sys
import time

import psycopg

STEP = 1000
SILENCE_S = 60  # a connection may die without a word: read on now and then all the same

STATE = """
    SELECT p.read_to, m.epoch, penstock.floor(), penstock.head(),
        m.epoch IS DISTINCT FROM p.epoch OR p.read_to > penstock.head()
    FROM consumer_position p, penstock.meta m WHERE p.consumer = %s FOR UPDATE OF p"""


def handle(cursor, name, events):
    """What is made of the events: yours goes here. `cursor` is of the step's transaction."""
    cursor.executemany(
        'INSERT INTO consumed_event (consumer, "offset", stream, data) VALUES (%s, %s, %s, %s)',
        [(name, offset, stream, json.dumps(data)) for offset, stream, data in events])


def handle_gap(cursor, name, epoch, first, last):
    """Retention took these before they were read, or they are of a time before this consumer."""
    cursor.execute("INSERT INTO consumer_gap (consumer, epoch, first, last) VALUES (%s, %s, %s, %s)",
                   (name, epoch, first, last))


def read_step(connection, name):
    """The next events, in one transaction. True: there are more of them."""
    with connection.transaction(), connection.cursor() as cursor:
        # One snapshot: head, floor and events belong together.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # Before there is one: what it shows of the log stays.
        cursor.execute("LOCK TABLE penstock.batch IN ACCESS SHARE MODE")
        cursor.execute("INSERT INTO consumer_position (consumer) VALUES (%s) ON CONFLICT DO NOTHING",
                       (name,))
        cursor.execute(STATE, (name,))  # the lock keeps a second consumer of this name out
        read_to, epoch, floor, head, is_other_history = cursor.fetchone()
        if is_other_history:  # a new database, or one restored from a backup: its offsets are others
            read_to = 0
        if read_to < floor:
            handle_gap(cursor, name, epoch, read_to + 1, floor)
            read_to = floor
        cursor.execute('SELECT "offset", stream, data FROM penstock.events(%s, %s)', (read_to, STEP))
        events = cursor.fetchall()
        if events:
            handle(cursor, name, events)
        is_full = len(events) == STEP
        # Behind the last event up to the head there is nothing that anybody hears of.
        cursor.execute("UPDATE consumer_position SET epoch = %s, read_to = %s WHERE consumer = %s",
                       (epoch, events[-1][0] if is_full else head, name))
    return is_full


def follow(connection, name):
    """Reads on for ever; raises when the connection is lost."""
    heard = []
    connection.add_notify_handler(heard.append)
    connection.execute("LISTEN penstock")
    while True:
        heard.clear()
        while read_step(connection, name):
            pass
        if not heard:  # else one came along with an answer
            select.select([connection.fileno()], [], [], SILENCE_S)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: consumer.py NAME")
    pause = 0.1
    while True:
        try:
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
                pause = 0.1
                follow(connection, sys.argv[1])
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            print(f"consumer.py: {error}; again soon", file=sys.stderr)
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, 5)


if __name__ == "__main__":
    main()
