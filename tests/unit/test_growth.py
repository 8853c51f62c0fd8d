from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.growth import FLAT, Case, Figure, Pair
from benchmarks.interval import STUDENT, Interval, interval

RATE = Figure("claim", "claim, jobs/s")
MEMORY = Figure("child", "memory, MB", is_rate=False)
RATIOS = st.lists(st.floats(0.01, 100), min_size=2, max_size=10)


def test_the_interval_is_students_on_logarithms() -> None:
    found = interval([1.0, math.e])  # logarithms 0 and 1: mean 1/2, standard error 1/2
    assert math.log(found.low) == pytest.approx((1 - 6.314) / 2)
    assert math.log(found.high) == pytest.approx((1 + 6.314) / 2)


def test_the_middle_is_the_median_of_the_ratios() -> None:
    assert interval([0.9, 1.0, 1.1, 1.2, 50.0]).median == 1.1


def test_ratios_that_agree_leave_no_doubt() -> None:
    found = interval([0.97] * 5)
    assert (found.low, found.high) == pytest.approx((0.97, 0.97))


@given(RATIOS)
def test_it_does_not_matter_which_side_is_divided_by_which(ratios: list[float]) -> None:
    one, other = interval(ratios), interval([1 / ratio for ratio in ratios])
    assert other.low == pytest.approx(1 / one.high)
    assert other.high == pytest.approx(1 / one.low)


@pytest.mark.parametrize("count", STUDENT)
def test_nine_intervals_of_ten_hold_the_truth(count: int) -> None:
    random, truth, trials = Random(count), 0.8, 4000
    held = 0
    for _ in range(trials):
        found = interval([truth * random.lognormvariate(0, 0.2) for _ in range(count)])
        held += found.low <= truth <= found.high
    assert held / trials == pytest.approx(0.9, abs=0.015)


@pytest.mark.parametrize("count", [0, 1, 11])
def test_too_few_samples_say_nothing(count: int) -> None:
    with pytest.raises(KeyError):
        interval([1.0] * count)


def test_a_ratio_is_positive() -> None:
    with pytest.raises(ValueError, match="domain"):
        interval([1.0, 0.0])


def test_a_rate_is_flat_if_at_worst_little_is_lost() -> None:
    assert RATE.is_flat(Interval(median=0.9, low=FLAT, high=3.0))
    assert not RATE.is_flat(Interval(median=1.0, low=FLAT - 0.001, high=1.1))


def test_memory_is_flat_if_at_worst_it_takes_little_more() -> None:
    assert MEMORY.is_flat(Interval(median=1.1, low=0.1, high=1 / FLAT))
    assert not MEMORY.is_flat(Interval(median=1.0, low=0.9, high=1 / FLAT + 0.001))


def test_a_ratio_is_the_grown_file_over_the_small_one_pair_by_pair() -> None:
    pairs = [Pair(small={"claim": 100.0 * n}, grown={"claim": 50.0 * n}) for n in (1, 2, 30)]
    found = RATE.ratio(pairs)
    assert (found.median, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_thousand_jobs_wait_in_every_file() -> None:
    assert Case("parked", 10).jobs == {"parked": 10, "waiting": 1000}
    assert Case("waiting", 5000).jobs == {"waiting": 5000}
