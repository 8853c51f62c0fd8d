"""`litequeue demo`: it proves something only if it also says when a promise was broken."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from litequeue import LiteQueue, demo
from litequeue.cli.demo import demo as command
from litequeue.demo import play, victim
from litequeue.demo.play import Kill, Report, Rescue
from litequeue.exceptions import LiteQueueError
from litequeue.store import audit
from tests.conftest import wait_until
from tests.integration.processes import ROOT, all_pids, is_alive, kill

KILL = Kill("a child", 1_700_000_000.0)


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for temporary files in which everything that is left behind shows."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    left = processes_on(folder)
    for pid in left:
        kill(pid)
    assert left == []
    assert list(folder.iterdir()) == []


def processes_on(folder: Path) -> list[int]:
    """Return the processes whose command line names something in the folder: a demo's worker."""
    found = []
    for pid in all_pids():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if f"{folder}/".encode() in command and is_alive(pid):
            found.append(pid)
    return found


class Silence:
    """Watches without a word."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def begin(self, what: str, total: int) -> None:
        pass

    def reached(self, done: int) -> None:
        pass


class TestTheWholeDemo:
    def test_it_ends_well_and_says_so(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "litequeue", "demo", "--seconds", "2", "-c", "2"],
            check=False,
            cwd=ROOT,
            env={
                **os.environ,
                "LITEQUEUE_URL": ":memory:",
                "LITEQUEUE_DURABILITY": "wrong",
                "COLUMNS": "120",
            },
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SIGKILL to a child" in done.stdout
        assert "SIGKILL to the whole worker" in done.stdout
        accepted = re.search(r"([\d,]+) jobs accepted", done.stdout)
        assert accepted
        for row in ("equal to plain Python", "verdicts recorded", "jobs with exactly one verdict"):
            assert re.search(rf"{row} +│ +{accepted[1]} │", done.stdout), row
        twice = re.search(r"ran twice because of the kills +│ +(\d+) │", done.stdout)
        assert twice
        assert 1 <= int(twice[1]) <= 3  # one child, then two
        # "No job" is rare and no fault: the child had sent its outcome a moment before.
        told = re.findall(r"killed: its jobs ran again after +│ +(.*?) │", done.stdout)
        assert len(told) == 2
        assert all(re.fullmatch(r"it hit no job|\d+\.\d+ s( to \d+\.\d+ s)?", one) for one in told)
        assert any(one.endswith(" s") for one in told)

    def test_a_wrong_result_is_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The worker's process counts right, ours does not: the two must be compared."""
        victim_of_the_plant = play.library_files()[0]

        def count_wrong(path: str) -> dict[str, Any]:
            counts = demo.count(path)
            return {**counts, "lines": -1} if path == victim_of_the_plant else counts

        monkeypatch.setattr(play, "count", count_wrong)
        report = play.run(Silence(), seconds=0.5, lanes=2)
        assert set(report.wrong) == {victim_of_the_plant}
        assert report.failures() == [
            f"{len(report.wrong)} result(s) are wrong, the first of {victim_of_the_plant}"
        ]

    def test_an_interrupt_leaves_nothing_behind(self, shelf: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "litequeue", "demo", "--seconds", "5", "-c", "2"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        wait_until(lambda: list(shelf.glob("*/jobs.sqlite.bell/*.slots")), 20)
        assert processes_on(shelf)
        process.send_signal(signal.SIGINT)  # to it alone: the worker is for the demo to end
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130, errors.decode()

    def test_a_worker_that_ends_by_itself_is_a_failure(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(victim.sys, "executable", "/bin/false")
        with pytest.raises(LiteQueueError, match="the worker ended by itself"):
            play.run(Silence(), seconds=0.2, lanes=1)

    def test_the_command_fails_with_the_report(self, monkeypatch: pytest.MonkeyPatch) -> None:
        report = replace(well(), missing=1)
        monkeypatch.setattr(play, "run", lambda *_, **__: report)
        shown = CliRunner().invoke(command, standalone_mode=False)
        assert shown.return_value == 1
        assert "1 result(s) are missing" in shown.output
        monkeypatch.setattr(play, "run", lambda *_, **__: well())
        assert CliRunner().invoke(command, standalone_mode=False).return_value == 0


def well() -> Report:
    """A report without fault."""
    kills = [KILL, Kill("the worker", KILL.at + 1)]
    rescues = [Rescue(kill=kill, id="x", seconds=0.1) for kill in kills]
    return Report(
        jobs=3, files=3, kills=kills, rescues=rescues, verdicts=3, judged_once=3, exit_code=0
    )


class TestVerdictOfTheDemo:
    def test_a_report_without_fault(self) -> None:
        assert well().failures() == []

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            ({"missing": 1}, "missing"),
            ({"wrong": ["a.py"]}, "wrong"),
            ({"verdicts": 4}, "verdicts"),
            ({"verdicts": 2, "judged_once": 2}, "verdicts"),
            ({"judged_once": 1}, "verdicts"),
            ({"kills": [KILL]}, "1 of 2 kills"),
            ({"rescues": [Rescue(kill=KILL, id="x", seconds=None)]}, "never started again"),
            ({"damage": ["row 3 missing from index"]}, "integrity_check: row 3"),
            ({"left_behind": ["process 7"]}, "process 7"),
            ({"exit_code": 1}, "code 1"),
        ],
        ids=str,
    )
    def test_each_fault_is_a_failure(self, fault: dict[str, Any], words: str) -> None:
        failures = replace(well(), **fault).failures()
        assert len(failures) == 1
        assert words in failures[0]


class TestLedger:
    """The count of verdicts comes from the file itself."""

    def test_a_second_verdict_is_counted(self, app: LiteQueue) -> None:
        database = app.store.database
        audit.keep_ledger(database)
        once, twice = [app.enqueue_many([(app.task(name="a")(print), ())])[0] for _ in range(2)]
        with database.write(durable=False) as connection:
            for id in (once.id, twice.id, twice.id):
                connection.execute(
                    "UPDATE litequeue_job SET phase = 'done', state = 'SUCCESS', finished = 1 "
                    "WHERE id = ?",
                    (id,),
                )
        assert [ending.verdicts for ending in audit.endings(database)] == [1, 2]
        assert audit.how_many_done(database) == 2

    def test_a_healthy_file_has_no_problems(self, app: LiteQueue) -> None:
        assert audit.problems(app.store.database) == []


class TestPlan:
    FILES = tuple(f"{number}.py" for number in range(1000))

    def test_all_files_as_often_as_makes_ten_seconds_for_every_child(self) -> None:
        assert play.plan(self.FILES, 0.006, wanted=None, lanes=2) == play.Plan(self.FILES, 4)

    def test_one_pass_that_is_long_enough_is_not_repeated(self) -> None:
        assert play.plan(self.FILES, 0.021, wanted=None, lanes=2) == play.Plan(self.FILES, 1)

    def test_a_slow_machine_reads_a_part_spread_evenly(self) -> None:
        chosen = play.plan(self.FILES, 0.1, wanted=None, lanes=2)
        assert chosen == play.Plan(self.FILES[::4], 1)

    def test_less_can_be_asked_for(self) -> None:
        assert play.plan(self.FILES, 0.01, wanted=2, lanes=1) == play.Plan(self.FILES[::5], 1)

    def test_the_library_is_python_without_what_was_installed(self) -> None:
        files = play.library_files()
        assert len(files) > 100
        assert all(name.endswith(".py") and "site-packages" not in name for name in files)
        assert len(set(files)) == len(files)

    @pytest.mark.parametrize("count", [1, 2, 3, 10, 618, 1000])
    def test_the_sample_is_spread_over_all(self, count: int) -> None:
        assert sorted(play._spread(count)) == list(range(count))


class TestTheApp:
    def test_importing_it_touches_no_file(self, tmp_path: Path) -> None:
        place = tmp_path / "here"
        place.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", "import litequeue.demo as demo; print(*demo.app.tasks)"],
            check=True,
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        own = [name for name in done.stdout.split() if name not in LiteQueue("q.sqlite").tasks]
        assert own == ["litequeue.demo.measure"], "beside those that every app has"
        assert list(place.iterdir()) == []


class TestCount:
    def test_what_is_counted(self, tmp_path: Path) -> None:
        source = "import os\nclass A:\n    def f(self): ...\n    async def g(self): print()\n"
        (tmp_path / "a.py").write_text(source)
        assert demo.count(str(tmp_path / "a.py")) == {
            "lines": 4, "functions": 2, "classes": 1, "imports": 1, "calls": 1,
        }  # fmt: skip

    @pytest.mark.parametrize("source", [b"print 1\n", b"\0\n", b'x = "\xff"\n'])
    def test_a_syntax_error_is_a_result(self, tmp_path: Path, source: bytes) -> None:
        (tmp_path / "a.py").write_bytes(source)
        assert "Error" in demo.count(str(tmp_path / "a.py"))["error"]

    def test_a_warning_of_the_parser_stays_silent(self, tmp_path: Path) -> None:
        (tmp_path / "a.py").write_text(r'x = "\d"' + "\n")
        assert "error" not in demo.count(str(tmp_path / "a.py"))
