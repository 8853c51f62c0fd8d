"""How long a job waited, and how long it ran."""

from __future__ import annotations

import pytest

from litequeue.cli.jobs import ran, waited
from litequeue.store.listing import JobRow


def row(
    *,
    phase: str = "done",
    eta: float | None = None,
    started: float | None = None,
    finished: float | None = None,
    runtime: float | None = None,
) -> JobRow:
    return JobRow(
        1, "id", "t", "q", 0, phase, "S", 100.0, eta, None, started, finished, runtime,
        0, 0, None, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("job", "seconds"),
    [
        (row(phase="ready"), 50),
        (row(started=103, finished=110), 3),
        (row(eta=120, started=121), 1),
        (row(eta=90, started=121), 21),
        (row(finished=105), 5),  # revoked before it ran
        (row(phase="scheduled", eta=160), None),
        (row(phase="ready", eta=140), 10),
        (row(started=99), 0),  # somebody set the clock
    ],
)
def test_waiting_begins_when_a_job_is_due(job: JobRow, seconds: float | None) -> None:
    assert waited(job, 150.0) == seconds


@pytest.mark.parametrize(
    ("job", "seconds"),
    [
        (row(phase="ready"), None),
        (row(phase="leased", started=110), 40),
        (row(phase="leased"), None),
        (row(started=110, finished=120, runtime=9.5), 9.5),
        (row(started=110, finished=120), None),
    ],
)
def test_running_is_what_the_attempt_took(job: JobRow, seconds: float | None) -> None:
    assert ran(job, 150.0) == seconds
