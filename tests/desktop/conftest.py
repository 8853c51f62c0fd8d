"""Windows on a screen of their own, each a process that can be asked what it shows."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.desktop.missing import missing
from tests.desktop.screen import Screen, new_screen

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


class Window:
    """One window of an example: a program, started as its users start it."""

    def __init__(self, desk: Desk, command: list[str], tap: Path) -> None:
        self.screen = desk.screen
        self.tap = tap
        self.log = desk.folder / f"{tap.stem}.log"
        env = os.environ | desk.env
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=desk.folder,
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def look(self) -> dict[str, Any]:
        """Ask the window's thread what it shows."""
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket(socket.AF_UNIX) as asker:
            asker.settimeout(20)
            asker.connect(str(self.tap))
            with asker.makefile() as answer:
                shown: dict[str, Any] = json.load(answer)
        return shown

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self.tap.exists() and bool(self.look()["id"])

    @property
    def frame(self) -> Any:
        """The window, as the screen knows it."""
        return self.screen.outermost(self.look()["id"])

    def press(self, name: str) -> None:
        """Click on a button, once it can be pressed."""
        place = wait_until(lambda: self.look()["buttons"][name])
        self.screen.bring_to_front(self.frame)
        self.screen.click(*place)

    def close(self) -> int:
        """Close the window as a person does; return how the program ended."""
        self.screen.close_window(self.frame)
        return self.process.wait(15)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Desk:
    """A screen, a folder for what programs keep, and the windows that are open."""

    def __init__(self, screen: Screen, folder: Path) -> None:
        self.screen = screen
        self.folder = folder
        self.env = {
            "DISPLAY": screen.name,
            "QT_QPA_PLATFORM": "xcb",
            "XDG_DATA_HOME": str(folder / "data"),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
        }
        self.path = folder / "data" / "checksums" / "jobs.sqlite"
        self.windows: list[Window] = []

    def open(self, example: str, files: Path) -> Window:
        """Start an example on a folder, and wait until its window is there."""
        tap = self.folder / f"window-{len(self.windows)}.tap"
        driven = Path(__file__).with_name("driven.py")
        command = [sys.executable, str(driven), str(tap), str(EXAMPLES / example), files.name]
        window = Window(self, command, tap)
        self.windows.append(window)
        wait_until(window.is_up, 20.0)
        return window


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    if names := missing():
        pytest.fail(f"`make desktop` installs what these tests need; missing: {', '.join(names)}")
    with new_screen(tmp_path_factory.mktemp("screen")) as screen:
        yield screen


@pytest.fixture
def desk(screen: Screen, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(screen, tmp_path)
    yield desk
    for window in desk.windows:
        window.kill()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of five small files, which hold their own names."""
    folder = tmp_path / "Documents"
    folder.mkdir()
    for name in ("budget", "letter", "notes", "plan", "recipe"):
        (folder / f"{name}.txt").write_text(name)
    return folder


@pytest.fixture
def large_files(tmp_path: Path) -> Path:
    """A folder of eight files of 40 GB, which take no room: nobody waits for their checksums."""
    folder = tmp_path / "Films"
    folder.mkdir()
    for number in range(8):
        with (folder / f"{number}.bin").open("wb") as file:
            file.truncate(40_000_000_000)
    return folder
