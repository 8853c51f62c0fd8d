"""SIGKILL before every SQL statement of workflows: no step is lost, none runs before its time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from litequeue.exceptions import DuplicateJob
from litequeue.store import Database, audit, jobs, workflows
from tests.crash import flow_sweep, sweep
from tests.crash.flow_sweep import SCENARIOS, WORKER
from tests.store.flows import options, returns_its_id, run, states_of
from tests.store.steps import KEEP, NOW, enlist, problems, rows, step

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

MOST = 1_500
GIVEN = {
    "b": '"a"', "d": '"c"', "e": '"c"', "f": ['"d"', '"e"'], "y": ['"b"', '"f"', '"g"'], "z": '"y"',
}  # fmt: skip

VERDICTS = {"hand_on": flow_sweep.hands_on}


def check(path: Path, scenario: str, told: list[str]) -> None:
    """Hold the file against what was acknowledged, then have somebody else go on."""
    assert problems(path) == []
    states = dict(rows(path, "SELECT seq, state FROM litequeue_job"))
    if "again" not in told:
        for _, seq, state in (line.split() for line in told if line.startswith("settled ")):
            is_another = state == "RETRY"  # what it became has a state of its own
            assert is_another or states[int(seq)] == state, "a verdict that was told of is lost"
    stored = {id for (id,) in rows(path, "SELECT id FROM litequeue_job")}
    assert "z" in stored or "stored" not in told, "a workflow that was told of is lost"
    go_on(path, scenario)
    assert problems(path) == []


def go_on(path: Path, scenario: str) -> None:
    """Store it again, as who was cut off does, and run another worker."""
    database = Database(path)
    enlist(database, WORKER)
    with database.write(durable=False) as connection:
        connection.execute(
            "UPDATE litequeue_job SET phase = 'ready', state = 'PENDING', owner = NULL,"
            " token = NULL WHERE phase = 'leased'"
        )
    chunk = flow_sweep.CHUNK if scenario == "store_in_chunks" else workflows.CHUNK
    workflows.insert(database, flow_sweep.plan(), NOW, chunk=chunk)
    run(database, verdict=VERDICTS.get(scenario, returns_its_id))
    step(database)
    found = states_of(database)
    if scenario == "fail" and found["a"] == "FAILURE":
        assert found["z"] == "FAILURE"
        jobs.rerun(database, "a", now=NOW, keep=KEEP)
        run(database)
        found = states_of(database)
    if scenario == "revoke" and found["c"] == "REVOKED":
        assert {found[id] for id in "def"} == {"REVOKED"}
        assert {found[id] for id in "yz"} == {"FAILURE"}
        assert found["x"] == "SUCCESS"
        return
    errback = found.pop("x")
    assert errback in ("IGNORED", "SUCCESS") if scenario == "fail" else errback == "IGNORED"
    assert set(found.values()) == {"SUCCESS"}, "a step that never runs"
    given = dict(GIVEN)
    if scenario == "hand_on":
        new = sorted(found.keys() - given.keys() - set("acg"))
        assert len(new) == 2, "what a job handed on is there twice"
        given["b"] = f'"{new[0]}"'
        given["y"] = [*GIVEN["y"], f'"{new[1]}"']
    if scenario != "fail":
        twice = "SELECT job FROM litequeue_verdict GROUP BY job HAVING count(*) > 1"
        assert rows(path, twice) == [], "two verdicts of one run"
    for id, value in given.items():
        assert options(database, id).get("given") == value
    assert rows(path, "SELECT id FROM litequeue_job WHERE claims = 0 AND id <> 'x'") == []
    database.close()


def sweep_over(
    tmp_path: Path,
    scenario: str,
    plant: Callable[[], None] | None = None,
    *,
    every: int = 1,
    first: int = 1,
) -> int:
    """Kill before statement ``first``, … until the victim gets through; return how many it has."""
    original = tmp_path / "original.sqlite"
    worker = Database(original, create=True)
    audit.keep_ledger(worker)
    enlist(worker, WORKER)
    worker.close()
    content = original.read_bytes()
    for number in sweep.moments(MOST, every)[first - 1 :]:
        path = tmp_path / str(number) / "jobs.sqlite"
        path.parent.mkdir()
        path.write_bytes(content)
        told = sweep.run_victim(flow_sweep.Victim, path, scenario, number, plant)
        assert not [line for line in told if line.startswith("error")], told
        check(path, scenario, told)
        if "finished" in told:
            return number - 1
    pytest.fail(f"{scenario} did not end within {MOST} statements")


@pytest.mark.parametrize(
    "every",
    [pytest.param(10, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_before_any_statement_neither_loses_nor_doubles(
    tmp_path: Path, scenario: str, every: int
) -> None:
    """Other statements in each run, all of them with -m slow."""
    assert sweep_over(tmp_path, scenario, every=every) > 30


@pytest.mark.parametrize(
    ("plant", "scenario", "first"),
    [
        (flow_sweep.taken_before_it_is_done, "work", 78),
        pytest.param(flow_sweep.released_before_it_is_given, "work", 82, marks=pytest.mark.slow),
        (flow_sweep.sealed_too_early, "store_in_chunks", 22),
        (flow_sweep.handed_on_before_it_is_settled, "hand_on", 145),
        pytest.param(
            flow_sweep.becomes_another_before_that_is_stored, "hand_on", 112, marks=pytest.mark.slow
        ),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_sweep_catches(tmp_path: Path, plant: Any, scenario: str, first: int) -> None:
    """It looks near ``first`` to begin with, and everywhere if the statements have moved."""

    def look() -> None:
        for name, start in (("near", first), ("everywhere", 1)):
            (tmp_path / name).mkdir()
            sweep_over(tmp_path / name, scenario, plant, first=start)

    with pytest.raises((AssertionError, DuplicateJob)):
        look()
