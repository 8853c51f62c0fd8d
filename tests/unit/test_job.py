from __future__ import annotations

import marshal
import uuid
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue.job import (
    Errand,
    Failure,
    Lease,
    Outcome,
    errand_to_wire,
    from_wire,
    lease_to_wire,
    new_id,
    new_ids,
    outcome_from_wire,
    outcome_to_wire,
    stamps_of,
)

NOW = 1_700_000_000.0
TIMES = st.floats(0, 4_000_000_000)


@given(TIMES)
def test_an_id_is_a_uuid_of_version_7_and_the_variant_of_the_rfc(now: float) -> None:
    text = new_id(now)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122


@given(TIMES)
def test_its_first_48_bits_are_the_milliseconds(now: float) -> None:
    milliseconds = uuid.UUID(new_id(now)).int >> 80
    assert 0 <= now * 1000 - milliseconds < 1.001


@given(TIMES, st.floats(0.001, 1e6))
def test_ids_sort_by_time(now: float, later: float) -> None:
    assert new_id(now) < new_id(now + later)


def test_ids_sort_by_time_even_within_a_millisecond() -> None:
    ids = [new_id(NOW + step / 2_000_000) for step in range(2_000)]
    assert ids == sorted(ids)


def test_ids_of_one_instant_differ() -> None:
    assert len({new_id(NOW) for _ in range(2_000)} | set(new_ids(NOW, 20_000))) == 22_000


def test_many_ids_are_made_like_one() -> None:
    assert new_ids(NOW, 0) == []
    for text in new_ids(NOW, 50):
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 7, uuid.RFC_4122)
        assert text[:18] == new_id(NOW)[:18]


def test_the_random_part_uses_all_62_bits() -> None:
    seen_one = seen_zero = 0
    for _ in range(200):
        bits = uuid.UUID(new_id(NOW)).int & ((1 << 62) - 1)
        seen_one |= bits
        seen_zero |= ~bits
    assert seen_one & seen_zero & ((1 << 62) - 1) == (1 << 62) - 1


INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text()
MAYBE_TEXT = st.none() | TEXTS
MAYBE_TIME = st.none() | st.floats(allow_nan=False)
FAILURES = st.builds(Failure, TEXTS, TEXTS, MAYBE_TEXT, TEXTS, st.booleans())
MOVES = st.tuples(MAYBE_TEXT, st.none() | INTEGERS, MAYBE_TIME)
OUTCOMES = st.builds(
    Outcome,
    INTEGERS,
    INTEGERS,
    INTEGERS,
    TEXTS,
    MAYBE_TEXT,
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
    MAYBE_TIME,
    st.booleans(),
    MAYBE_TEXT,
    st.none() | FAILURES,
    st.none() | MOVES,
    MAYBE_TEXT,
)
LEASES = st.builds(
    Lease,
    *(INTEGERS, INTEGERS, INTEGERS, TEXTS, TEXTS, TEXTS, MAYBE_TEXT, TEXTS),
    *(INTEGERS, INTEGERS, INTEGERS, MAYBE_TIME, MAYBE_TIME, MAYBE_TEXT, st.integers(0, 1)),
)
ERRANDS = st.builds(Errand, TEXTS, LEASES, st.none() | FAILURES)


@given(OUTCOMES)
def test_an_outcome_survives_the_wire(outcome: Outcome) -> None:
    assert outcome_from_wire(marshal.loads(marshal.dumps(outcome_to_wire(outcome)))) == outcome


@given(LEASES)
def test_a_lease_survives_the_wire(lease: Lease) -> None:
    assert from_wire(marshal.loads(marshal.dumps(lease_to_wire(lease)))) == lease


@given(ERRANDS)
def test_an_errand_survives_the_wire_and_is_no_lease(errand: Errand) -> None:
    assert from_wire(marshal.loads(marshal.dumps(errand_to_wire(errand)))) == errand


def test_the_wire_carries_every_field() -> None:
    lease = Lease(1, 2, 3, "id", "task", "[]", None, "q", 4, 5, 6, 7.0, 8.0, "parent", 1, 9.0, 10.0)
    assert lease_to_wire(lease) == tuple(getattr(lease, field.name) for field in fields(Lease))
    failure = Failure("E", "m", "t", "[1]", True)
    moves = ("slow", 3, 9.0)
    outcome = Outcome(
        *(1, 2, 3, "RETRY", "5", 4.0, 5.0, 6.0, False, "[[],{}]", failure, moves, "shown", "log"),
        "[[],false]",
    )
    assert len(outcome_to_wire(outcome)) == len(fields(Outcome))
    assert not any(getattr(outcome, field.name) == field.default for field in fields(Outcome)), (
        "each is told from its default"
    )
    assert outcome_from_wire(outcome_to_wire(outcome)) == outcome


@pytest.mark.parametrize(
    ("options", "stamps"),
    [
        (None, {}),
        ('{"headers": {"stamps": 1}}', {}),
        ('{"stamps": {"a": "x", "b": ["y", 7]}}', {"a": {"x"}, "b": {"y", "7"}}),
        ('{"stamps": ["a"]}', {}),
        ('{"stamps": {"a": 7}}', {"a": {"7"}}),
        ('["stamps"]', {}),
        ('{"stamps"', {}),
    ],
)
def test_stamps(options: str | None, stamps: dict[str, Any]) -> None:
    assert stamps_of(options) == stamps
