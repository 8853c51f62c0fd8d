from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from litequeue.store.stretches import MOST, extended, holds, read

MOMENTS = some.lists(some.integers(0, 10_000).map(float), max_size=30)


def test_what_is_close_grows_together_and_a_jump_stays() -> None:
    text = None
    for moment in [*range(0, 100, 2), *range(5_000, 5_100, 2)]:
        text = extended(text, [float(moment)])
    assert holds(text, 50.0)
    assert holds(text, 5_050.0)
    assert not holds(text, 2_000.0)
    assert not holds(text, 5_099.0)
    assert len(read(text)) <= MOST


def test_nothing_is_none() -> None:
    assert extended(None, []) is None
    assert not holds(None, 0.0)


@given(batches=some.lists(MOMENTS, max_size=8))
def test_what_was_put_in_stays_in(batches: list[list[float]]) -> None:
    text = None
    for batch in batches:
        text = extended(text, batch)
    assert all(holds(text, moment) for batch in batches for moment in batch)
    stretches = read(text)
    assert len(stretches) <= MOST
    assert all(start <= end for start, end in stretches)
    assert all(one[1] < other[0] for one, other in pairwise(stretches))


@given(early=MOMENTS, late=MOMENTS)
def test_a_gap_that_is_larger_than_all_others_stays(early: list[float], late: list[float]) -> None:
    text = extended(extended(None, early), [moment + 1e6 for moment in late])
    assert not holds(text, 5e5)


@pytest.mark.parametrize("text", ["", "{", "5", "[5]", "[[1]]", "[[1, 2, 3]]", '[["a", "b"]]'])
def test_text_that_is_not_ours_says_nothing(text: str) -> None:
    assert read(text) == []
    assert holds(extended(text, [5.0]), 5.0)
