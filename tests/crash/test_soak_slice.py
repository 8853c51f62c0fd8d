"""A short soak.  The long one is `python -m tests.crash.soak`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import SystemRandom

import pytest

from tests.crash.soak import ENOUGH, Plan, Sample, Soak

QUARTER = ENOUGH
STEADY = Sample(30_000_000, 32_000_000, 16, 24, 20_000_000, 5_000_000)


@pytest.mark.crash
def test_every_job_ends_once_and_descriptors_do_not_grow(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    plan = Plan(jobs=6000, seed=seed, children=2, recycle=200)
    found = Soak(plan, tmp_path, print).run()
    assert not found.broken, f"seed {seed}: {found.figures}"
    assert sum(found.figures["verdicts"].values()) == plan.jobs
    assert found.figures["children killed"]


def judged(tmp_path: Path, last: Sample) -> set[str]:
    """Return what is said of samples of which only the last quarter is different."""
    soak = Soak(Plan(jobs=0), tmp_path, print)
    soak.samples = [STEADY] * (3 * QUARTER) + [last] * QUARTER
    return {name for name, found in soak.growths() if found}


def test_what_stays_as_it_is_does_not_grow(tmp_path: Path) -> None:
    assert judged(tmp_path, STEADY) == set()


@pytest.mark.parametrize(
    ("field", "factor"),
    [("supervisor", 1.04), ("consumer", 1.04), ("file", 1.3), ("wal", 1.3)],
)
def test_what_grows_is_noticed(tmp_path: Path, field: str, factor: float) -> None:
    grown = replace(STEADY, **{field: int(getattr(STEADY, field) * factor)})
    assert judged(tmp_path, grown) == {f"{field} grows"}


@pytest.mark.parametrize("field", ["supervisor_fds", "consumer_fds"])
def test_a_descriptor_more_is_noticed(tmp_path: Path, field: str) -> None:
    grown = replace(STEADY, **{field: getattr(STEADY, field) + 1})
    assert judged(tmp_path, grown) == {f"{field} grows"}


def test_a_large_wal_is_noticed(tmp_path: Path) -> None:
    soak = Soak(Plan(jobs=0), tmp_path, print)
    soak.samples = [replace(STEADY, wal=70 << 20)] * (4 * QUARTER)
    assert {name for name, found in soak.growths() if found} == {"WAL too large"}
