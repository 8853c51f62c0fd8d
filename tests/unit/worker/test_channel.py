from __future__ import annotations

import logging
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from litequeue.job import Lease, Outcome
from litequeue.worker.channel import INLINE, Channel
from tests.conftest import wait_until


def lease(seq: int = 1, size: int = 2) -> Lease:
    return Lease(
        seq, 5, 1, f"job-{seq}", "t", "x" * size, None, "default", 0, 0, 0, None, None, None
    )


BIG = 2 * INLINE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def channel(folder: Path) -> Iterator[Channel]:
    folder.mkdir()
    channel = Channel(str(folder / "worker"))
    channel.jobs_in.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # soon full
    yield channel
    channel.close()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Have writes fail in the middle, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("size", [2, BIG])
def test_messages_arrive_whole_and_leave_nothing(channel: Channel, folder: Path, size: int) -> None:
    assert channel.submit(lease(size=size))
    assert channel.next_lease() == lease(size=size)
    outcome = Outcome(1, 5, 1, "SUCCESS", result="y" * size)
    channel.report(outcome)
    assert list(channel.poll()) == [outcome]
    assert list(folder.iterdir()) == []


def test_a_lease_that_finds_no_disk_is_offered_again(
    channel: Channel, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), files_of_at_most(INLINE):
        assert not any(channel.submit(lease(size=BIG)) for _ in range(20))
    assert list(folder.iterdir()) == [], "what was written of it is gone"
    assert len(caplog.records) == 1
    assert channel.submit(lease(size=BIG))
    assert channel.next_lease() == lease(size=BIG)


def test_a_lease_that_is_refused_waits_in_one_file(
    channel: Channel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0
    while channel.submit(lease(sent, BIG)):
        sent += 1
    refused = lease(sent, BIG)
    assert not channel.submit(refused)
    with monkeypatch.context() as patch:
        patch.setattr(channel._spool, "pack", pytest.fail)  # that was done
        assert not any(channel.submit(refused) for _ in range(20))
    assert len(list(folder.iterdir())) == sent + 1
    assert channel.next_lease() == lease(0, BIG)
    assert channel.submit(refused)
    assert len(channel.take_back()) == sent
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("then", ["take_back", "another"])
def test_a_lease_that_is_offered_no_more_leaves_no_file(
    channel: Channel, folder: Path, then: str
) -> None:
    sent = 0
    while channel.submit(lease(sent, BIG)):
        sent += 1
    if then == "another":
        assert not channel.submit(lease(sent + 1))
    assert len(channel.take_back()) == sent
    assert list(folder.iterdir()) == []


def test_an_outcome_waits_for_room_on_the_disk(
    channel: Channel, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.rmdir()
    outcome = Outcome(1, 5, 1, "SUCCESS", result="y" * BIG)
    with caplog.at_level(logging.ERROR):
        thread = threading.Thread(target=channel.report, args=(outcome,))
        thread.start()
        wait_until(lambda: caplog.records)
    assert list(channel.poll()) == []
    folder.mkdir()
    thread.join(10)
    assert list(channel.poll()) == [outcome]
    assert list(folder.iterdir()) == []
