from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from litequeue import states
from litequeue.events.rows import as_dict
from litequeue.job import Failure, Lease, Outcome
from litequeue.store.events import Event, EventRow
from litequeue.store.leases import Lost
from litequeue.worker.reporter import HEARTBEAT, Reporter

NOW = 1_700_000_000.0
LEASE = Lease(
    5, 77, 2, "the-id", "shop.pay", '[[1,"two"],{"x":null},{}]', '{"root":"the-root"}', "q", 0, 1,
    0, NOW - 1, NOW + 9, "the-parent",
)  # fmt: skip
COMMON = {"hostname": "w@host", "pid": 99, "uuid": "the-id"}


@pytest.fixture
def reporter() -> Reporter:
    return Reporter("w@host", 99, on=True, version="1.2")


def events(rows: Sequence[EventRow]) -> list[dict[str, Any]]:
    """Return rows as a receiver gets them, without what the file adds."""
    found = [as_dict(Event(1, *row), NOW) for row in rows]
    for event in found:
        for name in ("clock", "local_received", "utcoffset"):
            del event[name]
    return found


def types(rows: Sequence[EventRow]) -> list[str]:
    return [row[1] for row in rows]


def outcome(state: str, **fields: Any) -> Outcome:
    return Outcome(5, 77, 2, state, started=NOW - 3, runtime=0.5, **fields)


class TestJobs:
    def test_received(self, reporter: Reporter) -> None:
        assert events(reporter.received([LEASE], NOW)) == [
            {
                **COMMON,
                "type": "task-received",
                "timestamp": NOW,
                "name": "shop.pay",
                "args": "(1, 'two')",
                "kwargs": "{'x': None}",
                "root_id": "the-root",
                "parent_id": "the-parent",
                "retries": 1,
                "eta": "2023-11-14T22:13:19+00:00",
                "expires": "2023-11-14T22:13:29+00:00",
            }
        ]

    def test_started_is_told_once_and_when_it_was(self, reporter: Reporter) -> None:
        begun = [(LEASE, NOW - 3)]
        assert events(reporter.started(begun)) == [
            {**COMMON, "type": "task-started", "timestamp": NOW - 3}
        ]
        assert reporter.started(begun) == []
        verdict = reporter.settled(outcome(states.SUCCESS), LEASE, NOW)
        assert types(verdict) == ["task-succeeded"]

    def test_a_short_job_is_told_to_have_started_with_its_verdict(self, reporter: Reporter) -> None:
        rows = reporter.settled(outcome(states.SUCCESS), LEASE, NOW)
        assert [(row[1], row[0]) for row in rows] == [
            ("task-started", NOW - 3),
            ("task-succeeded", NOW),
        ]

    def test_another_attempt_starts_again(self, reporter: Reporter) -> None:
        reporter.settled(outcome(states.RETRY, failure=Failure("E", "")), LEASE, NOW)
        rows = reporter.started([(LEASE, NOW + 9)])
        assert types(rows) == ["task-started"]

    @pytest.mark.parametrize(
        ("verdict", "told"),
        [
            (outcome("SUCCESS", shown="<Pay 3>", result="[3]"),
             {"type": "task-succeeded", "result": "<Pay 3>", "runtime": 0.5}),
            (outcome("SUCCESS", result='["a"]'),
             {"type": "task-succeeded", "result": "['a']", "runtime": 0.5}),
            (outcome("SUCCESS"),
             {"type": "task-succeeded", "result": "None", "runtime": 0.5}),
            (outcome("FAILURE", failure=Failure("shop.Poor", "no money", "Trace", '["no money"]')),
             {"type": "task-failed", "exception": "Poor('no money')", "traceback": "Trace"}),
            (outcome("RETRY", failure=Failure("OSError", "gone", "Trace", "[]")),
             {"type": "task-retried", "exception": "OSError('gone')", "traceback": "Trace"}),
            (outcome("RETRY", counted=False), {"type": "task-rejected", "requeue": True}),
            (outcome("REJECTED", failure=Failure("RejectedError", "bad")),
             {"type": "task-rejected", "requeue": False}),
            (outcome("REVOKED"),
             {"type": "task-revoked", "terminated": False, "signum": None, "expired": False}),
        ],
    )  # fmt: skip
    def test_verdicts(self, reporter: Reporter, verdict: Outcome, told: dict[str, Any]) -> None:
        _, event = events(reporter.settled(verdict, LEASE, NOW))
        assert event == {**COMMON, "timestamp": NOW, **told}

    def test_nothing_is_said_of_a_job_that_replaced_itself(self, reporter: Reporter) -> None:
        verdict = outcome("RETRY", counted=False, sequel="[[],true]")
        told = events(reporter.settled(verdict, LEASE, NOW))
        assert [each["type"] for each in told] == ["task-started"]

    @pytest.mark.parametrize("state", ["IGNORED", "MINE"])
    def test_of_an_ignored_job_no_verdict_is_told(self, reporter: Reporter, state: str) -> None:
        rows = reporter.settled(outcome(state), LEASE, NOW)
        assert types(rows) == ["task-started"]

    def test_a_result_that_is_long_or_no_json_is_shown_in_part(self, reporter: Reporter) -> None:
        for text in ("!yaml,x", '"' + "x" * 9999 + '"', "{"):
            rows = reporter.settled(outcome("SUCCESS", result=text), LEASE, NOW)
            assert json.loads(rows[-1][4])["result"] == text[:1024]

    def test_what_was_decided_without_a_child(self, reporter: Reporter) -> None:
        lost = Lost(lease=LEASE, ran=True, reason="killed by SIGKILL")
        late = replace(lost, verdict=("FAILURE", Failure("TimeLimitExceeded", "3 s")))
        stopped = replace(lost, verdict=("REVOKED", Failure("TaskRevokedError", "terminated")))
        rows = [
            *reporter.died([lost], [], NOW),
            *reporter.died([lost], [LEASE], NOW),
            *reporter.died([late], [LEASE], NOW),
            *reporter.died([stopped], [LEASE], NOW, signum="SIGTERM"),
            *reporter.revoked([LEASE], NOW, expired=True),
        ]
        assert types(rows) == [
            "task-retried", "task-failed", "task-failed", "task-revoked", "task-revoked",
        ]  # fmt: skip
        _, poison, limit, terminated, expired = events(rows)
        assert poison["exception"] == "WorkerLostError('killed by SIGKILL')"
        assert limit["exception"] == "TimeLimitExceeded('3 s')"
        assert (terminated["terminated"], terminated["signum"]) == (True, "SIGTERM")
        assert (expired["terminated"], expired["expired"]) == (False, True)


class TestWhoIsSilent:
    def test_off_costs_nothing_and_tells_nothing(self) -> None:
        reporter = Reporter("w@host", 99)
        never: Any = object()  # is not even looked at
        assert list(reporter.received(never, NOW)) == []
        assert list(reporter.started(never)) == []
        assert list(reporter.settled(never, never, NOW)) == []
        assert list(reporter.died(never, never, NOW)) == []
        assert list(reporter.revoked(never, NOW)) == []
        assert list(reporter.beat(0.0, NOW)) == []
        assert list(reporter.leave(NOW)) == []
        assert reporter.time_left(0.0) is None

    def test_tasks_that_send_no_events(self, reporter: Reporter) -> None:
        reporter.silent = frozenset({"shop.pay"})
        loud = replace(LEASE, seq=6, task="shop.sell")
        assert types(reporter.received([LEASE, loud], NOW)) == ["task-received"]
        assert reporter.started([(LEASE, NOW)]) == []
        assert list(reporter.settled(outcome("SUCCESS"), LEASE, NOW)) == []
        assert reporter.died([Lost(lease=LEASE, ran=True, reason="")], [], NOW) == []


class TestHeartbeats:
    def test_online_then_beats_then_offline(self, reporter: Reporter) -> None:
        assert reporter.time_left(10.0) == 0.0
        (online,) = events(reporter.beat(10.0, NOW, active=1, processed=7))
        assert len(online.pop("loadavg")) == 3
        assert online.pop("sw_sys")
        assert online == {
            "type": "worker-online", "timestamp": NOW, "hostname": "w@host", "pid": 99,
            "freq": 2.0, "active": 1, "processed": 7, "sw_ident": "py-litequeue", "sw_ver": "1.2",
        }  # fmt: skip
        assert reporter.time_left(10.5) == 1.5
        assert list(reporter.beat(11.9, NOW)) == []
        assert types(reporter.beat(10.0 + HEARTBEAT, NOW)) == ["worker-heartbeat"]
        assert types(reporter.leave(NOW)) == ["worker-offline"]
        assert list(reporter.leave(NOW)) == []

    def test_it_can_be_switched_while_it_runs(self) -> None:
        reporter = Reporter("w@host", 99)
        reporter.on = True
        assert reporter.time_left(0.0) == 0.0
        assert types(reporter.beat(0.0, NOW)) == ["worker-online"]
        reporter.on = False
        assert reporter.received([LEASE], NOW) == ()
        assert reporter.time_left(0.0) == 0.0
        assert types(reporter.beat(0.1, NOW)) == ["worker-offline"]
        assert reporter.time_left(0.1) is None

    def test_it_can_be_asked_for_one_now(self, reporter: Reporter) -> None:
        reporter.beat(10.0, NOW)
        reporter.wake()
        assert reporter.time_left(10.1) == 0.0
        assert types(reporter.beat(10.1, NOW)) == ["worker-heartbeat"]


def test_its_memory_of_starts_does_not_grow(reporter: Reporter) -> None:
    for token in range(100):
        lease = replace(LEASE, token=token)
        reporter.started([(lease, NOW)])
        if token % 2:
            reporter.settled(replace(outcome("SUCCESS"), token=token), lease, NOW)
        else:
            reporter.died([Lost(lease=lease, ran=True, reason="")], [], NOW)
    assert reporter._began == set()
