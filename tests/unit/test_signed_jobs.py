"""What a signature binds the arguments of a job to: its id and its task, however it was sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from litequeue.job import Job
from tests.unit.bench import Bench


def by_itself(bench: Bench) -> None:
    bench.app.tasks["t"].delay(1)


def with_others(bench: Bench) -> None:
    bench.app.enqueue_many([(bench.app.tasks["t"], (1,))])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    signed = {"task_serializer": "signed", "result_serializer": "signed"}
    bench = Bench(tmp_path, accept_content=["signed"], security_key="k" * 32, **signed)
    bench.task(lambda x: x)
    bench.app.task(name="other")(lambda x: x)
    return bench


@pytest.fixture(params=[by_itself, with_others])
def job(bench: Bench, request: pytest.FixtureRequest) -> Job:
    send: Callable[[Bench], None] = request.param
    send(bench)
    return bench.outbox.job


def test_a_job_runs_as_what_it_was_sent(bench: Bench, job: Job) -> None:
    assert bench.execute("t", id=job.id, body=job.body).state == "SUCCESS"


@pytest.mark.parametrize(("task", "id"), [("t", "another-id"), ("other", None)])
def test_no_other_job_runs_with_its_arguments(
    bench: Bench, job: Job, task: str, id: str | None
) -> None:
    outcome = bench.execute(task, id=id or job.id, body=job.body)
    assert outcome.failure is not None
    assert outcome.failure.type == "SecurityError"
    assert outcome.failure.message.startswith("the arguments cannot be read: ")
