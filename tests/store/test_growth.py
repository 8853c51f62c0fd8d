"""A file that has grown in one way only is worked with in as many steps as a small one.

And the files that the benchmark fills by plain SQL are such as litequeue writes.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.growth import SAME_STEPS
from benchmarks.growth_probe import BATCH, vm_steps
from benchmarks.seeding import TASK, WAYS, seed
from litequeue.store import Database, claim, jobs, maintenance, models, settle
from tests.store.steps import NOW, claim_one, problems, put, rows, step, success

FEW, MANY = 1_000, 200_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    path = tmp_path_factory.mktemp("small") / "jobs.sqlite"
    seed(path, {"waiting": FEW})
    found = vm_steps(path)
    assert min(found.values()) > 10  # they are counted
    return found


def grown(way: str, path: Path, count: int) -> dict[str, int]:
    seed(path, {way: count} if way == "waiting" else {way: count, "waiting": FEW})
    return vm_steps(path)


@pytest.mark.parametrize("way", WAYS)
def test_growth_costs_no_steps(small: dict[str, int], queue_path: Path, way: str) -> None:
    found = grown(way, queue_path, MANY)
    assert found.keys() == small.keys()
    for verb, count in found.items():
        assert count <= small[verb] * SAME_STEPS, verb


@pytest.mark.parametrize(
    ("verb", "way", "where", "name", "found", "instead"),
    [
        ("enqueue one", "finished", jobs, "ADD_JOB", "?, ?)",
         "?, (SELECT ? FROM litequeue_job ORDER BY created))"),
        (f"claim {BATCH}", "waiting", claim, "CLAIM", "AND job.queue =", "AND +job.queue ="),
        (f"claim {BATCH}", "scheduled", claim, "NEXT_DUE", "ORDER BY eta", "ORDER BY eta + 0"),
        (f"settle {BATCH}", "finished", settle, "SETTLE", "seq = ? AND", "+seq = ? AND"),
        ("a worker's duties", "parked", claim, "HAS_PARKED", "AND any.task =", "AND +any.task ="),
        ("a worker's duties", "finished", maintenance, "NEXT_PRUNE", "keep_until L",
         "keep_until + 0 L"),
    ],
    ids=["enqueue", "claim", "next due", "settle", "parked", "prune"],
)  # fmt: skip
def test_a_verb_that_is_not_flat_would_be_seen(
    small: dict[str, int],
    queue_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    way: str,
    where: ModuleType,
    name: str,
    found: str,
    instead: str,
) -> None:
    statement = getattr(where, name)
    assert found in statement
    monkeypatch.setattr(where, name, statement.replace(found, instead))
    assert grown(way, queue_path, 10 * FEW)[verb] > small[verb] * SAME_STEPS


def written(database: Database, way: str) -> None:
    """Have litequeue itself write one job."""
    if way == "scheduled":
        put(database, "real", task=TASK, eta=NOW + 100)
    elif way == "parked":
        put(database, "real", task="somebody.elses")
        step(database, limit=1)
    else:
        put(database, "real", task=TASK)
        if way == "finished":
            lease = claim_one(database, tasks=frozenset({TASK}))
            step(database, success(lease, "12345", started=NOW, runtime=0.1))


@pytest.mark.parametrize("way", WAYS)
def test_a_seeded_row_looks_like_one_that_litequeue_wrote(queue_path: Path, way: str) -> None:
    seed(queue_path, {way: 100})
    database = Database(queue_path)
    written(database, way)
    database.close()
    names = [field.column_name for field in models.Job._meta.sorted_fields]
    alike = ["phase", "state", "task", "queue", "claims"]
    kinds = ", ".join([*alike, *(f"typeof({name})" for name in names), "length(id) = 36"])
    shape = f"SELECT DISTINCT {kinds} FROM litequeue_job"
    seeded = rows(queue_path, f"{shape} WHERE id <> 'real'")
    (real,) = rows(queue_path, f"{shape} WHERE id = 'real'")
    assert seeded == [(*real[:-1], True)]
    assert problems(queue_path) == []
