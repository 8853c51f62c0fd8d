from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue.store import result_bell
from litequeue.store.filesystem import side_directory
from litequeue.store.result_bell import ResultBell
from litequeue.store.wakeup import CAPACITY, EVERYTHING, Bell, Ringer, mark
from tests.conftest import FakeClock, wait_until


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "jobs.sqlite")


@pytest.fixture
def ringer(path: str) -> Iterator[Ringer]:
    ringer = Ringer(path)
    yield ringer
    ringer.close()


@pytest.fixture
def make_bell(path: str) -> Iterator[Callable[..., Bell]]:
    bells: list[Bell] = []

    def make(kind: str = "worker", name: str | None = None) -> Bell:
        bells.append(Bell(path, kind, name))
        return bells[-1]

    yield make
    for bell in bells:
        bell.close()


def test_a_sleeping_worker_is_rung_and_a_busy_one_is_not(
    make_bell: Callable[..., Bell], ringer: Ringer
) -> None:
    bell = make_bell()
    ringer.ring_workers()
    assert bell.read() == b""
    bell.asleep(True)
    ringer.ring_workers()
    assert bell.wait(5) == b"\1"
    bell.asleep(False)
    ringer.ring_workers()
    assert bell.read() == b""


def test_every_sleeping_worker_is_rung(make_bell: Callable[..., Bell], ringer: Ringer) -> None:
    bells = [make_bell() for _ in range(3)]
    for bell in bells:
        bell.asleep(True)
    ringer.ring_workers()
    assert [bell.wait(5) for bell in bells] == [b"\1"] * 3


def test_post_is_for_every_worker_asleep_or_not(
    make_bell: Callable[..., Bell], ringer: Ringer
) -> None:
    awake, asleep, waiter = make_bell(), make_bell(), make_bell("waiter")
    asleep.asleep(True)
    waiter.await_marks([mark("a")])
    assert not awake.has_post()
    ringer.ring_workers(post=True)
    for bell in (awake, asleep):
        assert bell.wait(5) == b"\1"
        assert bell.has_post()
        assert not bell.has_post(), "it is told once"
    assert waiter.read() == b""
    ringer.ring_workers()
    assert not awake.has_post()
    assert not asleep.has_post()
    asleep.asleep(False)
    ringer.ring_workers(post=True)
    ringer.ring_workers()
    asleep.asleep(True)
    assert asleep.has_post(), "it is there until somebody looks"


def test_a_bell_that_was_taken_down_has_no_post(path: str) -> None:
    bell = Bell(path, "worker")
    bell.close()
    assert not bell.has_post()


def test_a_waiter_hears_of_its_own_jobs_only(
    make_bell: Callable[..., Bell], ringer: Ringer
) -> None:
    bell = make_bell("waiter")
    bell.await_marks([mark("a"), mark("b")])
    ringer.ring_waiters(["c"])
    assert bell.read() == b""
    ringer.ring_waiters(["c", "b"])
    assert int.from_bytes(bell.wait(5), "little") == mark("b")
    bell.await_marks([])
    ringer.ring_waiters(["a", "b"])
    assert bell.read() == b""


def test_a_waiter_of_too_many_jobs_hears_of_all(
    make_bell: Callable[..., Bell], ringer: Ringer
) -> None:
    bell = make_bell("waiter")
    bell.await_marks(range(CAPACITY + 1))
    ringer.ring_waiters(["any"])
    assert bell.wait(5) == EVERYTHING.to_bytes(4, "little")
    bell.await_marks([mark(str(n)) for n in range(CAPACITY)])
    ringer.ring_waiters([str(CAPACITY - 1)])
    assert int.from_bytes(bell.wait(5), "little") == mark(str(CAPACITY - 1))


def test_a_bell_that_nobody_reads_never_blocks_the_ringer(
    make_bell: Callable[..., Bell], ringer: Ringer
) -> None:
    bell = make_bell()
    bell.asleep(True)
    for _ in range(5_000):
        ringer.ring_workers()
    assert bell.read()
    assert bell.read() == b""


def test_bells_that_come_and_go_are_noticed(make_bell: Callable[..., Bell], ringer: Ringer) -> None:
    first = make_bell()
    first.asleep(True)
    ringer.ring_workers()
    first.close()
    second = make_bell()
    second.asleep(True)
    ringer.ring_workers()
    assert second.wait(5) == b"\1"


def test_what_a_dead_process_left_is_swept_up(
    path: str, make_bell: Callable[..., Bell], ringer: Ringer
) -> None:
    bell = make_bell()
    bell.asleep(True)
    assert bell.socket is not None
    bell.socket.close()  # as a kill does: the files stay
    directory = Path(side_directory(path) or "")
    assert len(list(directory.iterdir())) == 2
    ringer.ring_workers()
    assert list(directory.iterdir()) == []


def kill(bell: Bell) -> None:
    """Let go of the socket as a killed process does: the files stay."""
    assert bell.socket is not None
    bell.socket.close()


def test_a_bell_of_the_dead_that_nobody_would_ring_is_swept_up(
    path: str, make_bell: Callable[..., Bell]
) -> None:
    directory = Path(side_directory(path) or "")
    living = {make_bell(kind).name for kind in ("waiter", "worker")}
    kill(make_bell("waiter"))
    late = make_bell("waiter")
    clock = FakeClock()
    ringer = Ringer(path, clock)
    ringer.ring_workers()
    assert {file.stem for file in directory.iterdir()} == {*living, late.name}
    kill(late)
    ringer.ring_workers()
    assert (directory / f"{late.name}.sock").exists(), "not at every ring"
    clock.advance(61)
    ringer.ring_workers()
    assert {file.stem for file in directory.iterdir()} == living
    ringer.close()


def test_a_bell_that_is_being_made_is_not_taken_for_dead(
    make_bell: Callable[..., Bell], ringer: Ringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = socket.socket.bind

    class Slow(socket.socket):
        def bind(self, address: Any) -> None:
            Path(address).touch()  # as the kernel does it: first the name, then the socket
            ringer.ring_workers()
            Path(address).unlink(missing_ok=True)
            bind(self, address)

    monkeypatch.setattr(socket, "socket", Slow)
    bell = make_bell()
    monkeypatch.undo()
    bell.asleep(True)
    ringer.ring_workers()
    assert bell.wait(5) == b"\1"


def test_who_comes_after_the_dead_under_their_name_is_rung(
    make_bell: Callable[..., Bell], ringer: Ringer
) -> None:
    kill(make_bell("worker", "abc"))
    bell = make_bell("worker", "abc")
    bell.asleep(True)
    ringer.ring_workers()
    assert bell.wait(5) == b"\1"


def test_bells_are_private(path: str, make_bell: Callable[..., Bell]) -> None:
    make_bell()
    directory = Path(path + ".bell")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for file in directory.glob("*.page"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_path_that_is_too_long_for_a_socket_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    bell = Bell(str(deep / "jobs.sqlite"), "worker")
    ringer = Ringer(str(deep / "jobs.sqlite"))
    bell.asleep(True)
    ringer.ring_workers()
    assert bell.wait(5) == b"\1"
    bell.close()
    ringer.close()


def test_without_a_directory_everything_still_works(tmp_path: Path) -> None:
    path = str(tmp_path / "jobs.sqlite")
    (tmp_path / "jobs.sqlite.bell").touch()
    bell, ringer = Bell(path, "worker"), Ringer(path)
    bell.asleep(True)
    bell.await_marks([1])
    ringer.ring_workers()
    ringer.ring_waiters(["a"])
    assert bell.read() == b""
    bell.close()
    ringer.close()


def test_a_page_of_nonsense_harms_nobody(path: str, ringer: Ringer) -> None:
    directory = Path(side_directory(path) or "")
    (directory / "waiter-x.sock").touch()
    (directory / "waiter-x.page").write_bytes(b"\xff" * 4096)
    (directory / "worker-y.sock").touch()
    (directory / "worker-y.page").touch()
    ringer.ring_waiters(["a"])
    ringer.ring_workers()


# Waiting for results


@pytest.fixture
def results_bell(path: str) -> Iterator[ResultBell]:
    bell = ResultBell(path)
    yield bell
    bell.close()


def test_many_threads_wait_on_one_socket(
    path: str, results_bell: ResultBell, ringer: Ringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_bell, "NET", 30.0)  # only a ring may wake them
    woken: list[str] = []
    waitings = {id: results_bell.register(id) for id in "abcdef"}
    rung = {id: threading.Event() for id in waitings}

    def wait(id: str) -> None:
        while not rung[id].is_set():
            waitings[id].wait(30)
        waitings[id].close()
        woken.append(id)

    threads = [threading.Thread(target=wait, args=(id,)) for id in waitings]
    for thread in threads:
        thread.start()
    assert len(list(Path(path + ".bell").glob("waiter-*.sock"))) == 1
    for id in "cafebd":
        rung[id].set()
        ringer.ring_waiters([id])
        wait_until(lambda id=id: id in woken)  # type: ignore[misc]  # bound at once
    for thread in threads:
        thread.join(10)
    assert sorted(woken) == list("abcdef")


def test_who_waits_no_longer_is_not_awaited(results_bell: ResultBell) -> None:
    first, second = results_bell.register("a"), results_bell.register("a")
    first.close()
    first.close()
    assert results_bell._awaited == {mark("a"): [second.event]}
    second.close()
    assert results_bell._awaited == {}


def test_a_wait_ends_by_itself_now_and_then(results_bell: ResultBell) -> None:
    waiting = results_bell.register("a")
    waiting.wait(3_600)  # for writers that cannot ring
    waiting.close()


@pytest.mark.parametrize("rings", [1, 4])
def test_above_capacity_everybody_hears_of_everything(
    results_bell: ResultBell, ringer: Ringer, rings: int
) -> None:
    waitings = [results_bell.register(str(number)) for number in range(CAPACITY + 1)]
    for _ in range(rings):
        ringer.ring_waiters(["0"])
    waitings[0].wait(5)
    assert all(waiting.event.is_set() for waiting in waitings)


def test_a_bell_too_full_for_all_rings_wakes_everybody(
    results_bell: ResultBell, ringer: Ringer
) -> None:
    waitings = [results_bell.register(str(number)) for number in range(1_000)]
    for number in range(1_000):
        ringer.ring_waiters([str(number)])
    waitings[0].wait(5)
    assert all(waiting.event.is_set() for waiting in waitings)


def test_who_waits_while_the_bell_is_taken_down_makes_another(
    results_bell: ResultBell, ringer: Ringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_bell, "NET", 30.0)
    waiting = results_bell.register("a")
    results_bell.close()
    thread = threading.Thread(target=waiting.wait, args=(30,))
    thread.start()
    wait_until(lambda: results_bell._listening)
    thread.join(0.05)
    assert thread.is_alive(), "it sleeps"
    ringer.ring_waiters(["a"])
    thread.join(10)
    assert not thread.is_alive()


def test_a_bell_is_taken_down_under_its_listener(
    path: str, results_bell: ResultBell, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = results_bell.register("a")
    bell = results_bell._bell
    assert bell is not None
    sleeping, closed = threading.Event(), threading.Event()
    sleep = bell.wait

    def wait(timeout: float) -> bytes:
        sleeping.set()
        assert closed.wait(10)
        assert bell.fileno() >= 0, "its number may be another file's by now"
        return sleep(0)

    monkeypatch.setattr(bell, "wait", wait)
    failures: list[BaseException] = []

    def listen() -> None:
        try:
            waiting.wait(1)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    assert sleeping.wait(10)
    results_bell.close()
    assert not list(Path(path + ".bell").iterdir()), "at exit nobody comes back to tidy up"
    closed.set()
    thread.join(10)
    assert failures == []
    assert bell.fileno() == -1


def test_only_the_listener_looks_often(
    results_bell: ResultBell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_bell, "NET", 0.001)
    monkeypatch.setattr(result_bell, "HEARSAY", 30.0)
    listener, other = results_bell.register("a"), results_bell.register("b")
    results_bell._listening = True
    thread = threading.Thread(target=other.wait, args=(60,))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    results_bell._listening = False
    listener.close()
    thread.join(10)
    assert not thread.is_alive(), "it is told that nobody listens any more"
