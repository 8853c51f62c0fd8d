from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from litequeue.worker.systemd import Watchdog, notify
from tests.conftest import FakeClock


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd listens with."""
    path = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as end:
        end.bind(path)
        end.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield end


def heard(manager: socket.socket) -> list[str]:
    found = []
    try:
        while True:
            found.append(manager.recv(4096).decode())
    except BlockingIOError:
        return found


def test_lines_arrive_as_one_message(manager: socket.socket) -> None:
    notify("READY=1", "STATUS=fine")
    assert heard(manager) == ["READY=1\nSTATUS=fine"]


def test_a_reload_says_when_it_began(manager: socket.socket) -> None:
    notify("RELOADING=1", monotonic=12.5)
    assert heard(manager) == ["RELOADING=1\nMONOTONIC_USEC=12500000"]


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"litequeue-{tmp_path.name}-{id(tmp_path)}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as end:
        end.bind("\0" + name)
        end.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        notify("READY=1")
        assert heard(end) == ["READY=1"]


def test_nobody_there_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")


def test_a_manager_that_does_not_listen_stops_nobody(manager: socket.socket) -> None:
    for _ in range(1000):
        notify("WATCHDOG=1", "STATUS=" + "x" * 1000)
    assert 0 < len(heard(manager)) < 1000


def test_the_watchdog_is_fed_twice_as_often_as_asked(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    watchdog = Watchdog(clock)
    assert watchdog.time_left() == 0.0
    watchdog.feed()
    assert heard(manager) == ["WATCHDOG=1"]
    assert watchdog.time_left() == 15.0
    clock.advance(14.9)
    watchdog.feed()
    assert heard(manager) == []
    clock.advance(0.1)
    watchdog.feed()
    assert heard(manager) == ["WATCHDOG=1"]


@pytest.mark.parametrize("given", [None, "", "0", "soon", "-5", "²"])
def test_without_a_watchdog_nothing_is_due(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, clock: FakeClock, given: str | None
) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if given is not None:
        monkeypatch.setenv("WATCHDOG_USEC", given)
    watchdog = Watchdog(clock)
    assert watchdog.time_left() is None
    watchdog.feed()
    assert heard(manager) == []
