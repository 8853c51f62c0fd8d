"""A worker in front of a file that an enemy writes to: it stays up, and runs what it should."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from litequeue.worker import liveness
from tests.conftest import wait_until
from tests.hostile import rows
from tests.hostile.rows import HOME, Row
from tests.integration.processes import Site, is_alive

pytestmark = pytest.mark.timeout(240)

SEED: Final = int(os.environ.get("HOSTILE_SEED", "20241121"))
HOSTILE: Final = 1_000
GOOD: Final = 200
BOUND: Final = 90.0
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


@pytest.fixture(scope="module")
def battle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Battle]:
    site = Site(tmp_path_factory.mktemp("battle"))
    canary = site.folder / "canary-imported"
    site.write("hostile_canary.py", f"open({str(canary)!r}, 'w').close()\n")
    try:
        yield fight(site)
    finally:
        site.close()


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


def test_no_process_of_the_worker_ended(battle: Battle) -> None:
    before, after = battle.pids
    assert after == before, battle.site.workers[0].said()[-5000:]
    assert all(is_alive(pid) for pid in before)


def test_all_good_jobs_ended_well_in_time(battle: Battle) -> None:
    found = battle.query("SELECT id, state, result FROM litequeue_job WHERE id GLOB 'good-*'")
    assert {id: (state, result) for id, state, result in found} == {
        id: ("SUCCESS", str(2 * x)) for id, x in battle.good.items()
    }
    assert battle.seconds < BOUND


def test_nothing_ran_that_should_not(battle: Battle) -> None:
    names = dict(battle.query("SELECT id, task FROM litequeue_job"))
    for line in battle.site.journal.path.read_text().splitlines():
        ran, id = json.loads(line)
        assert ran == names[id]
    assert sorted(path.name for path in battle.site.folder.glob("canary-*")) == []
    assert sorted(Path.cwd().glob("canary-*")) == []


def test_only_jobs_that_may_run_did(battle: Battle) -> None:
    seqs = {id: seq for seq, id in battle.query("SELECT seq, id FROM litequeue_job")}
    ran = {json.loads(line)[1] for line in battle.site.journal.path.read_text().splitlines()}
    for id in ran & seqs.keys():
        row = battle.rows.get(int(str(seqs[id])))
        assert row is None or row.kind == "wrong arguments" or rows.SUCCESS in row.ends, row


def test_every_hostile_row_ended_where_it_may_and_says_why(battle: Battle) -> None:
    found = {
        seq: (phase, state, message)
        for seq, phase, state, message in battle.query(
            "SELECT seq, phase, state, (SELECT max(message) FROM litequeue_error AS error "
            "WHERE error.job = job.seq) FROM litequeue_job AS job"
        )
    }
    wrong = Counter[object]()
    for seq, row in battle.rows.items():
        phase, state, message = found.get(seq, ("gone", "", ""))
        end = f"{phase}/{state}" if phase == "done" else str(phase)
        fits = end in row.ends or (
            row.ends is rows.STAYS and phase == row.job.get("phase", "ready")
        )
        if not fits or (end == rows.FAILURE and row.ends is not rows.STAYS and not message):
            wrong[row.kind, end, message if fits else str(row.job)[:150] + str(row.body)[:50]] += 1
    assert not wrong, "\n".join(map(str, wrong.most_common(50)))


def test_a_process_that_a_row_calls_a_dead_worker_is_left_alone(battle: Battle) -> None:
    assert is_alive(battle.innocent)


def test_the_log_holds_nothing_that_a_terminal_obeys(battle: Battle) -> None:
    said = battle.site.workers[0].log.read_bytes().decode()
    strange = {letter for letter in said if not letter.isprintable() and letter != "\n"}
    assert strange == set()


def test_the_file_is_whole(battle: Battle) -> None:
    assert battle.query("PRAGMA integrity_check") == [("ok",)]


def test_without_a_name_no_app_is_chosen(battle: Battle) -> None:
    done = battle.site.run("-m", "litequeue", "worker", str(battle.site.path))
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert not (battle.site.folder / "canary-imported").exists()
    assert os.getpid()
