from __future__ import annotations

import itertools

import celery.states
import pytest

from litequeue import states

NAMES = {name for name in vars(states) if name.isupper() and isinstance(getattr(states, name), str)}


def test_states_have_celerys_names() -> None:
    for name in NAMES - {"WAITING", "SCHEDULED", "READY", "PARKED", "LEASED", "DONE"}:
        assert getattr(states, name) == name


def test_every_state_is_ready_or_unready_and_never_both() -> None:
    assert not states.READY_STATES & states.UNREADY_STATES
    assert {getattr(states, name) for name in NAMES} == states.ALL_STATES | set(states.PHASES)


def test_the_groups_are_celerys() -> None:
    assert {"SUCCESS", "FAILURE", "REVOKED"} <= states.READY_STATES
    assert {"PENDING", "RECEIVED", "STARTED", "RETRY"} == states.UNREADY_STATES
    assert {"RETRY", "FAILURE", "REVOKED"} == states.EXCEPTION_STATES
    assert {"FAILURE", "REVOKED"} <= states.PROPAGATE_STATES < states.READY_STATES


def test_all_of_celerys_names_are_here() -> None:
    assert [name for name in celery.states.__all__ if not hasattr(states, name)] == []


def test_the_groups_differ_from_celerys_where_a_job_ends_in_more_ways() -> None:
    assert celery.states.READY_STATES | {"REJECTED", "IGNORED"} == states.READY_STATES
    assert celery.states.UNREADY_STATES - {"REJECTED"} == states.UNREADY_STATES
    assert celery.states.EXCEPTION_STATES == states.EXCEPTION_STATES
    assert celery.states.PROPAGATE_STATES | {"REJECTED"} == states.PROPAGATE_STATES
    assert celery.states.ALL_STATES | {"REJECTED", "IGNORED"} == states.ALL_STATES


@pytest.mark.parametrize("name", [*sorted(states.ALL_STATES), "PROGRESS"])
def test_precedence_is_celerys(name: str) -> None:
    assert states.precedence(name) == celery.states.precedence(name)
    assert tuple(celery.states.PRECEDENCE) == states.PRECEDENCE
    assert celery.states.PRECEDENCE_LOOKUP == states.PRECEDENCE_LOOKUP
    assert celery.states.NONE_PRECEDENCE == states.NONE_PRECEDENCE


def test_states_are_compared_as_celerys_are() -> None:
    names = [*sorted(states.ALL_STATES), "PROGRESS"]
    for one, other in itertools.product(names, names):
        ours, theirs = states.state(one), celery.states.state(one)
        assert (ours < other, ours <= other) == (theirs < other, theirs <= other)
        assert (ours > other, ours >= other) == (theirs > other, theirs >= other)
        assert (ours == other) == (one == other)


def test_states_say_more_as_a_job_goes_on() -> None:
    way = ["PENDING", "RECEIVED", "STARTED", "PROGRESS", "SUCCESS"]
    assert sorted(set(way), key=states.state) == way
