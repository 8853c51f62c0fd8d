"""How far something is, in numbers and on the terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from litequeue.canvas import Signature
from litequeue.exceptions import JobNotFound
from litequeue.flow import Group
from litequeue.progress import watch
from litequeue.result import AsyncResult, EagerResult, GroupResult, Progress, ResultSet
from litequeue.result.progress import progress_of_all, progress_of_counts, progress_of_group
from tests.unit.homes import Home

SOME = Progress(total=10, ended=4, succeeded=3, failed=1, running=2, waiting=4, fraction=0.4)


def test_jobs_are_counted_by_what_they_do() -> None:
    counts = {
        (True, "SUCCESS"): 3, (True, "REVOKED"): 1, (False, "STARTED"): 1, (False, "PROGRESS"): 1,
        (False, "PENDING"): 2, (False, "RECEIVED"): 1, (False, "RETRY"): 1,
    }  # fmt: skip
    assert progress_of_counts(counts) == SOME


def test_nothing_to_do_is_all_done() -> None:
    assert progress_of_counts({}) == Progress(0, 0, 0, 0, 0, 0, 1.0)


def test_a_group_tells_from_its_own_books() -> None:
    assert progress_of_group(Group("g", 10, 6, 1, "fail", None, 2)) == SOME


def test_several_are_one() -> None:
    whole = progress_of_all([SOME, SOME], part=1)
    assert (whole.total, whole.ended, whole.running, whole.fraction) == (20, 8, 4, 0.45)


def job(home: Home, **meta: Any) -> Progress:
    home.put("a", "PROGRESS", meta)
    return home.result("a").progress()


def test_a_job_alone_counts_what_it_says_of_itself() -> None:
    home = Home()
    assert job(home, current=3, total=10) == Progress(10, 3, 3, 0, 0, 7, 0.3)
    assert job(home, current=30, total=10) == Progress(10, 10, 10, 0, 0, 0, 1.0)
    for meta in ({"current": 3}, {"current": "3", "total": 10}, {"current": 3, "total": 0}, {}):
        assert job(home, **meta) == Progress(1, 0, 0, 0, 1, 0, 0.0)
    home.put("a", "PROGRESS", [3, 10])
    assert home.result("a").progress().total == 1
    home.put("a", "SUCCESS", {"current": 3, "total": 10})
    assert home.result("a").progress() == Progress(1, 1, 1, 0, 0, 0, 1.0)
    with pytest.raises(JobNotFound, match="nobody"):
        home.result("nobody").progress()


def test_eager_results_have_ended() -> None:
    done, failed = EagerResult("a", 1, "SUCCESS"), EagerResult("b", ValueError(), "FAILURE")
    assert done.progress() == Progress(1, 1, 1, 0, 0, 0, 1.0)
    inner = GroupResult[Any]("g", [done, failed], app=Home())
    assert ResultSet([done, inner], app=Home()).progress() == Progress(3, 3, 2, 1, 0, 0, 1.0)


class Watched(AsyncResult[str]):
    """A result that ends after some looks."""

    name = "tasks.[all]"

    def __init__(self, *looks: Progress, error: Exception | None = None) -> None:
        super().__init__("w")
        self.looks = list(looks)
        self.error = error
        self.asked: dict[str, Any] = {}

    def progress(self) -> Progress:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def get(  # type: ignore[override]  # as watch() calls it
        self, timeout: float | None, *, on_interval: Callable[[], object], **options: Any
    ) -> str:
        self.asked = {"timeout": timeout, **options}
        while len(self.looks) > 1:
            on_interval()
        if self.error is not None:
            raise self.error
        return "value"


DONE = Progress(10, 10, 9, 1, 0, 0, 1.0)


def console(*, is_terminal: bool = False) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=is_terminal,
        width=100,
        color_system=None,
        legacy_windows=False,
    )


def shown(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def test_without_a_terminal_there_are_lines() -> None:
    on = console()
    result = Watched(SOME, SOME, DONE)
    assert watch(result, timeout=5, console=on, every=3, propagate=False) == "value"
    assert shown(on).splitlines() == [
        "tasks.[all]: 4/10 (40%), 1 failed, 2 running",
        "tasks.[all]: 10/10 (100%), 1 failed",
    ]
    assert result.asked == {"timeout": 5, "interval": 3, "propagate": False}


def test_a_terminal_gets_a_bar() -> None:
    on = console(is_terminal=True)
    assert watch(Watched(SOME, DONE), "[bold]mine", console=on) == "value"
    text = shown(on)
    assert "[bold]mine" in text
    assert "10/10" in text
    assert "1 failed" in text


@pytest.mark.parametrize("is_terminal", [True, False])
def test_an_error_is_that_of_get(is_terminal: bool) -> None:
    on = console(is_terminal=is_terminal)
    with pytest.raises(ValueError, match="no"):
        watch(Watched(SOME, DONE, error=ValueError("no")), console=on)
    assert "10/10" in shown(on)


@pytest.mark.parametrize("what", ["an-id", None, Signature("t")])
def test_only_results_are_awaited(what: Any) -> None:
    with pytest.raises(TypeError, match="send it first"):
        watch(what)
