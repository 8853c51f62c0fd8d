"""The limit: what raw SQLite can do for a job queue's rows on this machine and this disk.

One table and one INSERT per job; one writer that settles and claims in groups, two forked children
fed over one socket pair, a datagram as a bell in each direction. It has no retries, no fencing, no
second queue and no recovery: it promises nothing, and that is what makes it a limit.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sqlite3
import sys
import time
from pathlib import Path

CHILDREN = 2
GROUP = 64
"""Jobs held by the writer, at most."""
AHEAD = CHILDREN * 16
"""Jobs handed to the children, at most."""
LOW = CHILDREN * 4
"""With so few left in their hands the children come first and the outcomes later."""

SCHEMA = """
CREATE TABLE job (
    id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, task TEXT, args BLOB, status INT DEFAULT 0,
    prio INT DEFAULT 0, eta REAL DEFAULT 0, lease REAL, result BLOB, queue TEXT, created REAL,
    started REAL, finished REAL
);
CREATE INDEX waiting ON job (queue, prio, eta, id) WHERE status = 0;
"""
INSERT = "INSERT INTO job (uuid, task, args, queue, created) VALUES (?, ?, ?, ?, ?)"
CLAIM = """
UPDATE job SET status = 1, lease = ?, started = ? WHERE id IN (
    SELECT id FROM job WHERE status = 0 AND queue = 'default' AND eta <= ?
    ORDER BY prio, eta, id LIMIT ?
) RETURNING id, task, args
"""
SETTLE = "UPDATE job SET status = 2, result = ?, finished = ? WHERE id = ? AND status = 1"
RESULT = "SELECT result FROM job WHERE uuid = ? AND status = 2"


def connect(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "limit.sqlite", isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


class Bell:
    """A datagram socket that this process sleeps on; `ring` wakes whoever sleeps on another one."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path.unlink(missing_ok=True)
        self.socket.bind(str(path))
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._out.setblocking(False)

    def ring(self, path: str) -> None:
        try:
            self._out.sendto(b"x", path)
        except (BlockingIOError, FileNotFoundError, ConnectionRefusedError):
            pass  # rung already, or nobody sleeps there


def pair() -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return ends


def run_jobs(jobs: socket.socket, outcomes: socket.socket) -> None:
    """Be a child: say that a job began, run it, send its result; end when the writer is gone."""
    while message := jobs.recv(65536):
        number, _task, arguments = json.loads(message)
        moment = time.monotonic_ns()
        outcomes.send(b"S%d %d" % (number, os.getpid()))
        json.loads(arguments)
        outcomes.send(b"D%d " % number + json.dumps([3, moment]).encode())


class Writer:
    """The one process with the file: gathers outcomes, settles and claims, hands jobs out."""

    def __init__(self, folder: Path, jobs: socket.socket, outcomes: socket.socket) -> None:
        self.bell = Bell(folder / "writer.bell")
        self.client = str(folder / "client.bell")
        self.connection = connect(folder)
        self.jobs, self.outcomes = jobs, outcomes
        jobs.setblocking(False)
        outcomes.setblocking(False)
        self.held: list[tuple[int, str, str]] = []
        self.done: list[tuple[bytes, float, int]] = []
        self.flying = 0
        self.empty = False

    def step(self) -> None:
        self.gather()
        if self.done or not (self.held or self.empty):
            self.settle_and_claim()
        self.hand_out()
        if (self.flying or self.empty) and not (self.held and self.flying < LOW):
            self.sleep()

    def gather(self) -> None:
        try:
            while True:
                message = self.outcomes.recv(65536)
                if message[:1] == b"D":
                    number, _, result = message[1:].partition(b" ")
                    self.done.append((result, time.time(), int(number)))
                    self.flying -= 1
        except BlockingIOError:
            pass

    def settle_and_claim(self) -> None:
        now, room, settled = time.time(), GROUP - len(self.held), len(self.done)
        self.connection.execute("BEGIN IMMEDIATE")
        if settled:
            self.connection.executemany(SETTLE, self.done)
            self.done = []
        if room >= GROUP // 2 and not self.empty:
            rows = self.connection.execute(CLAIM, (now + 60, now, now, room)).fetchall()
            self.held += sorted(rows)
            self.empty = not rows
        self.connection.execute("COMMIT")
        if settled:
            self.bell.ring(self.client)

    def hand_out(self) -> None:
        try:
            while self.held and self.flying < AHEAD:
                self.jobs.send(json.dumps(self.held[0]).encode())
                self.held.pop(0)
                self.flying += 1
        except BlockingIOError:
            pass

    def sleep(self) -> None:
        ready, _, _ = select.select([self.bell.socket, self.outcomes], [], [], 1)
        if self.bell.socket in ready:
            self.bell.socket.recv(64)
            self.empty = False


def main() -> None:
    jobs, jobs_end = pair()
    outcomes, outcomes_end = pair()
    for _ in range(CHILDREN):
        if os.fork() == 0:
            jobs.close()  # or the child would never see that the writer is gone
            outcomes.close()
            run_jobs(jobs_end, outcomes_end)
            os._exit(0)
    jobs_end.close()
    outcomes_end.close()
    writer = Writer(Path(sys.argv[1]), jobs, outcomes)
    print("limit is ready", file=sys.stderr, flush=True)
    while True:
        writer.step()


if __name__ == "__main__":
    main()
