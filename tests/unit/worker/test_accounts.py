from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.job import Lease, Outcome
from litequeue.worker.accounts import Accounts
from litequeue.worker.slots import Slots


def lease(seq: int, token: int = 0) -> Lease:
    return Lease(
        *(seq, token or seq * 10, 1, f"id-{seq}", "t", "", None, "q", 0, 0, 0, None, None, None)
    )


def outcome(seq: int) -> Outcome:
    return Outcome(seq, seq * 10, 1, "SUCCESS")


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[Slots]:
    slots = Slots.create(str(tmp_path / "w.slots"), children=2)
    slots.count = 2
    slots.assign(0, 100, 1)
    slots.assign(1, 101, 1)
    yield slots
    slots.unlink()


@pytest.fixture
def accounts() -> Accounts:
    accounts = Accounts()
    for seq in (1, 2, 3):
        accounts.take(lease(seq))
    return accounts


def test_what_is_taken_is_out_until_closed_or_dropped(accounts: Accounts) -> None:
    assert len(accounts) == 3
    assert accounts.close([outcome(1)]) == {1: lease(1)}
    accounts.drop(2)
    accounts.drop(2)
    assert list(accounts) == [lease(3)]


def test_a_lease_is_ours_only_with_its_token(accounts: Accounts) -> None:
    assert accounts.is_ours(1, 10)
    assert not accounts.is_ours(1, 11)
    assert not accounts.is_ours(9, 90)


def test_a_lease_whose_outcome_arrived_is_not_found(accounts: Accounts) -> None:
    assert accounts.find(1, 10, without=[outcome(2)]) == lease(1)
    assert accounts.find(1, 10, without=[outcome(1)]) is None
    assert accounts.find(1, 11, without=[]) is None


def test_a_running_job_is_reported_once(accounts: Accounts, slots: Slots) -> None:
    assert accounts.has_unmarked()
    slots.begin(1, 2, 5.0, 20)
    assert accounts.unmarked(slots) == [(5.0, 101, 2, 20)]
    assert accounts.unmarked(slots) == [(5.0, 101, 2, 20)], "until the file knows it"
    accounts.mark([2])
    assert accounts.unmarked(slots) == []
    assert accounts.has_unmarked()
    for seq in (1, 3):
        slots.begin(0, seq, 6.0, seq * 10)
        assert accounts.unmarked(slots) == [(6.0, 100, seq, seq * 10)]
        accounts.mark([seq])
    assert not accounts.has_unmarked()


def test_a_slot_with_another_token_is_not_ours(accounts: Accounts, slots: Slots) -> None:
    slots.begin(0, 1, 5.0, 11)
    assert accounts.unmarked(slots) == []


def test_marks_go_with_their_leases(accounts: Accounts, slots: Slots) -> None:
    slots.begin(0, 1, 5.0, 10)
    accounts.unmarked(slots)
    accounts.close([outcome(1), outcome(2), outcome(3)])
    assert not accounts.has_unmarked()
    accounts.take(lease(1, 77))
    assert accounts.has_unmarked()
    slots.begin(0, 1, 5.0, 77)
    assert accounts.unmarked(slots) == [(5.0, 100, 1, 77)]


def test_a_lease_is_missing_only_when_it_was_nowhere_twice(
    accounts: Accounts, slots: Slots
) -> None:
    slots.begin(0, 1, 5.0, 10)
    assert accounts.missing(slots, [lease(2)], []) == []
    assert accounts.has_suspects()
    assert accounts.missing(slots, [lease(2)], []) == [lease(3)]
    assert not accounts.has_suspects()


@pytest.mark.parametrize("found", ["running", "unread", "reported"])
def test_a_suspect_that_turns_up_is_cleared(accounts: Accounts, slots: Slots, found: str) -> None:
    accounts.drop(1)
    accounts.drop(2)
    assert accounts.missing(slots, [], []) == []
    if found == "running":
        slots.begin(0, 3, 5.0, 30)
    unread = [lease(3)] if found == "unread" else []
    outcomes = [outcome(3)] if found == "reported" else []
    assert accounts.missing(slots, unread, outcomes) == []
    assert not accounts.has_suspects()


def test_a_suspect_that_was_given_back_and_claimed_anew_starts_anew(
    accounts: Accounts, slots: Slots
) -> None:
    accounts.drop(1)
    accounts.drop(2)
    accounts.missing(slots, [], [])
    accounts.take(lease(3, 31))
    assert accounts.missing(slots, [], []) == []
