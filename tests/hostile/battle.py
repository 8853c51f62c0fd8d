"""A thousand hostile rows, two hundred good jobs, and one real worker that deals with both."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from litequeue.worker import liveness
from tests.conftest import wait_until
from tests.hostile import rows
from tests.hostile.rows import HOME, Row
from tests.integration.processes import Site, is_alive

SEED: Final = int(os.environ.get("HOSTILE_SEED", "20241121"))
HOSTILE: Final = 1_000
GOOD: Final = 200
BOUND: Final = 180.0
"""Seconds for everything: mostly the 20 MB rows and the bombs."""


@dataclass(frozen=True, slots=True)
class Battle:
    """What was written, and the worker that has dealt with it and still runs."""

    site: Site
    rows: dict[int, Row]
    good: dict[str, int]
    seconds: float
    pids: tuple[list[int], list[int]]
    """Of the worker's processes, before and after."""
    innocent: int

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return query(self.site.path, sql)


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def fight(site: Site) -> Battle:
    innocent = subprocess.Popen(["sleep", "600"], start_new_session=True)
    site._started.append(innocent)
    worker = site.worker(app=f"{HOME}:app")
    wait_until(lambda: len(worker.processes()) == 4)
    before = worker.processes()
    began = time.monotonic()
    written, good = write_everything(site, innocent.pid)
    for fact in (partial(is_settled, site.path, good), partial(has_looked_again, site.path)):
        while not fact() and is_alive(worker.supervisor) and time.monotonic() < began + BOUND:
            time.sleep(0.05)
    seconds = time.monotonic() - began
    return Battle(site, written, good, seconds, (before, worker.processes()), innocent.pid)


def write_everything(site: Site, innocent: int) -> tuple[dict[int, Row], dict[str, int]]:
    """Write 1,000 hostile rows and 200 good jobs in a mixed order, in some thirty commits."""
    rng = random.Random(SEED)
    connection = sqlite3.connect(site.path, timeout=30, isolation_level=None)
    connection.execute("PRAGMA trusted_schema = 0")
    written: dict[int, Row] = {}
    good: dict[str, int] = {}
    moments = sorted(rng.sample(range(HOSTILE), GOOD))
    stream = rows.hostile_rows(SEED, 10 * HOSTILE)
    number = 0
    connection.execute("BEGIN IMMEDIATE")
    while len(written) < HOSTILE:
        row = next(stream)
        number += 1
        seq = rows.write(connection, row, number, time.time())
        if seq is not None:
            written[seq] = row
        while moments and moments[0] <= len(written):
            moments.pop(0)
            id = f"good-{len(good)}"
            good[id] = len(good)
            connection.execute(
                "INSERT INTO litequeue_enqueue (id, task, args) VALUES (?, ?, ?)",
                (id, f"{HOME}.double", json.dumps([good[id]])),
            )
        if number % 40 == 0:
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
    rows.litter(
        connection,
        path=site.path,
        innocent=innocent,
        space=liveness._pid_namespace(),
        boot=liveness._boot_id(),
    )
    connection.execute("COMMIT")
    connection.close()
    return written, good


UNSETTLED: Final = """
SELECT count(*) FROM litequeue_job
WHERE phase = 'ready' AND queue NOT LIKE 'nowhere-%' OR phase = 'leased' AND owner BETWEEN 1 AND 499
"""


def is_settled(path: Path, good: dict[str, int]) -> bool:
    done = query(
        path, "SELECT count(*) FROM litequeue_job WHERE id GLOB 'good-*' AND phase = 'done'"
    )
    return done == [(len(good),)] and query(path, UNSETTLED) == [(0,)]


def has_looked_again(path: Path) -> bool:
    """Tell whether the late have been ended, and the dead been buried."""
    late = query(
        path,
        "SELECT 1 FROM litequeue_job WHERE phase IN ('ready', 'scheduled', 'parked') "
        f"AND queue NOT LIKE 'nowhere-%' AND expires < {time.time()}",
    )
    return (
        not late and query(path, "SELECT 1 FROM litequeue_worker WHERE id IN (500, 501, 502)") == []
    )
