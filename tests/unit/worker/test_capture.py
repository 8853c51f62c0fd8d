from __future__ import annotations

import asyncio
import contextlib
import contextvars
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from litequeue.log import REDIRECTED, TASK_LOGGER, get_task_logger
from litequeue.worker import capture
from litequeue.worker.capture import Capture, Sheet, last_lines, path_of, read

say = print  # what tasks do


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(tmp_path / "worker-1")


@contextlib.contextmanager
def capturing(base: str, lines: int = 1, limit: int = 1000) -> Iterator[Capture]:
    """Capture in the test itself: pytest puts streams of its own around fixtures."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        found = Capture(base, range(lines), limit=limit)
        found.install()
        try:
            yield found
        finally:
            found.remove()


class TestOneJob:
    def test_what_it_prints_and_logs_is_kept_in_order(self, base: str) -> None:
        with capturing(base) as jobs, jobs.job(0, 7) as captured:
            say("one")
            logging.getLogger("shop").warning("two %s", "and a half")
            say("three", file=sys.stderr)
        assert captured.text is not None
        first, second, third = captured.text.splitlines()
        assert (first, third) == ("one", "three")
        assert second.endswith(" WARNING shop: two and a half")

    def test_it_is_printed_all_the_same(self, base: str) -> None:
        with capturing(base) as jobs:
            with jobs.job(0, 7):
                say("one")
            tap = sys.stdout
        assert tap.getvalue() == "one\n"  # type: ignore[attr-defined]  # a tap has all that its stream has

    def test_a_task_logger_that_keeps_its_records_is_heard(
        self, base: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logging.getLogger(TASK_LOGGER), "propagate", False)
        with capturing(base) as jobs, jobs.job(0, 7) as captured:
            get_task_logger("mail").error("no such address")
        assert captured.text is not None
        assert captured.text.count("no such address") == 1

    def test_what_was_printed_and_is_logged_is_kept_once(self, base: str) -> None:
        with capturing(base) as jobs, jobs.job(0, 7) as captured:
            say("one")
            logging.getLogger(REDIRECTED).warning("one")
        assert captured.text == "one\n"

    def test_silence_is_none(self, base: str) -> None:
        with capturing(base) as jobs, jobs.job(0, 7) as captured:
            pass
        assert captured.text is None

    def test_nothing_of_the_job_before_is_left(self, base: str) -> None:
        with capturing(base) as jobs:
            with jobs.job(0, 7):
                say("long " * 100)
            with jobs.job(0, 8) as captured:
                say("short")
        assert captured.text == "short\n"

    def test_outside_a_job_nothing_is_kept(self, base: str) -> None:
        with capturing(base) as jobs:
            say("before")
            with jobs.job(0, 7) as captured:
                assert capture._current() is not None
            assert capture._current() is None
            say("after")
        assert captured.text is None

    def test_what_utf8_or_sqlite_cannot_hold_is_replaced(self, base: str) -> None:
        with capturing(base) as jobs, jobs.job(0, 7) as captured:
            say("half \ud83d, none \0, ünïcode")
        assert captured.text == "half \\ud83d, none ␀, ünïcode\n"

    def test_a_full_disk_costs_the_output_and_not_the_job(
        self, base: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        with capturing(base) as jobs, jobs.job(0, 7) as captured:
            monkeypatch.setattr(os, "pwrite", full)
            say("one")
            monkeypatch.undo()
            say("two")
        assert captured.text is None

    def test_a_process_that_the_job_forks_does_not_write(self, base: str) -> None:
        with capturing(base) as jobs, jobs.job(0, 7) as captured:
            say("parent")
            pid = os.fork()
            if not pid:
                say("child")
                os._exit(0)
            os.waitpid(pid, 0)
        assert captured.text == "parent\n"


class TestLongOutput:
    @pytest.mark.parametrize("piece", [1, 7, 64, 333, 5000])
    def test_the_beginning_and_the_end_are_kept(self, base: str, piece: int) -> None:
        text = "".join(f"line {number:04}\n" for number in range(400))
        with capturing(base, limit=200) as jobs, jobs.job(0, 7) as captured:
            for at in range(0, len(text), piece):
                sys.stdout.write(text[at : at + piece])
        assert captured.text is not None
        lines = captured.text.splitlines()
        assert lines[0] == "line 0000"
        assert lines[-1] == "line 0399"
        assert lines[10] == "[... 3,810 bytes left out ...]"
        assert lines[:10] + lines[11:] == text.splitlines()[:10] + text.splitlines()[-9:]

    @pytest.mark.parametrize("length", [99, 100, 101, 199, 200])
    def test_what_fits_is_kept_as_it_is(self, base: str, length: int) -> None:
        text = "".join(chr(33 + number % 90) for number in range(length))
        with capturing(base, limit=200) as jobs, jobs.job(0, 7) as captured:
            sys.stdout.write(text)
        assert captured.text == text

    def test_one_endless_line_is_cut_too(self, base: str) -> None:
        with capturing(base, limit=100) as jobs, jobs.job(0, 7) as captured:
            sys.stdout.write("a" * 1000 + "z")
        assert captured.text == f"{'a' * 50}\n[... 901 bytes left out ...]\n{'a' * 49}z"

    def test_the_file_stays_small(self, base: str) -> None:
        with capturing(base, limit=100) as jobs, jobs.job(0, 7):
            for _ in range(100):
                say("x" * 999)
            assert Path(path_of(base, 0)).stat().st_size < 200


class TestManyJobsInAProcess:
    def test_threads_keep_theirs_apart(self, base: str) -> None:
        meet = threading.Barrier(8, timeout=10)

        def run(jobs: Capture, line: int) -> str | None:
            with jobs.job(line, 100 + line) as captured:
                meet.wait()
                for number in range(50):
                    say(f"{line}-{number}")
            return captured.text

        with capturing(base, lines=8) as jobs, ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(lambda line: run(jobs, line), range(8)))
        for line, text in enumerate(texts):
            assert text == "".join(f"{line}-{number}\n" for number in range(50))

    def test_coroutines_keep_theirs_apart_and_take_threads_along(self, base: str) -> None:
        async def run(jobs: Capture, line: int) -> str | None:
            with jobs.job(line, 100 + line) as captured:
                for number in range(20):
                    say(f"{line}-{number}")
                    await asyncio.sleep(0)
                await asyncio.to_thread(say, f"{line} in a thread")
            return captured.text

        async def all_of(jobs: Capture) -> list[str | None]:
            return await asyncio.gather(*(run(jobs, line) for line in range(4)))

        with capturing(base, lines=4) as jobs:
            texts = asyncio.run(all_of(jobs))
        for line, text in enumerate(texts):
            said = [*(f"{line}-{number}" for number in range(20)), f"{line} in a thread"]
            assert text == "\n".join(said) + "\n"

    @pytest.mark.parametrize(("lines", "heard"), [(1, "by a thread\n"), (2, None)])
    def test_a_thread_without_a_context_belongs_to_the_only_line(
        self, base: str, lines: int, heard: str | None
    ) -> None:
        with capturing(base, lines=lines) as jobs, jobs.job(0, 7) as captured:
            thread = threading.Thread(target=say, args=("by a thread",))
            thread.start()
            thread.join()
        assert captured.text == heard

    def test_what_a_job_left_running_does_not_speak_in_the_next(self, base: str) -> None:
        with capturing(base, lines=2) as jobs:
            with jobs.job(0, 7):
                left = contextvars.copy_context()
            with jobs.job(0, 8) as captured:
                left.run(say, "too late")
        assert captured.text is None


class TestLeavingNothingBehind:
    def test_removing_puts_everything_back(self, base: str) -> None:
        before = sys.stdout, sys.stderr, list(logging.getLogger().handlers)
        fds = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the descriptors of this process
        with capturing(base, lines=3):
            pass
        assert (sys.stdout, sys.stderr, logging.getLogger().handlers) == before
        assert len(os.listdir("/proc/self/fd")) == fds  # noqa: PTH208 - as above


class TestAfterADeath:
    def test_what_came_last_is_there_and_only_for_its_attempt(
        self, base: str, tmp_path: Path
    ) -> None:
        program = tmp_path / "killed.py"
        program.write_text(
            "import os, signal\n"
            "from litequeue.worker.capture import Capture\n"
            f"jobs = Capture({base!r}, [3], limit=1000)\n"
            "jobs.install()\n"
            "with jobs.job(3, 7):\n"
            "    print('my last words', end='')\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        died = subprocess.run([sys.executable, program], check=False, stdout=subprocess.DEVNULL)
        assert died.returncode == -9
        assert read(base, 3, 7) == "my last words"
        assert read(base, 3, 8) is None
        assert read(base, 4, 7) is None

    @pytest.mark.parametrize("content", [b"", b"short", b"\7\0\0\0\0\0\0\0" + b"\xff" * 40])
    def test_a_damaged_file_says_little(self, base: str, content: bytes) -> None:
        Path(path_of(base, 0)).write_bytes(content)
        said = read(base, 0, 7)
        assert said is None or (len(content) == 48 and "�" in said)

    def test_a_link_is_not_followed(self, base: str, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"\0" * 100)
        Path(path_of(base, 0)).symlink_to(tmp_path / "secret")
        with pytest.raises(OSError, match="symbolic"):
            Sheet(path_of(base, 0), 100)
        assert read(base, 0, 0) is None

    @pytest.mark.parametrize(
        ("text", "last"),
        [(None, None), ("ab\ncd\n", "ab\ncd\n"), ("abcdefgh\nij\nkl\n", "ij\nkl\n"),
         ("abcdefghijkl", "efghijkl")],
    )  # fmt: skip
    def test_whole_lines_of_the_end(self, text: str | None, last: str | None) -> None:
        assert last_lines(text, 8) == last


def test_only_the_owner_may_read_it(base: str) -> None:
    Sheet(path_of(base, 0), 100).close()
    assert Path(path_of(base, 0)).stat().st_mode & 0o777 == 0o600
