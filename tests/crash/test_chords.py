"""A short campaign of chords: forty, and twelve kills.  The long one is part of `make crash`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import SystemRandom
from sqlite3 import Connection

import pytest

from litequeue.store import Database
from tests.crash import checker
from tests.crash.checker import Sent
from tests.crash.chords import Campaign, Plan, judge
from tests.crash.crew import opened
from tests.crash.programs import chording
from tests.crash.table import Findings


@pytest.mark.crash
def test_callbacks_of_chords_that_are_killed_come_once(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    plan = Plan(chords=40, kills=12, hits=1, seed=seed, rate=4.0)
    findings = Campaign(plan, tmp_path, print).run()
    assert not findings.broken, f"seed {seed}: {findings.figures}"


# The judge can fail: every breach is planted once, and found.

SENT = {"chord-5": Sent(5, 0, accepted=True), "chord-8": Sent(8, 0, accepted=True)}
PLAIN = """
INSERT INTO litequeue_job (id, task, queue, phase, created)
VALUES (?, 'work', 'default', 'ready', 1)
"""
DONE = """
UPDATE litequeue_job SET phase = 'done', state = 'SUCCESS', finished = 1, result = ? WHERE id = ?
"""
FANIN = "INSERT INTO litequeue_fanin (name, policy, size, waiting) VALUES ('g', 'fail', ?, ?)"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Connection]:
    """A file under audit with two chords that went well."""
    path = tmp_path / "jobs.sqlite"
    with closing(Database(path, create=True)) as database:
        database.data_version()
    with opened(path) as connection:
        for statement in checker.AUDIT:
            connection.execute(statement)
        for id, job in SENT.items():
            others = range(chording.jobs_of(job.number) - 1)
            for each in (id, *(f"{id}-{other}" for other in others)):
                connection.execute(PLAIN, (each,))
                result = chording.list_of(job.number) if each == id else each
                connection.execute(DONE, (json.dumps(result), each))
        yield connection


def broken(file: Connection, sent: dict[str, Sent] = SENT) -> set[str]:
    findings = Findings()
    judge(file, sent, findings)
    return set(findings.broken)


def test_what_went_well_is_clean(file: Connection) -> None:
    assert broken(file) == set()


@pytest.mark.parametrize(
    ("fault", "breaches"),
    [
        ("UPDATE litequeue_job SET result = '[]' WHERE id = 'chord-5'", {"wrong lists"}),
        (
            "UPDATE litequeue_job SET result = NULL WHERE id = 'chord-8'",
            {"wrong lists"},
        ),
        ("UPDATE litequeue_job SET phase = 'done' WHERE id = 'chord-5-0'", {"completed twice"}),
        (
            "DELETE FROM litequeue_job WHERE id = 'chord-5-0'",
            {"completed twice", "other verdict", "jobs too many or too few"},
        ),
        (
            "DELETE FROM litequeue_job WHERE id = 'chord-8'",
            {"callbacks lost", "completed twice", "other verdict", "jobs too many or too few"},
        ),
        (
            PLAIN.replace("?", "'chord-5-twin'"),
            {"not finished", "verdict missing", "jobs too many or too few"},
        ),
        ("INSERT INTO litequeue_advance (job) VALUES (1)", {"left to advance"}),
        (FANIN.replace("?, ?", "0, 1"), {"groups that count wrong"}),
        (FANIN.replace("?, ?", "NULL, 0"), {"groups that count wrong"}),
        (FANIN.replace("?, ?", "2, 0"), {"groups that count wrong"}),
    ],
)
def test_a_breach_is_found(file: Connection, fault: str, breaches: set[str]) -> None:
    file.execute(fault)
    assert broken(file) == breaches


def test_a_chord_that_was_never_accepted_is_found(file: Connection) -> None:
    sent = SENT | {"chord-9": Sent(9, 0)}
    assert broken(file, sent) == {
        "never accepted", "callbacks lost", "jobs too many or too few",
    }  # fmt: skip
