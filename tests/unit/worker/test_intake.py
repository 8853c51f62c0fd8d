"""How much a worker claims, of what, and with which time limits."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from litequeue.job import Lease
from litequeue.worker import link as messages
from litequeue.worker.intake import AT_ONCE, Intake
from litequeue.worker.link import Manifest
from litequeue.worker.pace import DEEPEST
from litequeue.worker.queue_choice import QueueChoice, parse
from litequeue.worker.slots import RING, Slots

LEASE = Lease(
    seq=1, token=5, claim=1, id="id", task="slow", body="[]", options=None, queue="q", priority=0,
    retries=0, deaths=0, eta=None, expires=None, parent=None,
)  # fmt: skip
MANIFEST = Manifest(
    tasks=("quick", "slow", "careful", "once"),
    kinds=(messages.UNTRACKED, 0, 0, messages.ONCE),
    limits=((None, None), (5.0, 9.0), (None, 3.0), (None, None)),
    listens=(),
    conf="{}",
    facts="{}",
    events=False,
    controlled=False,
    event_ring_size=0,
    max_deliveries=3,
    result_expires=1.0,
    result_failure_expires=1.0,
    visibility_timeout=60.0,
    durability="normal",
    sent_events=False,
    beat_sleep=0.0,
)


class Revoked:
    ids = frozenset({"gone"})
    stamps: ClassVar = {"team": frozenset({"a"})}
    last = 7


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    slots = Slots.create(str(tmp_path / "w.slots"), children=8)
    slots.count = 4
    return slots


def intake(slots: Slots, *, queues: QueueChoice | None = None, most: int | None = None) -> Intake:
    revoked: Any = Revoked()
    made = Intake(slots, queues or QueueChoice(), revoked, most)
    made.set_manifest(MANIFEST)
    return made


def limits(intake: Intake, task: str, **options: object) -> tuple[float | None, float | None]:
    lease = replace(LEASE, task=task, options=json.dumps(options) if options else None)
    (accepted,) = intake.accept([lease])
    return accepted.soft, accepted.hard


# How much


def test_long_jobs_are_not_taken_ahead(slots: Slots) -> None:
    made = intake(slots)
    made.pace.slow_down(1.0)
    assert made.most_out() == 4
    assert made.room(0) == 4
    assert made.room(4) == 0
    assert made.room(9) == 0


def test_short_jobs_are(slots: Slots) -> None:
    made = intake(slots)
    for _ in range(60):
        made.pace.record(0.0, 100)
    assert made.most_out() == 4 * DEEPEST


def test_what_was_acknowledged_early_fits_the_ring_of_one_child(tmp_path: Path) -> None:
    slots = Slots.create(str(tmp_path / "w.slots"), children=64)
    slots.count = 64
    made = intake(slots)
    for _ in range(60):
        made.pace.record(0.0, 100)
    assert made.most_out() == RING


def test_a_transaction_takes_so_many_at_most(tmp_path: Path) -> None:
    slots = Slots.create(str(tmp_path / "w.slots"), children=1, per_child=5000)
    slots.count = 5000
    assert intake(slots).room(0) == AT_ONCE


def test_no_more_are_taken_than_are_to_be_run_at_all(slots: Slots) -> None:
    made = intake(slots, most=3)
    assert made.room(0) == 3
    made.accept([LEASE, LEASE])
    assert made.room(2) == 1
    made.given_back(1)
    assert made.room(1) == 2
    made.accept([LEASE, LEASE])
    assert made.room(0) == 0
    assert made.left == 0


def test_without_a_number_there_is_no_end(slots: Slots) -> None:
    made = intake(slots)
    made.accept([LEASE] * 10_000)
    assert made.left == math.inf


# Of what


def test_a_claim_says_all_that_narrows_it(slots: Slots) -> None:
    claim = intake(slots, queues=parse("a,b", "c", "strict")).claim(3, 7, parked=True)
    assert (claim.owner, claim.limit, claim.parked) == (3, 7, True)
    assert claim.tasks == frozenset(MANIFEST.tasks)
    assert claim.once == frozenset({"once"})
    assert [json.loads(each or "null") for each in claim.choices] == [["a"], ["b"]]
    assert json.loads(claim.excluded) == ["c"]
    assert claim.revoked == frozenset({"gone"})
    assert claim.stamps == Revoked.stamps


def test_every_queue_is_one_choice_of_all(slots: Slots) -> None:
    assert intake(slots).claim(1, 1, parked=False).choices == (None,)


# With which limits


def test_a_lease_has_the_limits_of_its_task(slots: Slots) -> None:
    made = intake(slots)
    assert limits(made, "slow") == (5.0, 9.0)
    assert limits(made, "careful") == (None, 3.0)
    assert limits(made, "quick") == (None, None)
    assert limits(made, "unheard") == (None, None)


def test_the_call_says_first_and_each_limit_by_itself(slots: Slots) -> None:
    """The order is Celery's: hard, soft."""
    made = intake(slots)
    assert limits(made, "slow", timelimit=[20, 10]) == (10.0, 20.0)
    assert limits(made, "slow", timelimit=[20, None]) == (5.0, 20.0)
    assert limits(made, "slow", timelimit=[None, 2]) == (2.0, 9.0)
    assert limits(made, "quick", timelimit=[7, None]) == (None, 7.0)
    assert limits(made, "slow", shadow="x") == (5.0, 9.0)


@pytest.mark.parametrize(
    "value",
    [None, 5, "12", [], [1], [1, 2, 3], {"hard": 1}, ["1", True], [0, -1], [float("nan"), []]],
)
def test_what_no_sender_of_ours_writes_changes_nothing(slots: Slots, value: object) -> None:
    assert limits(intake(slots), "slow", timelimit=value) == (5.0, 9.0)


def test_options_that_are_no_object_change_nothing(slots: Slots) -> None:
    lease = replace(LEASE, options='["timelimit"]')
    (accepted,) = intake(slots).accept([lease])
    assert (accepted.soft, accepted.hard) == (5.0, 9.0)
    lease = replace(LEASE, options='{"timelimit"')
    (accepted,) = intake(slots).accept([lease])
    assert (accepted.soft, accepted.hard) == (5.0, 9.0)


def test_limits_that_were_changed_hold_for_later_leases(slots: Slots) -> None:
    made = intake(slots)
    made.limit_time("slow", None, 1.5)
    made.limit_time("quick", 1.0, None)
    assert limits(made, "slow") == (None, 1.5)
    assert limits(made, "quick") == (1.0, None)
    made.limit_time("slow", None, None)
    assert limits(made, "slow") == (None, None)
    assert SimpleNamespace(**made.limits).quick == (1.0, None)
