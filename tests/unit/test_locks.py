"""What an app holds open is given back with it."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from litequeue import LiteQueue
from litequeue.locks import Election, Gate


def descriptors() -> set[str]:
    """Return what this process has open, by name."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{each.name} {each.readlink()}")
        except OSError:
            continue  # the one that listed them
    return found


def test_a_gate_gives_its_descriptor_back(tmp_path: Path) -> None:
    before = descriptors()
    gate = Gate(str(tmp_path / "gate"))
    assert len(descriptors() - before) == 1
    gate.close()
    assert descriptors() <= before
    gate.close()
    other = Gate(str(tmp_path / "gate"))
    del other, gate
    gc.collect()
    assert descriptors() <= before


def test_a_gate_that_nobody_closed_lets_others_through_again(tmp_path: Path) -> None:
    gate, other = Gate(str(tmp_path / "gate")), Gate(str(tmp_path / "gate"))
    assert gate.shut()
    assert not other.is_open()
    del gate
    gc.collect()
    assert other.is_open()
    assert other.shut()


def test_where_no_gate_can_be_made_all_are_through(tmp_path: Path) -> None:
    gate = Gate(str(tmp_path / "nosuch" / "gate"))
    assert gate.is_open()
    assert not gate.shut()
    gate.open()
    gate.close()


def make_and_use(path: Path) -> None:
    app = LiteQueue(path, durability="process", set_as_current=False)

    @app.task(name="t")
    def work() -> None: ...

    work.delay()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # that is what it is about
def test_an_app_that_is_gone_leaves_nothing_open(tmp_path: Path) -> None:
    make_and_use(tmp_path / "warm.sqlite")
    gc.collect()
    before = descriptors()
    for number in range(5):
        make_and_use(tmp_path / f"{number % 2}.sqlite")
    gc.collect()
    assert descriptors() - before == set()


def test_so_does_one_that_moves_from_file_to_file(tmp_path: Path) -> None:
    app = LiteQueue(tmp_path / "jobs.sqlite", durability="process")
    task = app.task(name="t")(lambda: None)
    for number in range(5):
        app.rebind(tmp_path / f"{number}.sqlite")
        task.delay()
    app.close()
    gc.collect()
    assert [each for each in descriptors() if str(tmp_path) in each] == []


class TestElection:
    def test_one_wins_until_it_resigns(self, tmp_path: Path) -> None:
        path = str(tmp_path / "single.lock")
        one, other = Election(path), Election(path)
        assert one.win()
        assert not other.win()
        one.resign()
        assert other.win()
        assert not one.win()
        other.resign()

    def test_it_can_be_won_in_one_thread_and_resigned_in_another(self, tmp_path: Path) -> None:
        path = str(tmp_path / "single.lock")
        election, other = Election(path), Election(path)
        won, resigned = threading.Event(), threading.Event()

        def win_and_stay() -> None:
            election.win()
            won.set()
            resigned.wait(10)

        winning = threading.Thread(target=win_and_stay)
        winning.start()
        assert won.wait(10)
        assert not other.win()
        election.resign()
        assert other.win()
        other.resign()
        resigned.set()
        winning.join()

    def test_only_its_owner_may_open_the_file(self, tmp_path: Path) -> None:
        election = Election(str(tmp_path / "single.lock"))
        election.win()
        assert (tmp_path / "single.lock").stat().st_mode & 0o777 == 0o600
        election.resign()
