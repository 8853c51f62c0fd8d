"""The checker of the campaign can fail: every breach is planted once, and found."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.store import Database
from tests.crash import checker
from tests.crash.checker import Attempt, Kill, Sent
from tests.crash.programs.app import value_of
from tests.crash.table import Findings

CLEAN = {"lost", "stored twice", "sent by nobody", "not finished", "completed twice"} | {
    "verdict missing",
    "other verdict",
    "wrong value",
}


@pytest.fixture
def sent() -> dict[str, Sent]:
    return {f"job-{number}": Sent(number, 0, accepted=True) for number in range(3)}


@pytest.fixture
def file(tmp_path: Path, sent: dict[str, Sent]) -> Iterator[sqlite3.Connection]:
    """A real queue file under audit, with every job of ``sent`` completed once."""
    path = tmp_path / "jobs.sqlite"
    database = Database(path, create=True)
    database.data_version()
    database.close()
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in checker.AUDIT:
        connection.execute(statement)
    for id, job in sent.items():
        add(connection, id)
        complete(connection, id, value_of(job.number, 0))
    yield connection
    connection.close()


def add(file: sqlite3.Connection, id: str) -> None:
    file.execute("INSERT INTO litequeue_enqueue (id, task) VALUES (?, 'work')", (id,))


def complete(file: sqlite3.Connection, id: str, value: str, state: str = "SUCCESS") -> None:
    file.execute(
        "UPDATE litequeue_job SET phase = 'done', state = ?, result = ?, finished = 1 WHERE id = ?",
        (state, json.dumps(value), id),
    )


def found(file: sqlite3.Connection, sent: dict[str, Sent]) -> dict[str, list[str]]:
    return {name: ids for name, ids in checker.judge_file(file, sent).items() if ids}


def test_a_clean_file_is_clean(file: sqlite3.Connection, sent: dict[str, Sent]) -> None:
    assert set(checker.judge_file(file, sent)) == CLEAN
    assert found(file, sent) == {}
    assert checker.integrity(file) == "ok"


def test_a_lost_job_is_found(file: sqlite3.Connection, sent: dict[str, Sent]) -> None:
    sent["gone"] = Sent(9, 0, accepted=True)
    assert found(file, sent) == {"lost": ["gone"]}


def test_a_job_whose_fate_is_uncertain_may_be_absent(
    file: sqlite3.Connection, sent: dict[str, Sent]
) -> None:
    sent["maybe"] = Sent(9, 0, accepted=False)
    assert found(file, sent) == {}


def test_a_deleted_job_is_lost_and_seen_to_be_deleted(
    file: sqlite3.Connection, sent: dict[str, Sent]
) -> None:
    file.execute("DELETE FROM litequeue_job WHERE id = 'job-1'")
    assert found(file, sent) == {
        "lost": ["job-1"],
        "completed twice": ["job-1"],
        "other verdict": ["job-1"],
    }


def test_a_second_verdict_is_found(file: sqlite3.Connection, sent: dict[str, Sent]) -> None:
    complete(file, "job-2", value_of(2, 0))
    assert found(file, sent) == {"completed twice": ["job-2"]}


def test_a_verdict_that_was_taken_back_is_found(
    file: sqlite3.Connection, sent: dict[str, Sent]
) -> None:
    file.execute(
        "UPDATE litequeue_job SET phase = 'ready', finished = NULL WHERE id = 'job-0'",
    )
    assert "job-0" in found(file, sent)["completed twice"]
    assert "job-0" in found(file, sent)["not finished"]


def test_a_wrong_value_is_found(file: sqlite3.Connection, sent: dict[str, Sent]) -> None:
    file.execute("UPDATE litequeue_job SET result = '\"other\"' WHERE id = 'job-1'")
    assert found(file, sent) == {"wrong value": ["job-1"]}


def test_the_value_of_another_job_is_wrong(file: sqlite3.Connection, sent: dict[str, Sent]) -> None:
    sent["job-1"].number, sent["job-2"].number = 2, 1
    assert found(file, sent) == {"wrong value": ["job-1", "job-2"]}


def test_a_failed_job_is_found(file: sqlite3.Connection, sent: dict[str, Sent]) -> None:
    sent["poisoned"] = Sent(3, 0, accepted=True)
    add(file, "poisoned")
    complete(file, "poisoned", "", state="FAILURE")
    assert found(file, sent) == {"not finished": ["poisoned"], "other verdict": ["poisoned"]}


def test_a_job_that_still_waits_is_found(file: sqlite3.Connection, sent: dict[str, Sent]) -> None:
    sent["waiting"] = Sent(3, 0, accepted=True)
    add(file, "waiting")
    assert found(file, sent) == {"not finished": ["waiting"], "verdict missing": ["waiting"]}


def test_a_job_that_nobody_sent_is_found(file: sqlite3.Connection, sent: dict[str, Sent]) -> None:
    del sent["job-0"]
    assert found(file, sent) == {"sent by nobody": ["job-0"]}


def test_a_job_that_is_stored_twice_is_found(
    file: sqlite3.Connection, sent: dict[str, Sent]
) -> None:
    file.execute("DROP INDEX litequeue_job_id")
    add(file, "twin")
    file.execute("UPDATE litequeue_job SET id = 'job-0' WHERE id = 'twin'")
    complete(file, "job-0", value_of(0, 0))
    assert found(file, sent)["stored twice"] == ["job-0"]


def test_journals_are_read(tmp_path: Path) -> None:
    producer, runs = tmp_path / "producer", tmp_path / "runs"
    producer.write_text("? a 1 0.5 0\n! a\n? b 2 0.1 120\n")
    runs.write_text("S a 1 77 100\nS b 1 78 110\nE a 1 77 200\n")
    assert checker.read_sent([producer]) == {"a": Sent(1, 0, True), "b": Sent(2, 120, False)}
    assert checker.read_attempts(runs) == [
        Attempt("a", 1, 77, 100, 200),
        Attempt("b", 1, 78, 110, None),
    ]


def test_runs_that_overlap_are_found(sent: dict[str, Sent]) -> None:
    runs = [Attempt("job-0", 1, 7, 100, 300), Attempt("job-0", 2, 8, 299, 400)]
    runs += [Attempt("job-1", 1, 7, 500, None), Attempt("job-1", 2, 8, 501, 502)]
    breaches = checker.judge_runs(runs, sent)
    assert breaches["ran in two processes at once"] == ["job-0"]
    assert breaches["never ran"] == ["job-2"]


def test_claims_that_do_not_grow_are_found(sent: dict[str, Sent]) -> None:
    runs = [Attempt("job-0", 2, 7, 100, None), Attempt("job-0", 1, 8, 200, 201)]
    assert checker.judge_runs(runs, sent)["claims out of order"] == ["job-0"]


def test_a_kill_hits_a_job_only_while_it_runs() -> None:
    runs = [Attempt("a", 1, 7, 100, 200), Attempt("b", 1, 8, 300, None)]
    kills = [Kill("child", 7, (7,), at) for at in (50, 150, 250)]
    kills += [Kill("consumer", 1, (7, 8), 400), Kill("producer", 2, (), 150)]
    assert checker.hits(kills, runs) == [kills[1], kills[3]]


def test_rescue_is_timed_from_the_kill_to_the_next_start() -> None:
    second = 1_000_000_000
    runs = [Attempt("a", 1, 7, second, None), Attempt("a", 2, 8, 3 * second, 4 * second)]
    assert checker.rescue_times([Kill("child", 7, (7,), 2 * second)], runs) == [1.0]


def test_one_breach_spoils_it_all() -> None:
    findings = Findings()
    findings.add("lost", [])
    assert not findings.broken
    findings.add("processes left after 2 s", [4711])
    assert findings.broken == {"processes left after 2 s": ["4711"]}
