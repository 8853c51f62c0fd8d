from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from litequeue.worker.autoscale import OLD, Autoscaler, Backlog

NOTHING = Backlog(0, 0.0)
YOUNG = OLD / 2


def test_the_size_stays_while_it_fits() -> None:
    scaler = Autoscaler(10, 2)
    assert scaler.decide(0.0, size=4, busy=4, backlog=NOTHING) == 4


def test_many_waiting_jobs_are_worth_as_many_more() -> None:
    assert Autoscaler(10, 2).decide(0.0, size=2, busy=2, backlog=Backlog(5, 0.0)) == 7
    assert Autoscaler(10, 2).decide(0.0, size=2, busy=2, backlog=Backlog(500, 0.0)) == 10


def test_a_few_that_have_just_come_are_not() -> None:
    assert Autoscaler(10, 2).decide(0.0, size=4, busy=4, backlog=Backlog(3, YOUNG)) == 4


def test_one_that_has_waited_is() -> None:
    assert Autoscaler(10, 2).decide(0.0, size=4, busy=4, backlog=Backlog(1, OLD)) == 5


def test_idle_children_count_for_what_waits() -> None:
    assert Autoscaler(10, 2).decide(0.0, size=4, busy=1, backlog=Backlog(2, OLD)) == 4


def test_it_shrinks_once_it_was_too_large_for_long_enough() -> None:
    scaler = Autoscaler(10, 2, keep_alive=30)
    assert scaler.decide(0.0, size=8, busy=8, backlog=NOTHING) == 8
    assert scaler.decide(29.0, size=8, busy=3, backlog=NOTHING) == 8
    assert scaler.decide(30.0, size=8, busy=3, backlog=NOTHING) == 3
    assert scaler.decide(59.0, size=3, busy=0, backlog=NOTHING) == 3
    assert scaler.decide(60.0, size=3, busy=0, backlog=NOTHING) == 2


def test_being_needed_once_more_begins_the_wait_anew() -> None:
    scaler = Autoscaler(10, 2, keep_alive=30)
    scaler.decide(0.0, size=8, busy=8, backlog=NOTHING)
    scaler.decide(29.0, size=8, busy=8, backlog=NOTHING)
    assert scaler.decide(31.0, size=8, busy=0, backlog=NOTHING) == 8
    assert scaler.decide(59.0, size=8, busy=0, backlog=NOTHING) == 2


def test_new_bounds_hold_at_once() -> None:
    assert Autoscaler(3, 1).decide(0.0, size=8, busy=8, backlog=Backlog(100, 9.0)) == 3
    assert Autoscaler(9, 4).decide(0.0, size=1, busy=0, backlog=NOTHING) == 4


@given(
    st.tuples(st.integers(1, 50), st.integers(0, 50)),
    st.lists(st.tuples(st.floats(0, 60), st.integers(0, 60), st.integers(0, 99), st.floats(0, 9))),
)
def test_the_bounds_are_kept_and_nobody_who_works_is_sent_away(
    bounds: tuple[int, int], history: list[tuple[float, int, int, float]]
) -> None:
    least, more = bounds
    scaler = Autoscaler(least + more, least, keep_alive=10)
    now, size = 0.0, least
    for seconds, wanted, jobs, age in history:
        now += seconds
        busy = min(wanted, size)
        size = scaler.decide(now, size=size, busy=busy, backlog=Backlog(jobs, age))
        assert least <= size <= least + more
        assert size >= busy
