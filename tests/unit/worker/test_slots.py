from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.exceptions import ImproperlyConfigured
from litequeue.worker.slots import CAPACITY, RING, Running, Slots, Stage


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[Slots]:
    slots = Slots.create(str(tmp_path / "w.slots"), children=4)
    slots.count = 3
    yield slots
    slots.unlink()


def test_new_slots_are_idle(slots: Slots) -> None:
    assert slots.count == 3
    assert [slots.running(index) for index in range(3)] == [None] * 3
    assert [slots.child(index) for index in range(3)] == [(0, 0)] * 3
    assert {slots.stage(index) for index in range(4)} == {Stage.STARTING}
    assert slots.all_children() == []
    assert slots.all_running() == {}


def test_what_a_child_runs_is_told_and_ends(slots: Slots) -> None:
    token = -(2**63)
    slots.begin(1, 2**62, 1_700_000_000.25, token)
    assert slots.running(1) == Running(2**62, 1_700_000_000.25, token)
    assert slots.all_running() == {2**62: slots.running(1)}
    slots.end(1)
    assert slots.all_running() == {}


def test_a_new_child_starts_idle_with_nothing_of_the_old_one(slots: Slots) -> None:
    slots.assign(0, 10, 20)
    slots.set_stage(0, Stage.SERVING)
    slots.begin(0, 5, 1.0, 6, 7.0, 8.0)
    slots.ask_to_end(0, 6, 15)
    slots.dismiss(0)
    assert slots.stage(0) is Stage.SERVING
    slots.assign(0, 11, 21)
    assert slots.child(0) == (11, 21)
    assert slots.running(0) is None
    assert slots.stage(0) is Stage.STARTING
    assert slots.asked_to_end(0) == (0, 0)
    assert not slots.is_dismissed(0)


def test_what_one_process_writes_leaves_what_others_write(slots: Slots) -> None:
    slots.assign(2, 10, 20)
    slots.begin(2, 5, 1.0, 6, 7.0, 8.0)
    slots.begin_once(2, 6)
    slots.ask_to_end(2, 6, 15)
    slots.dismiss(2)
    slots.set_stage(2, Stage.SERVING)
    slots.wake_at = 3.5
    assert slots.child(2) == (10, 20)
    assert slots.running(2) == Running(5, 1.0, 6, 7.0, 8.0)
    assert slots.asked_to_end(2) == (6, 15)
    assert slots.is_dismissed(2)
    assert slots.stage(2) is Stage.SERVING
    assert 6 in slots.begun()
    assert slots.wake_at == 3.5
    slots.disarm(2)
    assert slots.running(2) == Running(5, 1.0, 6)
    assert slots.asked_to_end(2) == (6, 15)


def test_a_child_of_many_lines(tmp_path: Path) -> None:
    slots = Slots.create(str(tmp_path / "w.slots"), children=2, per_child=700)
    slots.count = 700
    assert slots.processes == 1
    assert slots.lines_of(1) == range(700, 1400)
    slots.assign(1, 10, 20)
    slots.begin(1399, 5, 1.0, 6)
    for token in range(1, 701):
        slots.begin_once(1, token)
    reader = Slots(slots.path)
    assert reader.all_running() == {5: Running(5, 1.0, 6)}
    assert reader.begun() == set(range(1, 701)), "a child may begin as many as it has lines"


def test_it_is_laid_out_when_the_size_is_known(tmp_path: Path) -> None:
    slots = Slots.create(str(tmp_path / "w.slots"))
    early = Slots(slots.path)
    early.beat()
    assert (early.lines, early.count, early.all_running(), early.begun()) == (0, 0, {}, set())
    slots.lay_out(children=3, per_child=2)
    slots.count = 6
    assert early.lines == 0
    early.remap()
    slots.begin(5, 5, 1.0, 6)
    assert (early.lines, early.count, early.beats()) == (6, 6, 1)
    assert early.all_running() == {5: Running(5, 1.0, 6)}
    with pytest.raises(ImproperlyConfigured, match="at most"):
        slots.lay_out(children=CAPACITY + 1, per_child=1)


def test_lines_do_not_touch_each_other(slots: Slots) -> None:
    for index in range(3):
        slots.assign(index, 2**40 + index, 2**41 + index)
        slots.begin(index, 2**42 + index, float(index), 2**43 + index)
    slots.beat()
    for index in range(3):
        assert slots.child(index) == (2**40 + index, 2**41 + index)
        assert slots.running(index) == Running(2**42 + index, float(index), 2**43 + index)


def test_beats_are_counted_and_keep_the_count(slots: Slots) -> None:
    for _ in range(3):
        slots.beat()
    assert slots.beats() == 3
    assert Slots(slots.path).count == 3


def test_another_process_reads_the_same_lines(slots: Slots) -> None:
    reader = Slots(slots.path)
    slots.begin(0, 5, 1.0, 6)
    assert reader.running(0) == Running(5, 1.0, 6)


def test_the_file_is_private_new_and_no_link(slots: Slots, tmp_path: Path) -> None:
    assert stat.S_IMODE(Path(slots.path).stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        Slots.create(slots.path, children=3)
    link = tmp_path / "link.slots"
    link.symlink_to(slots.path)
    with pytest.raises(OSError, match="symbolic links"):
        Slots(str(link))


def test_the_count_moves_within_the_capacity(slots: Slots) -> None:
    reader = Slots(slots.path)
    slots.count = 4
    slots.begin(3, 5, 1.0, 6)
    assert reader.count == 4
    assert reader.all_running() == {5: Running(5, 1.0, 6)}
    slots.count = 0
    with pytest.raises(ImproperlyConfigured, match="at most 4 jobs"):
        slots.count = 5
    assert reader.count == 0


def test_a_file_that_claims_more_lines_than_it_has_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "cut.slots"
    Slots.create(str(path), children=1)
    with path.open("r+b") as file:
        file.seek(24)
        file.write((1000).to_bytes(8, "little"))
    slots = Slots(str(path))
    assert (slots.children, slots.lines, slots.all_running()) == (0, 0, {})


def test_what_is_not_there_or_empty_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Slots(str(tmp_path / "nosuch"))
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        Slots(str(tmp_path / "empty"))


def test_jobs_that_may_begin_once_are_noted_for_longer_than_they_run(slots: Slots) -> None:
    reader = Slots(slots.path)
    slots.begin(0, 5, 1.0, 6)
    slots.begin_once(0, 6)
    slots.begin_once(2, -(2**63))
    slots.end(0)
    slots.assign(0, 11, 21)
    assert {6, -(2**63)} <= reader.begun()
    assert slots.child(1) == (0, 0), "nothing else is written over"
    assert slots.running(1) is None


def test_of_such_jobs_the_oldest_are_forgotten_first(slots: Slots) -> None:
    for token in range(1, RING + 11):
        slots.begin_once(1, token)
        slots.begin_once(2, -token)
    tokens = set(range(11, RING + 11))
    assert slots.begun() - {0} == tokens | {-token for token in tokens}


def test_unlinking_twice_is_fine(slots: Slots) -> None:
    slots.unlink()
    slots.unlink()
    assert not Path(slots.path).exists()
