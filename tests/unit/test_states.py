from __future__ import annotations

from litequeue import states

NAMES = {name for name in vars(states) if name.isupper() and isinstance(getattr(states, name), str)}


def test_states_have_celerys_names() -> None:
    for name in NAMES - {"SCHEDULED", "READY", "PARKED", "LEASED", "DONE"}:
        assert getattr(states, name) == name


def test_every_state_is_ready_or_unready_and_never_both() -> None:
    assert not states.READY_STATES & states.UNREADY_STATES
    assert {getattr(states, name) for name in NAMES} == states.ALL_STATES | set(states.PHASES)


def test_the_groups_are_celerys() -> None:
    assert {"SUCCESS", "FAILURE", "REVOKED"} <= states.READY_STATES
    assert {"PENDING", "RECEIVED", "STARTED", "RETRY"} == states.UNREADY_STATES
    assert {"RETRY", "FAILURE", "REVOKED"} == states.EXCEPTION_STATES
    assert {"FAILURE", "REVOKED"} <= states.PROPAGATE_STATES < states.READY_STATES
