"""What beat says of its decisions."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from litequeue.beat.sender import Beat
from litequeue.store import Database, Keep, entries
from tests.conftest import FakeClock
from tests.store.beat_steps import line


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "jobs.sqlite", create=True)


@pytest.fixture
def beat(database: Database, clock: FakeClock) -> Beat:
    return Beat(database, clock, keep=Keep(success=1.0, failure=1.0), sent=lambda fired: None)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "litequeue.beat")
    return caplog


@pytest.mark.parametrize(("misfire", "count"), [("one", 1), ("all", 3), ("skip", 0)])
def test_what_was_missed(
    database: Database,
    clock: FakeClock,
    beat: Beat,
    said: pytest.LogCaptureFixture,
    misfire: str,
    count: int,
) -> None:
    entries.add(database, line(misfire=misfire, catch_up=3, grace=None), clock.now())
    clock.advance(10)
    beat.run(1)
    assert "missed" not in said.text
    entries.change(database, "nightly", {"grace": 2.0} if misfire == "skip" else {}, clock.now())
    clock.advance(1_005)
    beat.run(1)
    assert f"nightly has missed ticks since 2023-11-14T22:13:40Z; of these {count} sent" in (
        said.text
    )


def test_an_entry_that_goes_over_to_another_app(
    database: Database, beat: Beat, said: pytest.LogCaptureFixture
) -> None:
    beat.define("web:app", [line("lights")])
    beat.run(1)
    assert "1 added, 0 changed, 0 removed" in said.text
    beat.define("two:app", [line("lights", 20.0)])
    beat.run(1)
    assert "the entry lights was of web:app, and is of two:app now" in said.text


def test_an_entry_that_people_have_is_theirs(
    database: Database, clock: FakeClock, beat: Beat, said: pytest.LogCaptureFixture
) -> None:
    entries.add(database, line("lights"), clock.now())
    beat.define("web:app", [line("lights", 20.0)])
    beat.run(1)
    assert "the entry lights of the code is not used: people have added" in said.text
