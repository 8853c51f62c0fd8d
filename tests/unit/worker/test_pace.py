from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from litequeue.worker.pace import COVER, DEEPEST, Pace


def settle(seconds: float) -> Pace:
    pace = Pace()
    for _ in range(60):
        pace.record(seconds * 10, 10)
    return pace


def test_short_jobs_are_claimed_many_at_a_time_and_long_ones_singly() -> None:
    assert settle(0.0).depth() == DEEPEST
    assert settle(COVER / 5.5).depth() == 1 + 5
    assert settle(0.05).depth() == 1
    assert settle(3600).depth() == 1


def test_the_first_guess_is_careful() -> None:
    assert Pace().depth() == 2


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 1000))))
def test_the_depth_is_always_at_least_the_running_job(history: list[tuple[float, int]]) -> None:
    pace = Pace()
    for total, count in history:
        pace.record(total, count)
        assert 1 <= pace.depth() <= DEEPEST


def test_a_job_that_goes_on_slows_down_at_once() -> None:
    pace = settle(0.0)
    pace.slow_down(0.5)
    assert pace.depth() == 1


def test_slowing_down_never_speeds_up() -> None:
    pace = settle(10)
    pace.slow_down(0.001)
    assert pace.depth() == 1


def test_short_jobs_after_a_long_one_speed_up_again() -> None:
    pace = Pace()
    pace.slow_down(1.0)
    for _ in range(40):
        pace.record(0.0, 100)
    assert pace.depth() == DEEPEST
