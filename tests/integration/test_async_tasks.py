"""`async def` tasks on real children: one event loop for all, and every end a verdict."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.apps.record import Record
from tests.integration.apps.telling import app, awaits
from tests.integration.processes import Site

APP = "tests.integration.apps.telling:app"


@pytest.fixture(autouse=True)
def _bound(site: Site) -> Iterator[None]:
    app.rebind(site.path)
    yield
    app.close()


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_the_jobs_of_a_child_share_one_event_loop(site: Site, start_method: str) -> None:
    worker = site.worker("--start-method", start_method, app=APP, children=1)
    (child,) = worker.children()
    jobs = [awaits.delay("well") for _ in range(3)]
    assert [each.get(timeout=10) for each in jobs] == [[child, 0, 1]] * 3
    seen = [fact["id"] for fact in Record(site.folder).facts("awaited")]
    assert seen == [each.id for each in jobs], "each sees the request of its own"


def test_what_one_job_left_on_the_loop_the_next_one_finds(site: Site) -> None:
    site.worker(app=APP, children=1)
    awaits.delay("leave a task").get(timeout=10)
    assert awaits.delay("look at it").get(timeout=10) == ["later"]


def test_every_end_of_a_coroutine_is_a_verdict(site: Site) -> None:
    worker = site.worker(app=APP, children=1)
    (child,) = worker.children()
    failed, retried = awaits.delay("fail"), awaits.delay("retry")
    cancelled, by_itself = awaits.delay("cancel"), awaits.delay("cancel itself")
    left = awaits.delay("exit")
    with pytest.raises(ValueError, match="as asked"):
        failed.get(timeout=10)
    assert retried.get(timeout=10) == [child, 0, 1]
    assert retried.retries == 1
    for each, kind in ((cancelled, "CancelledError"), (by_itself, "CancelledError"),
                       (left, "SystemExit")):  # fmt: skip
        each.get(timeout=10, propagate=False)
        assert each.state == "FAILURE"
        assert kind in str(each.traceback)
    assert awaits.delay("well").get(timeout=10) == [child, 0, 1], "the loop outlives them all"
    assert len(Record(site.folder).facts("awaited", id=cancelled.id)) == 1
