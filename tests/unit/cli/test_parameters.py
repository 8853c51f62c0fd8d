"""What may be typed: durations, moments, names, states."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest

from litequeue import states
from litequeue.cli.parameters import (
    STATES,
    Duration,
    DurationOrMoment,
    Moment,
    Name,
    State,
    as_app,
    looks_like_an_app,
)
from litequeue.clock import SYSTEM


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172_800), ("250ms", 0.25),
     ("10 min", 600), (".5", 0.5)],
)  # fmt: skip
def test_a_duration(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "10 weeks", "1e9", "nan", "inf", "99999999999"])
def test_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"90s|three hundred years"):
        Duration().convert(text, None, None)


def test_a_moment_is_local_unless_it_says_otherwise() -> None:
    there = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    assert Moment().convert("2030-01-02T03:04:05Z", None, None) == there
    assert Moment().convert("2030-01-02T04:04:05+01:00", None, None) == there
    local = datetime(2030, 1, 2, 3, 4, 5).astimezone().timestamp()
    assert Moment().convert("2030-01-02 03:04:05", None, None) == local


@pytest.mark.parametrize("text", ["tomorrow", "2030-13-01", "10m"])
def test_no_moment(text: str) -> None:
    with pytest.raises(click.BadParameter, match="2030-12-31"):
        Moment().convert(text, None, None)


def test_an_expiry_is_either() -> None:
    before = SYSTEM.now()
    assert before + 600 <= DurationOrMoment().convert("10m", None, None) <= SYSTEM.now() + 600
    there = datetime(2030, 1, 2, tzinfo=UTC).timestamp()
    assert DurationOrMoment().convert("2030-01-02T00:00Z", None, None) == there


def test_a_name_is_text() -> None:
    assert Name().convert("Käse", None, None) == "Käse"
    with pytest.raises(click.BadParameter, match="UTF-8"):
        Name().convert("K\udce4se", None, None)


@pytest.mark.parametrize("name", ["FAILURE", "failure", "Failed", "waiting", "RUNNING", "done"])
def test_a_state_in_any_case(name: str) -> None:
    assert State().convert(name, None, None) == name.lower()


def test_every_state_and_phase_may_be_named() -> None:
    assert {state.lower() for state in states.ALL_STATES} | set(states.PHASES) <= STATES.keys()


def test_a_state_that_is_none_has_a_neighbour() -> None:
    with pytest.raises(click.BadParameter, match="did you mean 'failed'"):
        State().convert("faild", None, None)


@pytest.mark.parametrize(
    ("text", "app"),
    [("tasks:app", "tasks:app"), ("proj.tasks:app", "proj.tasks:app"), ("tasks.py", "tasks:app"),
     ("proj/tasks.py", "proj.tasks:app")],
)  # fmt: skip
def test_an_app_is_recognised(text: str, app: str) -> None:
    assert looks_like_an_app(text)
    assert as_app(text) == app


@pytest.mark.parametrize("text", ["jobs.sqlite", "jobs", "/var/lib/jobs.db", "a:b/c", "C:\\jobs"])
def test_a_file_is_no_app(text: str) -> None:
    assert not looks_like_an_app(text)
