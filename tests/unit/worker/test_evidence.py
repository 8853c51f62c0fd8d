from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from litequeue.worker import evidence
from litequeue.worker.evidence import DUMP, OomKills, collect, enable, fault_path, summary
from tests.conftest import wait_until

MIB = 1 << 20


@pytest.fixture
def fault(tmp_path: Path) -> str:
    return fault_path(str(tmp_path / "worker-1"), 3)


def end_of(fault: str, body: str) -> tuple[int, resource.struct_rusage]:
    """Run a program that is enabled as a child is; return what `os.wait4` says of its end."""
    program = f"from litequeue.worker import evidence\nevidence.enable({fault!r})\n{body}"
    process = subprocess.Popen([sys.executable, "-c", program])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return status, usage


def collected(*arguments: Any, **named: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(collect(*arguments, **named))
    return found


class TestRealDeaths:
    def test_a_segfault_leaves_the_stacks_of_all_threads(self, fault: str) -> None:
        status, usage = end_of(
            fault,
            "import ctypes, threading\n"
            "event = threading.Event()\n"
            "def waits_for_ever(): event.wait()\n"
            "threading.Thread(target=waits_for_ever, daemon=True).start()\n"
            "def crashes(): ctypes.string_at(0)\n"
            "crashes()\n",
        )
        found = collected(status, usage, fault=fault)
        assert found["signal"] == "SIGSEGV"
        assert "exit_code" not in found
        assert "Fatal Python error: Segmentation fault" in found["stacks"]
        assert "in crashes" in found["stacks"]
        assert "in waits_for_ever" in found["stacks"]

    def test_memory_and_time_are_told(self, fault: str) -> None:
        eats = f"import os; data = bytearray(os.urandom(1)) * {64 * MIB}; os._exit(3)"
        found = collected(*end_of(fault, eats), fault=fault)
        assert found["exit_code"] == 3
        # Linux lets a program begin with the peak of the process that started it: pytest's.
        assert 64 * MIB < found["max_rss"] < 8192 * MIB
        assert 0 < found["cpu_seconds"] < 30
        assert "stacks" not in found
        assert "signal" not in found

    def test_a_live_process_tells_its_stacks_when_asked(self, fault: str) -> None:
        program = (
            "import time\nfrom litequeue.worker import evidence\n"
            f"evidence.enable({fault!r})\n"
            "def hangs():\n    print('now', flush=True)\n    time.sleep(60)\nhangs()"
        )
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"now\n"
            os.kill(process.pid, DUMP)
            wait_until(lambda: b"in hangs" in Path(fault).read_bytes())
            assert process.poll() is None
        finally:
            process.kill()
            process.communicate()

    def test_a_program_that_the_job_starts_does_not_hold_the_file(self, fault: str) -> None:
        status, _ = end_of(
            fault,
            "import os, subprocess, sys\n"
            "held = subprocess.run(['sh', '-c', 'ls -l /proc/self/fd'], capture_output=True)\n"
            f"sys.exit({Path(fault).name!r} in held.stdout.decode())\n",
        )
        assert os.waitstatus_to_exitcode(status) == 0

    def test_the_last_child_s_words_are_gone(self, fault: str) -> None:
        Path(fault).write_text("Fatal Python error: of the one before")
        status, usage = end_of(fault, "")
        assert "stacks" not in collected(status, usage, fault=fault)

    def test_only_the_owner_may_read_them(self, fault: str) -> None:
        end_of(fault, "")
        assert Path(fault).stat().st_mode & 0o777 == 0o600

    def test_a_link_is_not_followed(self, fault: str, tmp_path: Path) -> None:
        Path(fault).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match="symbolic"):
            enable(fault)
        assert not (tmp_path / "elsewhere").exists()


class TestWhoKilled:
    @pytest.mark.parametrize(
        ("number", "ours", "counted", "told"),
        [
            (signal.SIGKILL, False, 1, {"killed_by": "kernel", "out_of_memory": "probable"}),
            (signal.SIGKILL, False, 0, {}),
            (signal.SIGKILL, True, 1, {"killed_by": "worker"}),
            (signal.SIGTERM, False, 1, {}),
        ],
    )
    def test_only_a_kill_that_nobody_here_sent_may_be_the_kernels(
        self, number: int, ours: bool, counted: int, told: dict[str, str]
    ) -> None:
        counts = iter([5, 5 + counted, 5 + counted])
        kills = OomKills(lambda: next(counts))
        found = collected(int(number), ours=ours, oom_kills=kills)
        assert found == {"signal": signal.Signals(number).name, **told}

    def test_each_kill_explains_one_death(self) -> None:
        kills = OomKills(iter([7, 9, 9, 9]).__next__)
        assert [kills.take(), kills.take(), kills.take()] == [True, True, False]

    def test_an_old_kill_explains_nothing(self) -> None:
        count = [7]
        kills = OomKills(lambda: count[0])
        count[0] = 8
        kills.look()
        kills.look()
        assert not kills.take()

    def test_a_look_right_after_the_kill_does_not_hide_it(self) -> None:
        count = [7]
        kills = OomKills(lambda: count[0])
        count[0] = 8
        kills.look()
        assert kills.take()

    def test_a_kill_that_was_used_is_not_found_again_after_a_look(self) -> None:
        count = [7]
        kills = OomKills(lambda: count[0])
        count[0] = 8
        assert kills.take()
        kills.look()
        assert not kills.take()

    def test_the_kernel_s_count_is_read_somewhere(self) -> None:
        counters = evidence._counters()
        assert counters[-1] == ("/proc/vmstat", "oom_kill")
        assert evidence._oom_kills(counters) >= 0

    @pytest.mark.parametrize(
        ("lines", "first"),
        [
            (["0::/app.slice/x"], "/sys/fs/cgroup/app.slice/x/memory.events"),
            (
                ["3:cpu,memory:/docker/1", "1:name=systemd:/"],
                "/sys/fs/cgroup/memory/docker/1/memory.oom_control",
            ),
            (["rubbish"], "/sys/fs/cgroup/memory.events"),
            ([], "/proc/vmstat"),
        ],
    )
    def test_the_group_s_count_comes_first(
        self, monkeypatch: pytest.MonkeyPatch, lines: list[str], first: str
    ) -> None:
        monkeypatch.setattr(evidence, "_lines", lambda path: lines)
        assert evidence._counters()[0] == (first, "oom_kill")

    def test_a_count_is_found_by_its_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        files = {"a": ["oom 9", "oom_kill 2", "oom_group_kill 1"], "b": ["oom_kill 5"]}
        monkeypatch.setattr(evidence, "_lines", lambda path: files.get(path, []))
        wanted = [("gone", "oom_kill"), ("a", "oom_kill"), ("b", "oom_kill")]
        assert evidence._oom_kills(wanted) == 2
        assert evidence._oom_kills([("gone", "oom_kill")]) == 0


class TestWhatIsKept:
    def test_the_end_of_the_output(self) -> None:
        found = collected(0, output="x" * 9000 + "\nthe last line\n")
        assert found == {"exit_code": 0, "output": "the last line\n"}

    def test_dumps_are_cut(self, fault: str) -> None:
        Path(fault).write_bytes(b"Fatal\xff\0" + b"x" * 100_000)
        stacks = collected(11, fault=fault)["stacks"]
        assert stacks.startswith("Fatal�xxx")
        assert len(stacks) <= evidence.MOST_FAULT

    def test_the_frames_of_the_worker_are_left_out(self, fault: str) -> None:
        executor = Path(evidence.__file__).with_name("executor.py")
        stack = f'Thread 1:\n  File "tasks.py", line 9 in f\n  File "{executor}", line 3 in _run\n'
        rest = '  File "cli.py", line 1 in main\n\n'
        Path(fault).write_text((stack + rest) * 2 + "Extension modules: _x (total: 1)\n")
        one = 'Thread 1:\n  File "tasks.py", line 9 in f\n\n'
        assert collected(11, fault=fault)["stacks"] == one * 2 + "Extension modules: _x (total: 1)"

    def test_a_file_that_is_missing_says_nothing(self, fault: str) -> None:
        assert collected(11, fault=fault) == {"signal": "SIGSEGV"}

    @pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (45, "signal 45")])
    def test_signals_have_names(self, number: int, name: str) -> None:
        assert evidence.signal_name(number) == name


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, ""),
        ("{", ""),
        ("[]", ""),
        ('{"signal": "SIGSEGV"}', ""),
        (
            '{"out_of_memory": "probable", "max_rss": 512000000}',
            "probably out of memory, peak 512 MB",
        ),
    ],
)
def test_a_summary_for_the_log(found: str | None, words: str) -> None:
    assert summary(found) == words


@pytest.fixture(autouse=True)
def _handler_as_it_was() -> Iterator[None]:
    """`enable` is for whole processes; pytest has a fault handler of its own."""
    before = list(evidence._files)
    yield
    assert evidence._files == before
