"""What an entry remembers of ticks whose rows are gone, as data."""

from __future__ import annotations

import pytest

from litequeue.store import gaps

MADE = 1000.0


def holds(text: str | None, *moments: float) -> list[bool]:
    return [gaps.holds(text, MADE, moment) for moment in moments]


def test_what_was_forgotten_is_held_but_nothing_before_the_entry_was_made() -> None:
    text = gaps.extended(None, MADE, [1010.0, 1030.0, 1020.0])
    assert holds(text, 990.0, 1000.0, 1010.0, 1030.0, 1040.0) == [False, True, True, True, False]
    assert gaps.extended(text, MADE, [1020.0]) == text
    assert holds(None, 990.0, 1010.0) == [False, False]


def test_a_gap_is_not_held() -> None:
    text = gaps.extended(gaps.opened(None, MADE, (1100.0, 1200.0), 1200.0), MADE, [1300.0])
    assert holds(text, 1099.0, 1100.0, 1199.0, 1200.0) == [True, False, False, True]


def test_a_tick_closes_its_gap_up_to_itself() -> None:
    text = gaps.extended(gaps.opened(None, MADE, (1100.0, 1200.0), 1200.0), MADE, [1300.0])
    text = gaps.closed(text, MADE, 1150.0)
    assert holds(text, 999.0, 1149.0, 1150.0, 1150.5, 1200.0) == [False, True, True, False, True]
    assert gaps.closed(text, MADE, 1250.0) == text


def test_a_tick_before_the_entry_was_made_closes_that_gap() -> None:
    text = gaps.extended(gaps.closed(None, MADE, 500.0), MADE, [1010.0])
    assert holds(text, 499.0, 500.0, 501.0, 999.0) == [True, True, False, False]
    assert gaps.closed(None, MADE, 1000.0) is None


def test_what_follows_a_gap_at_once_makes_it_longer() -> None:
    text = gaps.opened(None, MADE, (1100.0, 1200.0), 1200.0)
    text = gaps.opened(text, MADE, (1200.0, 1300.0), 1300.0)
    assert gaps.read(text, MADE) == (0.0, [[0.0, MADE], [1100.0, 1300.0]])


def test_the_oldest_that_has_passed_goes() -> None:
    """One that is ahead is what a clock that was wrong has left: without it the entry is silent."""
    text = gaps.opened(None, MADE, (1100.0, 9e9), 9e9)
    for number in range(20):
        start = 2000.0 + 100 * number
        text = gaps.opened(text, MADE, (start, start + 10), start + 10)
    _, found = gaps.read(text, MADE)
    assert len(found) == 1 + gaps.KEPT
    assert found[:2] == [[0.0, MADE], [1100.0, 9e9]]
    assert found[-1] == [3900.0, 3910.0]


@pytest.mark.parametrize("text", ["", "?", "[]", "[1]", "[[1]]", '[1,[["a","b"]]]', "{}", "null"])
def test_nonsense_holds_nothing(text: str) -> None:
    assert gaps.read(text, MADE) == (0.0, [[0.0, MADE]])
