"""The clock is put forward and back, and the machine sleeps."""

from __future__ import annotations

import logging

import pytest

from litequeue.beat.steps import STEP, Steps
from tests.unit.beat.laptop import Laptop


@pytest.fixture
def clock() -> Laptop:
    return Laptop()


@pytest.fixture
def steps(clock: Laptop) -> Steps:
    return Steps(clock)


def test_time_that_passes_is_no_step(clock: Laptop, steps: Steps) -> None:
    clock.advance(1e6)
    assert not steps.went_back()


def test_a_clock_that_is_put_back_is_noticed_once(
    clock: Laptop, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    clock.advance(10.0)
    clock.wall -= 3600.0
    assert steps.went_back()
    assert not steps.went_back()
    assert caplog.messages == ["the clock was put back by 3600 s"]


def test_a_clock_that_is_put_forward_only_makes_things_due(
    clock: Laptop, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    clock.wall += 86_400.0
    assert not steps.went_back()
    assert caplog.messages == ["the clock was put forward by 86400 s"]


@pytest.mark.parametrize("seconds", [-STEP, STEP])
def test_a_clock_that_is_kept_right_is_left_alone(
    clock: Laptop, steps: Steps, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    clock.wall += seconds
    assert not steps.went_back()
    assert caplog.messages == []


def test_sleep_is_no_step(clock: Laptop, steps: Steps, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock.suspend(28_800.0)
    assert not steps.went_back()
    assert caplog.messages == ["the machine slept for 28800 s; what was missed follows its policy"]


def test_a_clock_that_is_put_back_while_the_machine_sleeps(clock: Laptop, steps: Steps) -> None:
    clock.suspend(28_800.0)
    clock.wall -= 30_000.0
    assert steps.went_back()
