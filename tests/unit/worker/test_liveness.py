from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from litequeue.locks import HeldLock
from litequeue.store.workers import Identity
from litequeue.worker import liveness
from litequeue.worker.liveness import Life, base_path, judge

OWNER = Identity(
    name="w", nonce="0123", boot="boot-1", namespace="pid:[1]", pid=4242, start_time=777,
    directory="/nowhere",
)  # fmt: skip


class Kernel:
    """What the kernel would say."""

    def __init__(self) -> None:
        self.boot = "boot-1"
        self.namespace = "pid:[1]"
        self.started: dict[int, int | None] = {4242: 777}
        self.forbidden = False

    def kill(self, pid: int, signal: int) -> None:
        assert signal == 0, "judging kills nobody"
        if pid not in self.started:
            raise ProcessLookupError
        if self.forbidden:
            raise PermissionError

    def start_time(self, pid: int) -> int | None:
        return self.started.get(pid)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(liveness, "_boot_id", lambda: kernel.boot)
    monkeypatch.setattr(liveness, "_pid_namespace", lambda: kernel.namespace)
    monkeypatch.setattr(liveness, "start_time", kernel.start_time)
    monkeypatch.setattr(os, "kill", kernel.kill)
    return kernel


def test_the_same_process_is_alive(kernel: Kernel) -> None:
    assert judge(OWNER) is Life.ALIVE


def test_a_process_of_another_user_is_alive(kernel: Kernel) -> None:
    kernel.forbidden = True
    assert judge(OWNER) is Life.ALIVE


def test_a_pid_that_nobody_has_is_dead(kernel: Kernel) -> None:
    kernel.started.clear()
    assert judge(OWNER) is Life.DEAD


def test_a_pid_that_somebody_else_has_by_now_is_dead(kernel: Kernel) -> None:
    kernel.started[4242] = 778
    assert judge(OWNER) is Life.DEAD


def test_a_zombie_is_dead(kernel: Kernel) -> None:
    kernel.started[4242] = 0
    assert judge(OWNER) is Life.DEAD


def test_a_worker_of_an_earlier_boot_is_dead_whoever_has_its_pid(kernel: Kernel) -> None:
    kernel.boot = "boot-2"
    assert judge(OWNER) is Life.DEAD


def test_without_boot_ids_the_process_decides(kernel: Kernel) -> None:
    kernel.boot = ""
    assert judge(OWNER) is Life.ALIVE
    kernel.boot = "boot-1"
    assert judge(replace(OWNER, boot="")) is Life.ALIVE


@pytest.fixture
def elsewhere(kernel: Kernel, tmp_path: Path) -> Identity:
    """A worker of another pid namespace, in which our pid 4242 means nothing."""
    return replace(OWNER, namespace="pid:[2]", directory=str(tmp_path))


@pytest.mark.parametrize(
    "facts",
    [
        lambda kernel: kernel.started.clear(),
        lambda kernel: kernel.started.update({4242: 777}),
        lambda kernel: kernel.started.update({4242: 1}),
    ],
    ids=["no such pid here", "the same pid and start", "another process"],
)
def test_a_pid_of_another_namespace_proves_nothing(
    kernel: Kernel, elsewhere: Identity, facts: Callable[[Kernel], None]
) -> None:
    facts(kernel)
    assert judge(elsewhere) is Life.UNSEEN


def test_unseen_with_its_lock_held_is_unseen(elsewhere: Identity) -> None:
    lock = HeldLock(base_path(elsewhere) + ".lock")
    try:
        assert judge(elsewhere) is Life.UNSEEN
    finally:
        lock.close()


def test_unseen_with_its_lock_free_is_dead(elsewhere: Identity) -> None:
    HeldLock(base_path(elsewhere) + ".lock").close()
    assert judge(elsewhere) is Life.DEAD


def test_a_start_time_that_cannot_be_read_leaves_it_to_the_lock(
    kernel: Kernel, tmp_path: Path
) -> None:
    kernel.started[4242] = None
    owner = replace(OWNER, directory=str(tmp_path))
    assert judge(owner) is Life.UNSEEN
    HeldLock(base_path(owner) + ".lock").close()
    assert judge(owner) is Life.DEAD


def test_this_very_process_is_alive() -> None:
    own = liveness.own_identity("/nowhere", None)
    assert judge(own) is Life.ALIVE
    assert judge(replace(own, start_time=own.start_time + 1)) is Life.DEAD


def test_identities_differ_even_within_one_process() -> None:
    one, other = (liveness.own_identity("/nowhere", "w") for _ in range(2))
    assert one.nonce != other.nonce
    assert base_path(one) != base_path(other)
