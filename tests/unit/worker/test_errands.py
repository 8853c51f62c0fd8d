"""Who is told of a verdict that was made without a child, from the consumer to the hooks."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue import signals
from litequeue.context import current_app, current_request
from litequeue.exceptions import NotRegistered, TimeLimitExceeded, WorkerLostError
from litequeue.job import Errand, Failure, Lease
from litequeue.worker.channel import Channel
from litequeue.worker.errands import MANY, Errands
from litequeue.worker.hooks import run_errand
from litequeue.worker.link import HOOKED, Manifest
from tests.unit.bench import Bench, Heard, lease, raising

KINDS = ("task_failure", "task_revoked", "task_unknown")
LOST = Failure("WorkerLostError", "its child was killed")


class Untouchable:
    """A file that nobody may look at."""

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"{name}: the file was asked")


def manifest(*listens: str, hooked: tuple[str, ...] = ()) -> Manifest:
    tasks = ("t", "other")
    kinds = tuple(HOOKED if task in hooked else 0 for task in tasks)
    return Manifest(
        tasks=tasks, kinds=kinds, limits=((None, None),) * len(tasks), listens=listens, conf="{}",
        facts="{}", events=False, controlled=True, event_ring_size=1, max_deliveries=3,
        result_expires=1.0, result_failure_expires=1.0, visibility_timeout=60.0, durability="full",
        sent_events=False, beat_sleep=0.0,
    )  # fmt: skip


def stored(seq: int, task: str = "t") -> Lease:
    """Return what the file says of an ended job."""
    return Lease(seq, 0, 1, f"job-{seq}", task, "[[1],{}]", None, "q", 0, 0, 0, None, None, None)


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    channel = Channel(str(tmp_path / "w"))
    yield channel
    channel.close()


def make_narrow(channel: Channel) -> None:
    """Have its socket be full soon."""
    channel.jobs_in.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def received(channel: Channel) -> list[Lease | Errand]:
    """Return what the children would read."""
    channel.jobs_in.close()
    found: list[Lease | Errand] = []
    while (each := channel.next_lease()) is not None:
        found.append(each)
    return found


class TestWhoIsTold:
    @pytest.fixture
    def file(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The seqs that were looked up."""
        asked: list[int] = []

        def ended(database: object, seqs: Any) -> list[Lease]:
            listed = list(seqs)
            asked.extend(listed)
            return [stored(seq) for seq in listed]

        monkeypatch.setattr("litequeue.store.leases.ended", ended)
        return asked

    def tell(self, errands: Errands) -> None:
        errands.failed([stored(1), stored(2, "other")], "its child was killed")
        errands.expired([3])
        errands.unknown([stored(4, "nosuch")])

    @pytest.mark.parametrize(
        ("listens", "hooked", "told", "asked"),
        [
            ((), (), [], []),
            (("task_failure",), (), [("task_failure", 1), ("task_failure", 2)], [1, 2]),
            ((), ("t",), [("task_failure", 1)], [1]),
            ((), ("nosuch",), [], []),
            (("task_revoked",), (), [("task_revoked", 3)], [3]),
            (("task_unknown",), (), [("task_unknown", 4)], []),
            (("task_prerun", "task_success"), (), [], []),
            (
                KINDS,
                ("t",),
                [
                    ("task_failure", 1),
                    ("task_failure", 2),
                    ("task_revoked", 3),
                    ("task_unknown", 4),
                ],
                [1, 2, 3],
            ),
        ],
    )
    def test_only_who_listens(
        self,
        channel: Channel,
        file: list[int],
        listens: tuple[str, ...],
        hooked: tuple[str, ...],
        told: list[tuple[str, int]],
        asked: list[int],
    ) -> None:
        errands = Errands(Untouchable())  # type: ignore[arg-type]  # it must not be touched
        errands.set_manifest(manifest(*listens, hooked=hooked))
        self.tell(errands)
        errands.hand_out(channel)
        found = [each for each in received(channel) if isinstance(each, Errand)]
        assert [(each.why, each.lease.seq) for each in found] == told
        assert file == asked
        for each in found:
            assert each.failure == (LOST if each.why == "task_failure" else None)

    def test_nothing_is_read_from_the_file_when_nobody_listens(self, channel: Channel) -> None:
        errands = Errands(Untouchable())  # type: ignore[arg-type]  # it must not be touched
        self.tell(errands)
        errands.set_manifest(manifest())
        self.tell(errands)
        errands.set_manifest(manifest(*KINDS))
        errands.failed([], "nothing")
        errands.expired([])
        errands.unknown([])
        errands.hand_out(channel)
        assert received(channel) == []

    def test_who_stops_listening_is_told_no_more(self, channel: Channel, file: list[int]) -> None:
        errands = Errands(Untouchable())  # type: ignore[arg-type]  # it must not be touched
        errands.set_manifest(manifest(*KINDS, hooked=("t",)))
        errands.set_manifest(manifest())
        self.tell(errands)
        errands.hand_out(channel)
        assert (received(channel), file) == ([], [])


class TestHandingOut:
    def test_what_finds_no_room_waits_in_its_order(self, channel: Channel) -> None:
        make_narrow(channel)
        errands = Errands(Untouchable())  # type: ignore[arg-type]  # it must not be touched
        errands.set_manifest(manifest(*KINDS))
        errands.unknown([stored(seq) for seq in range(100)])
        errands.hand_out(channel)
        found: list[int] = []
        while len(found) < 100:
            each = channel.next_lease()
            assert isinstance(each, Errand)
            found.append(each.lease.seq)
            errands.hand_out(channel)
        assert found == list(range(100))

    def test_what_is_taken_back_unread_comes_first_the_next_time(self, channel: Channel) -> None:
        errands = Errands(Untouchable())  # type: ignore[arg-type]  # it must not be touched
        errands.set_manifest(manifest(*KINDS))
        first = Errand("task_failure", stored(1), LOST)
        second = Errand("task_unknown", stored(3))
        assert channel.send_errand(first)
        assert channel.submit(stored(2))
        assert channel.send_errand(second)
        unread = channel.take_back()
        assert unread == [first, stored(2), second]
        errands.unknown([stored(4)])
        errands.again(each for each in unread if isinstance(each, Errand))
        errands.hand_out(channel)
        assert received(channel) == [first, second, Errand("task_unknown", stored(4))]

    def test_many_that_wait_are_noticed(self, channel: Channel) -> None:
        errands = Errands(Untouchable())  # type: ignore[arg-type]  # it must not be touched
        errands.set_manifest(manifest(*KINDS))
        errands.unknown([stored(seq) for seq in range(MANY - 1)])
        assert not errands.are_many()
        errands.unknown([stored(MANY)])
        assert errands.are_many()

    def test_a_large_one_leaves_no_file_behind(self, channel: Channel, tmp_path: Path) -> None:
        make_narrow(channel)
        big = Errand("task_failure", lease(body="x" * 300_000), LOST)
        sent = 0
        while channel.send_errand(big):
            sent += 1
            assert sent < 1_000
        assert len(list(tmp_path.glob("w.*"))) == sent, "of the refused one there is none"
        assert channel.take_back() == [big] * sent
        assert list(tmp_path.glob("w.*")) == []


class TestRunning:
    """In a child."""

    def test_a_job_whose_worker_was_lost(self, bench: Bench, heard: Heard) -> None:
        heard.listen(signals.task_failure)
        hooks = {name: heard.hook(name) for name in ("on_failure", "after_return", "on_retry")}
        task = bench.task(raising(AssertionError("ran")), **hooks)
        run_errand(bench.app, Errand("task_failure", lease(args=[1], kwargs={"y": 2}), LOST), "w")
        assert heard.names == ["on_failure", "after_return", "task_failure"]
        error, *job, info = heard.of("on_failure")["args"]
        assert (type(error), str(error)) == (WorkerLostError, "its child was killed")
        assert job == ["the-id", [1], {"y": 2}]
        assert (info.exception, info.internal, str(info)) == (error, True, "")
        assert heard.of("after_return")["args"] == ("FAILURE", error, *job, None)
        assert heard.of("task_failure") == {
            "sender": task, "task_id": "the-id", "exception": error, "args": [1],
            "kwargs": {"y": 2}, "traceback": None, "einfo": info,
        }  # fmt: skip

    def test_hooks_see_the_request_and_the_app(self, bench: Bench) -> None:
        seen: list[Any] = []

        def on_failure(task: Any, *_: Any) -> None:
            seen.append((task.request.id, task.request.hostname, current_app()))

        bench.task(lambda: None, on_failure=on_failure)
        run_errand(bench.app, Errand("task_failure", lease(), LOST), "w")
        assert seen == [("the-id", "w", bench.app)]
        assert current_request.get() is None

    def test_an_error_in_a_hook_is_told_and_stops_nothing(
        self, bench: Bench, heard: Heard, caplog: pytest.LogCaptureFixture
    ) -> None:
        heard.listen(signals.task_failure, signals.task_internal_error)
        bench.task(lambda: None, on_failure=raising(KeyError("hook")))
        run_errand(bench.app, Errand("task_failure", lease(), LOST), "w")
        assert heard.names == ["task_internal_error", "task_failure"]
        assert "a hook of t[the-id] raised" in caplog.text

    def test_a_job_that_came_too_late(self, bench: Bench, heard: Heard) -> None:
        heard.listen(*signals.ALL[:12])
        task = bench.task(raising(AssertionError("ran")), on_failure=heard.hook("on_failure"))
        run_errand(bench.app, Errand("task_revoked", lease()), "w")
        told = heard.of("task_revoked")
        assert heard.names == ["task_revoked"]
        assert told.pop("request").id == "the-id"
        assert told == {"sender": task, "terminated": False, "signum": None, "expired": True}

    def test_a_job_that_was_terminated(self, bench: Bench, heard: Heard) -> None:
        heard.listen(*signals.ALL[:12])
        task = bench.task(raising(AssertionError("ran")), on_failure=heard.hook("on_failure"))
        why = Failure("TaskRevokedError", "terminated")
        run_errand(bench.app, Errand("task_revoked", lease(), why, 15), "w")
        told = heard.of("task_revoked")
        assert heard.names == ["task_revoked"]
        assert told.pop("request").id == "the-id"
        assert told == {"sender": task, "terminated": True, "signum": 15, "expired": False}

    def test_a_job_that_was_revoked_before_it_ran(self, bench: Bench, heard: Heard) -> None:
        heard.listen(signals.task_revoked)
        bench.task(raising(AssertionError("ran")))
        why = Failure("TaskRevokedError", "revoked")
        run_errand(bench.app, Errand("task_revoked", lease(), why), "w")
        told = heard.of("task_revoked")
        assert (told["terminated"], told["signum"], told["expired"]) == (False, None, False)

    def test_a_job_that_exceeded_its_hard_limit(self, bench: Bench, heard: Heard) -> None:
        heard.listen(signals.task_failure)
        hooks = {name: heard.hook(name) for name in ("on_failure", "after_return")}
        bench.task(raising(AssertionError("ran")), **hooks)
        why = Failure("TimeLimitExceeded", "it ran longer than 2 s")
        run_errand(bench.app, Errand("task_failure", lease(), why), "w")
        assert heard.names == ["on_failure", "after_return", "task_failure"]
        error = heard.of("task_failure")["exception"]
        assert (type(error), str(error)) == (TimeLimitExceeded, "it ran longer than 2 s")

    def test_a_job_whose_task_nobody_knows(self, bench: Bench, heard: Heard) -> None:
        heard.listen(signals.task_unknown)
        run_errand(bench.app, Errand("task_unknown", lease("nosuch", body="[[1],{}]")), "w")
        told = heard.of("task_unknown")
        error = told.pop("exc")
        assert (type(error), str(error)) == (NotRegistered, "nosuch")
        assert told == {"sender": "w", "message": "[[1],{}]", "name": "nosuch", "id": "the-id"}

    def test_a_lost_job_of_a_task_that_is_gone_is_nobodys(self, bench: Bench, heard: Heard) -> None:
        heard.listen(*signals.ALL[:12])
        run_errand(bench.app, Errand("task_failure", lease("nosuch"), LOST), "w")
        assert heard.calls == []

    @pytest.mark.parametrize("why", KINDS)
    def test_arguments_that_cannot_be_read_are_none(
        self, bench: Bench, heard: Heard, why: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        heard.listen(*signals.ALL[:12])
        bench.task(lambda: None)
        with caplog.at_level(logging.WARNING):
            run_errand(bench.app, Errand(why, lease(body="["), LOST), "w")
        assert heard.names == [why]
        assert "cannot be read" in caplog.text
