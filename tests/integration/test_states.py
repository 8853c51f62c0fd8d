"""States of a job's own, seen from another process while it runs, and gone with its verdict."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.integration.apps.record import Record
from tests.integration.apps.telling import app, loud, quiet, stale, tells_request, untracked, work
from tests.integration.processes import Site, Worker, resume, suspend

APP = "tests.integration.apps.telling:app"
HALF = {"done": 50, "try": 0}


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


def row(site: Site, id: str) -> dict[str, Any]:
    with closing(sqlite3.connect(f"file:{site.path}?mode=ro", uri=True)) as file:
        file.row_factory = sqlite3.Row
        return dict(file.execute("SELECT * FROM litequeue_job WHERE id = ?", (id,)).fetchone())


def test_a_state_of_its_own_lasts_until_the_verdict(site: Site, facts: Record) -> None:
    worker = site.worker(app=APP, children=1)
    for ends in ("well", "fail", "retry", "ignore"):
        watch_one_job(site, facts, worker, ends)


def watch_one_job(site: Site, facts: Record, worker: Worker, ends: str) -> None:
    result = work.delay(ends, ends)
    facts.wait_for("halfway", name=ends)
    assert (result.state, result.info) == ("PROGRESS", HALF)
    wait_until(lambda: row(site, result.id)["started"] is not None)
    assert row(site, result.id)["pid"] == worker.children()[0]
    assert (result.state, result.info) == ("PROGRESS", HALF), "STARTED does not overwrite it"
    assert not result.ready()
    site.open_gate(f"{ends}-0")
    if ends == "retry":
        wait_until(lambda: result.state == "RETRY")
        assert isinstance(result.info, OSError)
        facts.wait_for("halfway", 2, name=ends)
        assert result.info == {"done": 50, "try": 1}
        site.open_gate("retry-1")
    result.get(timeout=10, propagate=False)
    expected: dict[str, Any] = {"well": "SUCCESS", "retry": "SUCCESS"}
    assert result.state == expected.get(ends, "FAILURE")
    if ends in expected:
        assert result.result == ends
    elif ends == "fail":
        assert isinstance(result.result, ValueError)
    else:
        assert row(site, result.id)["result"] == '{"mine":"own"}'


def test_a_state_of_its_own_goes_with_its_attempt(site: Site, facts: Record) -> None:
    """Its child is killed: the job is as it was sent, until it tells of itself again."""
    worker = site.worker(app=APP, children=1)
    result = work.delay("job")
    (first,) = facts.wait_for("halfway")
    consumer = worker.consumer()
    suspend(worker.supervisor)  # so that no child takes its place yet
    suspend(consumer)
    os.kill(first["pid"], signal.SIGKILL)
    assert result.state == "PROGRESS"
    resume(consumer)
    resume(worker.supervisor)
    facts.wait_for("halfway", 2)
    assert result.state == "PROGRESS"
    worker.kill_all()
    other = site.worker("-Q", "none", app=APP, children=1)
    wait_until(lambda: row(site, result.id)["phase"] == "ready")
    assert (result.state, result.info) == ("PENDING", None)
    assert row(site, result.id)["started"] is None
    assert other.stop() == 0


def test_a_stale_attempt_tells_nothing(site: Site, facts: Record) -> None:
    """A worker that was taken for dead wakes up: its child still runs, and owns nothing."""
    site.worker(app=APP, children=1)
    result = stale.delay("job")
    facts.wait_for("holds")
    with closing(sqlite3.connect(site.path, isolation_level=None)) as file:
        file.execute("UPDATE litequeue_job SET token = token + 1 WHERE id = ?", (result.id,))
    site.open_gate("job")
    facts.wait_for("told")
    assert result.state in ("RECEIVED", "STARTED", "PENDING")
    assert result.info is None
    site.open_gate("job-end")


def test_a_job_is_not_shown_as_started_when_its_task_says_so(site: Site, facts: Record) -> None:
    site.worker(app=APP, children=2)
    result, tracked = untracked.delay("job"), work.delay("other")
    facts.wait_for("running")
    facts.wait_for("halfway")
    # Both are looked at together: once the other is marked, this one has been seen, too.
    wait_until(lambda: row(site, tracked.id)["started"] is not None)
    assert (row(site, result.id)["state"], row(site, result.id)["started"]) == ("RECEIVED", None)
    site.open_gate("job")
    site.open_gate("other-0")
    assert result.get(timeout=10) is None
    assert row(site, result.id)["started"] is not None, "the verdict says when it began"


def test_a_call_may_ignore_its_result_and_a_task_that_does_may_keep_it(site: Site) -> None:
    site.worker(app=APP, children=1)
    kept, ignored = loud.delay(), loud.apply_async(ignore_result=True)
    dropped, wanted = quiet.delay(), quiet.apply_async(ignore_result=False)
    found = [each.get(timeout=10) for each in (kept, ignored, dropped, wanted)]
    assert found == ["something", None, None, "something"]
    assert {row(site, each.id)["state"] for each in (kept, ignored, dropped, wanted)} == {"SUCCESS"}
    assert row(site, ignored.id)["result"] is None


def test_headers_and_shadow_arrive(site: Site) -> None:
    site.worker(app=APP, children=1)
    result = tells_request.apply_async(
        headers={"tenant": "acme"}, shadow="in disguise", ignore_result=False
    )
    assert result.get(timeout=10) == {
        "headers": {"tenant": "acme"}, "shadow": "in disguise", "tenant": "acme",
        "ignore_result": False,
    }  # fmt: skip
