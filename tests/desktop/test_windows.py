"""The desktop examples, with a pointer that clicks and eyes that read what their windows show."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.desktop.conftest import EXAMPLES, ROOT, Desk, Window

pytestmark = pytest.mark.desktop

BOTH = ["desktop_tk", "desktop_qt"]
STANDSTILL = 2.0
"""Seconds that a window may stand still on a machine that does other things as well.

One that waits for the file, or for a job, stands still for much longer.
"""


def rows(desk: Desk, query: str) -> list[Any]:
    connection = sqlite3.connect(desk.path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def states(desk: Desk) -> list[str]:
    return [state for (state,) in rows(desk, "SELECT state FROM litequeue_jobs ORDER BY rowid")]


def shows(window: Window, fact: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Wait until the window shows something; return all that it shows."""
    seen: list[dict[str, Any]] = []

    def look() -> bool:
        seen.append(window.look())
        return bool(fact(seen[-1]))

    wait_until(look, 30.0)
    return seen[-1]


def test_both_do_the_same_jobs() -> None:
    one, other = ((EXAMPLES / example / "jobs.py").read_text() for example in BOTH)
    assert one == other


@pytest.mark.parametrize("example", BOTH)
class TestWindow:
    def test_it_shows_progress_and_results(self, desk: Desk, files: Path, example: str) -> None:
        with (files / "holiday.mkv").open("wb") as file:
            file.truncate(1_500_000_000)
        window = desk.open(example, files)
        window.press("start")
        shown = shows(window, lambda shown: "%" in shown["files"].get("holiday.mkv", ""))
        assert shown["buttons"]["start"] is None
        shows(window, lambda shown: shown["shares"][-1] > 0.9)
        picture(desk, window, example)
        shown = shows(window, lambda shown: shown["status"] == "6 of 6 files, finished")
        for path in files.glob("*.txt"):
            assert shown["files"][path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert shown["shares"] == sorted(shown["shares"])
        assert len(shown["shares"]) > 8, "the bar moves while the large file is read"
        assert shown["shares"][-1] == 1.0
        assert shown["buttons"]["cancel"] is None
        assert shown["buttons"]["start"] is not None
        assert shown["stood_still"] < STANDSTILL
        assert window.close() == 0
        assert window.log.read_text() == ""

    def test_cancel_ends_what_waits_and_what_runs(
        self, desk: Desk, large_files: Path, example: str
    ) -> None:
        window = desk.open(example, large_files)
        window.press("start")
        shows(window, lambda shown: any("%" in words for words in shown["files"].values()))
        window.press("cancel")
        shown = shows(window, lambda shown: "finished" in shown["status"])
        assert set(shown["files"].values()) == {"cancelled"}
        assert states(desk) == ["REVOKED"] * 8
        assert window.close() == 0

    def test_closing_the_window_ends_everything(
        self, desk: Desk, large_files: Path, example: str
    ) -> None:
        window = desk.open(example, large_files)
        window.press("start")
        shows(window, lambda shown: any("%" in words for words in shown["files"].values()))
        assert window.close() == 0
        assert states(desk) == ["REVOKED"] * 8
        assert rows(desk, "SELECT * FROM litequeue_worker") == []

    def test_a_locked_file_does_not_hold_the_window_up(
        self, desk: Desk, files: Path, example: str
    ) -> None:
        window = desk.open(example, files)
        shows(window, lambda shown: shown["working"])
        other = sqlite3.connect(desk.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        window.press("start")
        waiting = shows(window, lambda shown: set(shown["files"].values()) == {"waiting"})
        window.press("cancel")  # it can be pressed meanwhile
        assert rows(desk, "SELECT * FROM litequeue_jobs") == []
        other.execute("COMMIT")
        other.close()
        shown = shows(window, lambda shown: "finished" in shown["status"])
        assert max(waiting["stood_still"], shown["stood_still"]) < STANDSTILL
        assert window.close() == 0

    def test_of_many_windows_one_works_and_another_takes_over(
        self, desk: Desk, files: Path, large_files: Path, example: str
    ) -> None:
        first = desk.open(example, large_files)
        shows(first, lambda shown: shown["working"])
        second = desk.open(example, files)
        second.press("start")
        shows(second, lambda shown: shown["status"] == "5 of 5 files, finished")
        assert not second.look()["working"], "the first did it all"
        assert len(rows(desk, "SELECT * FROM litequeue_worker")) == 1
        first.press("start")
        shows(first, lambda shown: any("%" in words for words in shown["files"].values()))
        first.kill()
        wait_until(lambda: second.look()["working"])
        # The jobs of the killed window are taken over, too, and given back in the end.
        wait_until(lambda: states(desk).count("PROGRESS") == 2)
        assert second.close() == 0
        assert sorted(states(desk)) == ["PENDING"] * 8 + ["SUCCESS"] * 5


def picture(desk: Desk, window: Window, example: str) -> None:
    """Take the picture of the documentation, where it is asked for."""
    image = desk.screen.picture(window.frame)
    assert len(image.getcolors(1 << 20) or ()) > 8, "there is something to be seen"
    folder = os.environ.get("DESKTOP_IMAGES")
    if folder:
        image.quantize(32).save(ROOT / folder / f"{example}.png", optimize=True)
